"""A real run's events, written to a file as they are handed out: dora-rs's `DORA_WRITE_EVENTS_TO`.

`inputs-<node>.json` is whole JSON after every event, in dora-rs's format, so that a node that is
killed leaves what it got until then; it replays by `DORA_TEST_WITH_INPUTS`. Each event is written
over the end of the file, which it brings again, in one write. Until the node ends in order the
file says `poisoned`. When the disk refuses, that is logged once and the node runs on unrecorded.

A node that does not record never loads this. Elsewhere: one event (`node.event_json`), replaying
(`node.scripted`, `dora.testing`).
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dora.errors import NodeInitError
from dora.node.event_json import write_event
from dora.node.event_stream import EventStream
from dora.node.json_values import to_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.node.event_types import Event
    from dora.node.inputs import InputPort

_log = logging.getLogger("dora")

FOLDER = "DORA_WRITE_EVENTS_TO"

_CLEAN = b'\n],"recording_status":{"state":"clean"}}\n'
_CUT = (
    b'\n],"recording_status":{"state":"poisoned","first_failure_event_index":0,'
    b'"first_failure_time_offset_secs":0,"first_failure_error":"the node was killed",'
    b'"additional_failures":0}}\n'
)
"""How the file ends as long as the node runs; dora-rs wants all of these."""


class Recorder:
    """One file of events. `close()` calls it whole; twice is fine. Any thread may write.

    Raises:
        NodeInitError: the file cannot be written.
    """

    def __init__(self, node_id: str, restart_count: int = 0) -> None:
        folder = Path(os.environ[FOLDER])
        suffix = f"-restart{restart_count}" if restart_count else ""
        self._path = path = folder / f"inputs-{node_id}{suffix}.json"
        head = b'{"id":' + to_line(node_id) + b',"events":['
        self._end = len(head)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            os.pwrite(self._fd, head + _CUT, 0)
        except OSError as exc:
            raise NodeInitError(f"`{FOLDER}`: `{path}` cannot be written: {exc.strerror}") from exc
        self._begin = time.monotonic()
        self._first = True
        self._writing = threading.RLock()  # a signal handler may close it in between
        self._pid = os.getpid()

    def write(self, event: Event) -> None:
        """Add an event, if it is of a kind that files hold."""
        written = write_event(event)
        if written is None or self._pid != os.getpid():
            return
        with self._writing:
            if self._fd < 0:
                return
            timed = {"time_offset_secs": time.monotonic() - self._begin, **written}
            text = (b"\n" if self._first else b",\n") + to_line(timed)
            self._first = False
            try:
                if os.pwrite(self._fd, text + _CUT, self._end) < len(text + _CUT):
                    os.pwrite(self._fd, _CUT, self._end)  # as it was
                    os.ftruncate(self._fd, self._end + len(_CUT))
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as exc:
                if self._fd < 0:
                    return
                _log.error("recording ends: `%s`: %s", self._path, exc.strerror)
                os.close(self._fd)
                self._fd = -1
            self._end += len(text)

    def close(self) -> None:
        """The node ends in order."""
        with self._writing:
            if self._fd < 0:
                return
            os.pwrite(self._fd, _CLEAN, self._end)
            os.ftruncate(self._fd, self._end + len(_CLEAN))
            os.close(self._fd)
            self._fd = -1


class RecordedStream(EventStream):
    """An event stream that keeps what it hands out; takes what `EventStream` takes."""

    def __init__(self, *args: Any, recorder: Recorder, **options: Any) -> None:
        self._recorder = recorder
        ports, timers = args[:2]
        for source in (*ports, *timers):
            # Whoever takes from a source, this stream or one who reads some inputs apart from it.
            source.take = _keeping(source.take, recorder)
        super().__init__(*args, **options)

    def add_port(self, port: InputPort) -> None:
        """Read one more input."""
        if "take" not in vars(port):  # one that waited for the former to close comes twice
            port.take = _keeping(port.take, self._recorder)  # type: ignore[method-assign]
        super().add_port(port)

    def close(self) -> None:
        """End the stream, and the file."""
        super().close()
        self._recorder.close()

    def _hand_out(self, event: Event) -> Event | None:
        handed = super()._hand_out(event)
        if handed is not None and handed["type"] != "INPUT":
            self._recorder.write(handed)
        return handed


def _keeping(take: Callable[[], Event | None], recorder: Recorder) -> Callable[[], Event | None]:
    def take_and_keep() -> Event | None:
        event = take()
        if event is not None and event["type"] == "INPUT":
            recorder.write(event)
        return event

    return take_and_keep


def stream_of(node_id: str, restart_count: int) -> Callable[..., EventStream]:
    """What makes the recorded event stream of this node."""
    return functools.partial(RecordedStream, recorder=Recorder(node_id, restart_count))

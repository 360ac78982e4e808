"""A node fed from a file instead of a dataflow: dora-rs's `DORA_TEST_WITH_INPUTS`.

The events of the file come at their times, in real time; what the node sends is written as lines
of JSON. The format is dora-rs's, and that of recordings (`node.recorded`). Values that dora-rs does
not have, NumPy's, carry their dtype and shape besides.

Elsewhere: one event (`node.event_json`); tests with a clock of their own (`dora.testing`).
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dora.errors import InputFormatError, NodeInitError
from dora.node.asked_stream import AskedStream
from dora.node.event_json import read_event
from dora.node.json_values import to_json, to_line
from dora.node.stage import Stage

if TYPE_CHECKING:
    from dora.node.event_types import Event, InputEvent

INPUTS = "DORA_TEST_WITH_INPUTS"
OUTPUTS = "DORA_TEST_WRITE_OUTPUTS_TO"
NO_OFFSET = "DORA_TEST_NO_OUTPUT_TIME_OFFSET"


class Script(msgspec.Struct, frozen=True):
    """What a file of inputs holds."""

    node: str
    """Whom it is for."""
    events: list[tuple[float, Event]]
    """Each with its time in seconds after the start, in order."""
    whole: bool
    """False when the recording was cut short: its node was killed."""


def read_script(path: Path, start: datetime | None = None) -> Script:
    """The events of a file that dora, dora-rs or a person wrote.

    Args:
        path: The file.
        start: What the events' timestamps count from; now when not given.

    Raises:
        InputFormatError: the file is not there or not as it must be; names the event.
    """
    try:
        given = msgspec.json.decode(path.read_bytes())
    except OSError as exc:
        raise InputFormatError(f"`{path}` cannot be read: {exc.strerror}") from exc
    except (msgspec.DecodeError, RecursionError) as exc:
        raise InputFormatError(f"`{path}` is no JSON: {exc}") from exc
    listed = given.get("events") if isinstance(given, dict) else None
    if not isinstance(listed, list) or not isinstance(given.get("id"), str):
        raise InputFormatError(
            f"`{path}` holds no inputs; it looks like "
            '`{"id": "node", "events": [{"time_offset_secs": 0, "type": "Input", '
            '"id": "image", "data": [1, 2]}]}`'
        )
    begin = start or datetime.now(UTC)
    timed = []
    for number, event in enumerate(listed):
        try:
            after_s = _offset(event)
            timed.append((after_s, read_event(event, _moment(begin, after_s), path.parent)))
        except InputFormatError as exc:
            raise InputFormatError(f"`{path}`, events[{number}]: {exc}") from exc
    timed.sort(key=lambda pair: pair[0])
    state = given.get("recording_status")
    whole = not isinstance(state, dict) or state.get("state") != "poisoned"
    return Script(given["id"], timed, whole)


def _offset(event: Any) -> float:
    after_s = event.get("time_offset_secs") if isinstance(event, dict) else None
    if isinstance(after_s, bool) or not isinstance(after_s, int | float) or after_s < 0:
        raise InputFormatError("`time_offset_secs` is missing, or no number of seconds")
    return float(after_s)


def _moment(start: datetime, after_s: float) -> datetime:
    try:
        return start + timedelta(seconds=after_s)
    except OverflowError:
        raise InputFormatError(f"`time_offset_secs` is {after_s}, which is too late") from None


class ScriptedStage(Stage):
    """A stage whose node is fed by a script and writes what it sends to a file."""

    stream: AskedStream

    def __init__(self, script: Script, outputs: Path) -> None:
        self._start = time.monotonic()
        self._timed = os.environ.get(NO_OFFSET) is None
        self._writing = threading.RLock()  # a signal handler may close it in between
        self._file = outputs.open("wb", buffering=0)
        self._over = threading.Event()
        super().__init__(
            script.node, self._write, dataflow_id=str(uuid.uuid4()), make_stream=AskedStream
        )
        self.stream.fed_by(functools.partial(self._play, script))

    def close(self, *, goodbye: bool = True) -> None:
        """Feed and write nothing more; twice is fine."""
        self._over.set()
        super().close(goodbye=goodbye)
        with self._writing:
            self._file.close()

    def _play(self, script: Script) -> None:
        for after_s, event in script.events:
            if self._over.wait(max(0.0, self._start + after_s - time.monotonic())):
                return
            self.post(event)
        self.stream.finish()

    def _write(self, event: InputEvent) -> None:
        line: dict[str, Any] = {"id": event["id"]}
        if self._timed:
            line["time_offset_secs"] = time.monotonic() - self._start
        text = to_line(line | to_json(event["value"], flat=True)) + b"\n"
        with self._writing:
            if not self._file.closed:
                self._file.write(text)


def join() -> ScriptedStage:
    """Be the node of the file that the environment names.

    Raises:
        NodeInitError: the file cannot be read, or that of the outputs cannot be written.
    """
    path = Path(os.environ[INPUTS])
    target = os.environ.get(OUTPUTS)
    outputs = path.parent / "outputs.jsonl" if target is None else Path(target)
    try:
        script = read_script(path)
        stage = ScriptedStage(script, outputs)
    except InputFormatError as exc:
        raise NodeInitError(f"`{INPUTS}`: {exc}") from exc
    except OSError as exc:
        raise NodeInitError(
            f"the outputs cannot be written to `{outputs}`: {exc.strerror}; name another file in "
            f"`{OUTPUTS}`"
        ) from exc
    if not script.whole:
        print(f"dora: `{path}` was cut short: its node was killed", file=sys.stderr)
    return stage

"""What becomes of a node's output: its two pipes, read by the loop, and where each line goes.

Raw lines go to `send_stdout_as`; then records that pass `min_log_level` go to log inputs, to the
log file and to the observer. A wake-up reads one bounded piece, so that a flood of output neither
starves the loop nor grows memory: the node waits in its pipe.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dora.daemon.logs import (
    LineSplitter,
    LogFile,
    LogLine,
    StderrTail,
    decode_line,
    parse_line,
    passes,
    timestamp_now,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dora.daemon.callbacks import Loop
    from dora.daemon.logfeed import LogFeed
    from dora.daemon.observer import Observer
    from dora.daemon.process import NodeProcess
    from dora.daemon.saved import SavedProcess
    from dora.descriptor.plan import NodePlan

_READ_BYTES = 1 << 16


class LogFolder:
    """The folder of a dataflow's log files; made with the first line.

    What cannot be written is told once, and the dataflow goes on without its files.
    """

    def __init__(self, path: Path, observer: Observer) -> None:
        self._path = path
        self._observer = observer
        self._files: dict[str, LogFile] = {}
        self._usable = True

    def write(self, node: NodePlan, lines: list[LogLine]) -> None:
        """Append records to a node's file."""
        if not self._usable:
            return
        try:
            file = self._files.get(node.id)
            if file is None:
                self._path.mkdir(parents=True, exist_ok=True)
                file = self._files[node.id] = LogFile(
                    self._path, node.id, node.logs.max_size_bytes, node.logs.max_rotated_files
                )
            file.write(lines)
        except OSError as exc:
            self._usable = False
            self._observer.notice(
                "warn",
                f"log files under `{self._path}` cannot be written ({exc.strerror}); "
                "the dataflow goes on without them",
            )

    def close(self) -> None:
        """Give up all files; twice is fine."""
        for file in self._files.values():
            file.close()


class NodeOutput:
    """Reads the output of one process until it ends.

    Args:
        loop: Where to read.
        node: Whose output it is.
        process: Owner of the pipes.
        folder: For the log file.
        observer: Is shown the lines.
        feed: Gives the feed for log edges, if there is one.
    """

    def __init__(
        self,
        loop: Loop,
        node: NodePlan,
        process: NodeProcess,
        folder: LogFolder,
        observer: Observer,
        feed: Callable[[], LogFeed | None],
    ) -> None:
        self.stderr = StderrTail()
        self._loop = loop
        self._node = node
        self._process = process
        self._folder = folder
        self._observer = observer
        self._feed = feed
        self._splitters = {"stdout": LineSplitter(), "stderr": LineSplitter()}
        for stream, fd in (("stdout", process.stdout), ("stderr", process.stderr)):
            if fd >= 0:  # else it ended before the daemon was replaced
                loop.add_reader(fd, self._read, stream)

    def rests(self) -> tuple[bytes, bytes]:
        """Lines of stdout and stderr that are not complete yet."""
        return self._splitters["stdout"].rest, self._splitters["stderr"].rest

    def resume(self, saved: SavedProcess) -> None:
        """Go on where another reader was left."""
        for stream, rest in zip(("stdout", "stderr"), saved.rests, strict=True):
            self._splitters[stream].resume(rest)
        for line in saved.tail:
            self.stderr.add(line)

    def say(self, text: str) -> None:
        """Put the daemon's own lines about this node among its lines, as errors."""
        now = timestamp_now()
        node = self._node
        lines = [
            LogLine(node.id, "stderr", "error", line, now, "dora") for line in text.splitlines()
        ]
        if (feed := self._feed()) is not None:
            feed.lines(node.id, lines)
        self._folder.write(node, lines)
        self._observer.lines(lines)

    def drain(self) -> None:
        """Read all that is left once the process is gone, and give up the pipes."""
        for stream in ("stdout", "stderr"):
            while self._read(stream):
                pass
            self._end(stream)

    def _read(self, stream: str) -> bool:
        """Read one piece; whether there may be more."""
        fd = self._process.stdout if stream == "stdout" else self._process.stderr
        if fd < 0:
            return False
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._end(stream)
            return False
        self._take(stream, self._splitters[stream].feed(data))
        return True

    def _end(self, stream: str) -> None:
        fd = self._process.stdout if stream == "stdout" else self._process.stderr
        if fd >= 0:
            self._loop.remove_reader(fd)
            self._process.close_output(stream)
            self._take(stream, self._splitters[stream].finish())

    def _take(self, stream: str, raw: list[bytes]) -> None:
        if not raw:
            return
        node = self._node
        texts = [decode_line(line) for line in raw]
        if stream == "stderr":
            for text in texts:
                self.stderr.add(text)
        feed = self._feed()
        if feed is not None:
            feed.raw(node.id, texts)
        now = timestamp_now()
        lines = [parse_line(node.id, stream, text, now) for text in texts]
        least = node.logs.min_level
        if least is not None:
            lines = [line for line in lines if passes(line.level, least)]
        if not lines:
            return
        if feed is not None:
            feed.lines(node.id, lines)
        self._folder.write(node, lines)
        self._observer.lines(lines)

"""What nodes print: bytes into lines, lines into records, records into files.

A record is made of each line of stdout or stderr; a line that is a JSON object with a level and a
timestamp is structured, any other has the level `stdout`. Nothing here grows with the output:
reads, lines and what is kept of stderr are bounded. Elsewhere: how records look on a screen
(`daemon.display`), log lines as messages (`daemon.logfeed`), who reads the pipes
(`daemon.server`).
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from dora.ids import LOG_LEVELS

if TYPE_CHECKING:
    from pathlib import Path

MAX_LINE_BYTES = 1 << 20
KEPT_STDERR_LINES = 500
_KEPT_LINE_CHARS = 4096

_RANKS = {level: rank for rank, level in enumerate(LOG_LEVELS)}
_LEVELS = {
    **{level: level for level in LOG_LEVELS},
    "warning": "warn",
    "critical": "error",
    "fatal": "error",
    "notset": "trace",
}
_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


class LogLine(NamedTuple):
    """One line of a node's output."""

    node: str
    stream: str
    """`stdout` or `stderr`."""
    level: str
    """One of `ids.LOG_LEVELS`."""
    message: str
    timestamp: str
    """RFC 3339, UTC."""
    target: str | None = None
    module_path: str | None = None
    file: str | None = None
    line: int | None = None
    fields: dict[str, Any] | None = None


def passes(level: str, least: str) -> bool:
    """Whether a line of this level is shown where `least` is asked for."""
    return _RANKS[level] <= _RANKS[least]


class LineSplitter:
    """Cuts a stream of bytes into lines; one longer than `most_bytes` is cut into several."""

    def __init__(self, most_bytes: int = MAX_LINE_BYTES) -> None:
        self._rest = b""
        self._most = most_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are now complete, without their ends."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) >= self._most:
            lines.append(self._rest)
            self._rest = b""
        if all(len(line) <= self._most for line in lines):
            return lines
        return [
            line[start : start + self._most]
            for line in lines
            for start in range(0, len(line) or 1, self._most)
        ]

    @property
    def rest(self) -> bytes:
        """What has come of a line that is not complete yet."""
        return self._rest

    def resume(self, rest: bytes) -> None:
        """Go on where another splitter was left."""
        self._rest = rest

    def finish(self) -> list[bytes]:
        """What is left without a line end, as a line."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def decode_line(line: bytes) -> str:
    """A line as text; what is not UTF-8 is replaced."""
    return line.removesuffix(b"\r").decode("utf-8", "replace")


def parse_line(node: str, stream: str, text: str, timestamp: str) -> LogLine:
    """A record of a line that was read at `timestamp`."""
    if text.startswith("{") and text.endswith("}"):
        structured = _parse_structured(node, stream, text)
        if structured is not None:
            return structured
    return LogLine(node, stream, "stdout", text, timestamp)


def _parse_structured(node: str, stream: str, text: str) -> LogLine | None:
    """Both JSON forms: fields beside the message, or the message among the fields."""
    try:
        entry = _decode_json(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    level, timestamp = entry.get("level"), entry.get("timestamp")
    if not isinstance(level, str) or not isinstance(timestamp, str):
        return None
    fields = entry.get("fields")
    fields = dict(fields) if isinstance(fields, dict) else {}
    message = entry.get("message")
    if message is None:
        message = fields.pop("message", "")
    found = {
        key: fields.pop(key, None) if entry.get(key) is None else entry[key]
        for key in ("module_path", "file", "line")
    }
    target = fields.pop("target", None) or entry.get("target")
    number = found["line"]
    return LogLine(
        node,
        stream,
        _LEVELS.get(level.lower(), "info"),
        message if isinstance(message, str) else _encode_json(message).decode(),
        timestamp,
        _text(target),
        _text(found["module_path"]),
        _text(found["file"]),
        number if isinstance(number, int) else None,
        fields or None,
    )


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def message_json(line: LogLine, dataflow_id: str) -> str:
    """A record as `dora/logs` inputs and `--log-format json` carry it."""
    return _encode_json(
        {
            "build_id": None,
            "dataflow_id": dataflow_id,
            "node_id": line.node,
            "daemon_id": None,
            "level": line.level if line.level == "stdout" else line.level.upper(),
            "target": line.target,
            "module_path": line.module_path,
            "file": line.file,
            "line": line.line,
            "message": line.message,
            "timestamp": line.timestamp or None,
            "fields": line.fields,
        }
    ).decode()


def timestamp_now() -> str:
    """Now, RFC 3339 in UTC with milliseconds."""
    now_ms = time.time_ns() // 1_000_000
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_ms // 1000))
    return f"{whole}.{now_ms % 1000:03d}Z"


class StderrTail:
    """The last lines of a node's stderr, for the report of a failure."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT_STDERR_LINES)

    def add(self, text: str) -> None:
        """Keep a line, shortened if it is very long."""
        self._lines.append(text[:_KEPT_LINE_CHARS])

    def lines(self) -> tuple[str, ...]:
        """The lines kept, oldest first."""
        return tuple(self._lines)


class LogFile:
    """A node's `log_<node>.jsonl`, and older ones `log_<node>.jsonl.1` (the newest) and up.

    No node's own file is called so, whatever its id.

    Args:
        folder: Where; it exists.
        node: Whose lines.
        max_size_bytes: When to begin a new file; None for never.
        max_rotated: How many older ones to keep.
    """

    def __init__(
        self, folder: Path, node: str, max_size_bytes: int | None, max_rotated: int
    ) -> None:
        self.path = folder / f"log_{node}.jsonl"
        self._max_size = max_size_bytes
        self._max_rotated = max_rotated
        self._fd = -1
        self._size = 0

    def write(self, lines: list[LogLine]) -> None:
        """Append records.

        Raises:
            OSError: the file cannot be written.
        """
        rows = [_encode_json(_row(line)) + b"\n" for line in lines]
        if self._max_size is None:
            self._append(b"".join(rows))
            return
        for row in rows:
            if self._size and self._size + len(row) > self._max_size:
                self._rotate()
            self._append(row)

    def close(self) -> None:
        """Give up the file; twice is fine."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, data: bytes) -> None:
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o644)
            self._size = os.fstat(self._fd).st_size
        written = 0
        while written < len(data):
            written += os.write(self._fd, data[written:])
        self._size += written

    def _rotate(self) -> None:
        self.close()
        for number in range(self._max_rotated - 1, 0, -1):
            if self._rotated(number).exists():
                self._rotated(number).replace(self._rotated(number + 1))
        self.path.replace(self._rotated(1))
        self._size = 0

    def _rotated(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _row(line: LogLine) -> dict[str, Any]:
    return {
        "ts": line.timestamp,
        "level": line.level,
        "node": line.node,
        "stream": line.stream,
        "msg": line.message,
        "target": line.target,
        "fields": line.fields,
    }

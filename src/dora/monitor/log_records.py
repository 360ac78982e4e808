"""What a line of a log file says, when it was, and whether it is wanted. Pure.

A line that cannot be read as a record is shown as it stands, and takes part under the time of the
record before it. Elsewhere: where lines come from (`monitor.log_files`), what is written
(`daemon.logs`), how it looks (`daemon.display`).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from dora.daemon.logs import LogLine, decode_line, passes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UNKNOWN = -math.inf
"""The time of what has none, and nothing before it."""
_MOST_HELD = 1000
_MOST_HELD_BYTES = 16 << 20


class Record(NamedTuple):
    """One line, and when it was."""

    time: float
    """Seconds since the epoch."""
    line: LogLine


class Wanted(NamedTuple):
    """Which records are shown."""

    since: float | None = None
    """Seconds since the epoch."""
    until: float | None = None
    level: str = "stdout"
    """The least severe."""
    levels: dict[str, str] = {}
    """By node, in place of `level`."""
    pattern: str = ""
    """Stands in the message, target or node id; upper or lower case is the same."""

    def has(self, record: Record) -> bool:
        """Whether a record is one of these: by its time, its level, its words."""
        if self.since is not None and record.time < self.since:
            return False
        if self.until is not None and record.time > self.until:
            return False
        line = record.line
        if not passes(line.level, self.levels.get(line.node, self.level)):
            return False
        if not self.pattern:
            return True
        wanted = self.pattern.casefold()
        return any(
            wanted in text.casefold() for text in (line.message, line.target, line.node) if text
        )


class _Row(msgspec.Struct):
    ts: str
    level: Literal["error", "warn", "info", "debug", "trace", "stdout"]
    node: str
    msg: str
    stream: str = "stdout"
    target: str | None = None
    fields: dict[str, Any] | None = None


class _Whose(msgspec.Struct):
    node: str


_decode_row = msgspec.json.Decoder(_Row).decode
_decode_whose = msgspec.json.Decoder(_Whose).decode


def node_of(raw: bytes) -> str | None:
    """Whose line this is; None if it is no record."""
    try:
        return _decode_whose(raw).node
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def read_line(node: str, raw: bytes) -> tuple[float | None, LogLine]:
    """What a line of this node's file says, and when it was if it tells."""
    try:
        row = _decode_row(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None, LogLine(node, "stdout", "stdout", decode_line(raw), "")
    line = LogLine(row.node, row.stream, row.level, row.msg, row.ts, row.target, fields=row.fields)
    return parse_time(row.ts), line


def parse_time(text: str) -> float | None:
    """An RFC 3339 timestamp in seconds since the epoch, UTC if it names no zone; None: it is none.

    Nodes stamp what they log themselves, so it may be anything.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None


class Clock:
    """Gives lines of one node, in their order, their times.

    Args:
        now: That of the line before the first one.
    """

    def __init__(self, now: float = UNKNOWN) -> None:
        self._now = now

    def record(self, node: str, raw: bytes) -> Record:
        """The next line: one without a time has that of the line before."""
        time, line = read_line(node, raw)
        if time is not None:
            self._now = time
        return Record(self._now, line)


def in_order(node: str, raws: Iterable[bytes]) -> Iterator[Record]:
    """Records of a node's lines, oldest first."""
    clock = Clock()
    return (clock.record(node, raw) for raw in raws if raw)


def in_reverse(node: str, raws: Iterable[bytes]) -> Iterator[Record]:
    """The same records of the same lines, given last one first.

    Lines without a time wait for the one before them; if very many do, they have the time of the
    one behind them.
    """
    held: list[LogLine] = []
    held_bytes = 0
    last = math.inf
    for raw in raws:
        if not raw:
            continue
        time, line = read_line(node, raw)
        held.append(line)
        held_bytes += len(raw)
        if time is None and len(held) < _MOST_HELD and held_bytes < _MOST_HELD_BYTES:
            continue
        last = last if time is None else time
        yield from (Record(last, one) for one in held)
        held.clear()
        held_bytes = 0
    yield from (Record(UNKNOWN, one) for one in held)

"""When a replayed message is due, and how well that was kept. Pure.

All replay nodes of a dataflow count from its start barrier, as timers do, so that the recorded gaps
between messages of different nodes hold as well as those of one.

Used by `recording.replay_node`, which waits, and `recording.conductor`, which tells the user.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAD_NS = 20_000_000
"""The first message is due so long after the barrier, when every replay node is awake."""

_LATEST_NS = 1e18
"""Thirty years, which is what a timer takes: no message is due later, however low the speed."""
_MOST_ERRORS = 1_000_000
"""So many deviations of a node are kept; of a replay that loops for days the first ones tell."""


class Pace(msgspec.Struct, frozen=True):
    """How recorded time becomes real time."""

    speed: float
    """Recorded seconds in each second; 0: as fast as receivers take them."""
    zero_ns: int
    """The recorded time at which the replay begins, ns since the epoch."""
    period_ns: int = 0
    """How much recorded time one round of a loop takes; 0: there is one round."""

    def due_ns(self, sent_ns: int, turn: int = 0) -> int:
        """When a message is due, in nanoseconds from the barrier.

        Args:
            sent_ns: When it was sent originally.
            turn: The round of a loop, from 0.
        """
        recorded_ns = turn * self.period_ns + sent_ns - self.zero_ns
        return LEAD_NS + round(min(recorded_ns / self.speed, _LATEST_NS))


class Report(msgspec.Struct, frozen=True):
    """What one replay node did."""

    messages: int
    size_bytes: int
    seconds: float
    """From its first message to its last."""
    errors_us: bytes = b""
    """By how much each message missed its moment: int32 in microseconds, native order."""


class Tally:
    """Counts what a replay node sends."""

    def __init__(self) -> None:
        self.messages = 0
        self.size_bytes = 0
        self._errors_us = array("i")
        self._first_ns = self._last_ns = 0

    def count(self, size_bytes: int, now_ns: int, due_ns: int | None) -> None:
        """Take a message in that is sent now; both times by the same clock."""
        if not self.messages:
            self._first_ns = now_ns
        self._last_ns = now_ns
        self.messages += 1
        self.size_bytes += size_bytes
        if due_ns is not None and len(self._errors_us) < _MOST_ERRORS:
            self._errors_us.append(min(2**31 - 1, abs(now_ns - due_ns) // 1000))

    def report(self) -> Report:
        """All of it."""
        seconds = (self._last_ns - self._first_ns) / 1e9
        return Report(self.messages, self.size_bytes, seconds, self._errors_us.tobytes())


def summary(reports: Iterable[Report], *, by_hand: bool = False) -> str:
    """What several nodes did, for the user: one line; a replay by hand has no rate."""
    done = list(reports)
    messages = sum(report.messages for report in done)
    size = sum(report.size_bytes for report in done)
    seconds = max((report.seconds for report in done), default=0.0)
    nodes = "1 node" if len(done) == 1 else f"{len(done)} nodes"
    text = f"replayed {messages:,} messages, {size / 1e6:,.1f} MB, as {nodes} in {seconds:.1f} s"
    errors = array("i")
    for report in done:
        errors.frombytes(report.errors_us)
    if errors:
        ordered = sorted(errors)
        p50, p99 = (ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 99))
        return (
            f"{text}; off the recorded time by {p50 / 1e3:.2f} ms (p50), {p99 / 1e3:.2f} ms (p99)"
        )
    rate = f": {size / seconds / 1e6:,.0f} MB/s" if seconds and not by_hand else ""
    return f"{text}{rate}"

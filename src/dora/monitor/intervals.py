"""How regularly messages come: intervals between the moments they were sent. Pure; no clock.

Elsewhere: reading them (`monitor.taps`).
"""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER = "topic\tavg_ms\tavg_hz\tmin_ms\tmax_ms\tstd_ms\tsamples"
"""Of the lines that `tsv_line` makes."""


class Spread(msgspec.Struct, frozen=True):
    """What there is to say about some intervals, milliseconds."""

    mean_ms: float
    min_ms: float
    max_ms: float
    std_ms: float
    jitter_ms: float
    """By how much an interval differs from the one before it, on the average."""

    @property
    def hz(self) -> float:
        """Messages a second."""
        return 1000.0 / self.mean_ms


class Intervals:
    """The messages of the last `window_s` seconds.

    Args:
        window_s: Seconds, counted from the last message back.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, sent_s: float, arrived_s: float) -> None:
        """Note a message: when it was sent, and when it arrived here, seconds."""
        self._samples.append((sent_s, arrived_s))
        self.forget_before(arrived_s)

    def forget_before(self, now_s: float) -> None:
        """Forget what arrived before the window that ends now: a stalled output decays."""
        while self._samples and now_s - self._samples[0][1] > self._window_s:
            self._samples.popleft()

    @property
    def count(self) -> int:
        """Messages in the window."""
        return len(self._samples)

    def spread(self) -> Spread | None:
        """Of the intervals in the window; None when there is none."""
        # Sorted: of several outputs together, or threads, they arrive in another order.
        sent = sorted(sample[0] for sample in self._samples)
        return spread_of([(b - a) * 1000 for a, b in pairwise(sent) if b > a])


def spread_of(intervals_ms: Sequence[float]) -> Spread | None:
    """What there is to say about these; None of none."""
    count = len(intervals_ms)
    if not count:
        return None
    mean = math.fsum(intervals_ms) / count
    variance = math.fsum((one - mean) ** 2 for one in intervals_ms) / count
    steps = [abs(b - a) for a, b in pairwise(intervals_ms)]
    jitter = math.fsum(steps) / len(steps) if steps else 0.0
    return Spread(mean, min(intervals_ms), max(intervals_ms), math.sqrt(variance), jitter)


def tsv_line(name: str, intervals: Intervals) -> str:
    """One row of the report, as dora-rs writes it."""
    spread = intervals.spread()
    if spread is None:
        return f"{name}\t-\t-\t-\t-\t-\t{intervals.count}"
    figures = (spread.mean_ms, spread.hz, spread.min_ms, spread.max_ms, spread.std_ms)
    return "\t".join([name, *(f"{figure:.2f}" for figure in figures), str(intervals.count)])


def live_table(rows: Sequence[tuple[str, Intervals]]) -> list[str]:
    """The report in columns, with jitter, for people who watch it."""
    heads = ("topic", "hz", "mean ms", "min ms", "max ms", "std ms", "jitter ms", "messages")
    cells = [heads, *(_cells(name, intervals) for name, intervals in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells
    ]


def _cells(name: str, intervals: Intervals) -> tuple[str, ...]:
    spread = intervals.spread()
    if spread is None:
        return (name, *["-"] * 6, str(intervals.count))
    times = (spread.mean_ms, spread.min_ms, spread.max_ms, spread.std_ms, spread.jitter_ms)
    figures = (f"{spread.hz:.1f}", *(f"{time:.2f}" for time in times))
    return (name, *figures, str(intervals.count))

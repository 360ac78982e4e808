"""The virtual clock of a simulated node: `time.time`, `time.monotonic`, `time.sleep`, asyncio.

In a simulated process these follow the simulation: time stands still while the node computes, and
`time.sleep` lets it pass. `time.perf_counter` stays real, to measure with; so does
`datetime.now()`, which cannot be replaced, and what the standard library's own threads wait by.

Installed by `node.joining` before the node's own code reads a clock. Elsewhere: who moves the
clock (`node.simulated_line`), asyncio's loop (`node.simulated_loop`).
"""

from __future__ import annotations

import math
import queue  # noqa: F401 (its timeouts are real: it takes a copy of the clock when imported)
import threading  # noqa: F401 (likewise)
import time
from typing import TYPE_CHECKING, SupportsIndex

from dora.wire.simulation import START_NS

if TYPE_CHECKING:
    from collections.abc import Callable

_BOOT_NS = 1000 * 10**9
"""What the monotonic clock says when virtual time is 0: a machine that runs for a while."""

_NS = 10**9

_real_sleep = time.sleep


class Clock:
    """Virtual time, and how to let it pass."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.pause: Callable[[int], None] | None = None
        """Waits for so many virtual nanoseconds; None while there is no simulation to ask."""

    def sleep(self, seconds: float | SupportsIndex, /) -> None:
        """What `time.sleep` is in a simulated process."""
        length_s = float(seconds)
        if self.pause is None or not 0 <= length_s < math.inf:
            _real_sleep(length_s)  # says what is wrong with such a number
            return
        self.pause(round(length_s * _NS))

    def wall_ns(self) -> int:
        """What `time.time_ns` is."""
        return START_NS + self.now_ns

    def wall(self) -> float:
        """What `time.time` is."""
        return self.wall_ns() / _NS

    def monotonic_ns(self) -> int:
        """What `time.monotonic_ns` is."""
        return _BOOT_NS + self.now_ns

    def monotonic(self) -> float:
        """What `time.monotonic` is."""
        return self.monotonic_ns() / _NS


clock = Clock()
"""This process's."""


def install() -> None:
    """Put the virtual clock in the place of the real one, for the whole process."""
    time.sleep = clock.sleep
    time.time, time.time_ns = clock.wall, clock.wall_ns
    time.monotonic, time.monotonic_ns = clock.monotonic, clock.monotonic_ns

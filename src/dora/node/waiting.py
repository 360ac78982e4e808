"""How to wait for an epoll set: awake for a moment when messages come thick, else asleep.

Waking a process that sleeps takes a kernel 30 to 100 us, several times what a message costs. So
a wait that follows a short one looks again and again for `SPIN_US` before it sleeps, giving way to
whoever wants the core. A node whose messages come further apart never does.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from dora.errors import NodeInitError

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from collections.abc import Callable
    from select import epoll

    from dora.wire.board import Turn

_VARIABLE = "DORA_SPIN_US"
_DEFAULT_US = 200
_MOST_US = 1_000_000
LONGEST_S = 1e6
"""Of one wait: the kernel counts milliseconds in 31 bits."""


def spin_us() -> int:
    """How long to stay awake, in microseconds: `DORA_SPIN_US`, else 200; 0 on a single core."""
    text = os.environ.get(_VARIABLE, "")
    if not text:
        return _DEFAULT_US if len(os.sched_getaffinity(0)) > 1 else 0
    if not text.isascii() or not text.isdigit() or int(text) > _MOST_US:
        raise NodeInitError(
            f"{_VARIABLE}={text!r} is not a whole number of microseconds from 0 to {_MOST_US}"
        )
    return int(text)


class Awaiting:
    """While entered, a task awaits: its loop says by the turn that it runs.

    A loop that other code blocks says nothing, though the task awaits.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._handle: TimerHandle | None = None

    def __enter__(self) -> None:
        self._turn.awaited_ns = time.perf_counter_ns()
        if self._turn.heartbeat_s is not None:
            self._beat(self._turn.heartbeat_s / 4)

    def _beat(self, every_s: float) -> None:
        import asyncio

        self._turn.beat()
        loop = asyncio.get_running_loop()
        self._handle = loop.call_later(every_s, self._beat, every_s)

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.cancel()


class Waiting:
    """Waits for one epoll set. Between the waits of one thread at a time.

    Args:
        epoll: The set.
        spin_us: How long to look without sleeping, in microseconds.
        turn: Where it is noted.
        clock: Nanoseconds that only go forward.
    """

    def __init__(
        self,
        epoll: epoll,
        spin_us: int,
        turn: Turn,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._turn = turn
        self._poll = epoll.poll
        self._clock = clock
        self._spin_ns = spin_us * 1000
        self._short_ns = 2 * self._spin_ns
        self._lively = False
        self.began_ns = 0
        """When the last wait began, by the clock."""

    def wait(self, timeout_s: float | None) -> list[tuple[int, int]]:
        """What `epoll.poll(timeout_s)` gives; it may end too early, after `LONGEST_S`."""
        poll, clock = self._poll, self._clock
        self._turn.beat()
        self.began_ns = start = now = clock()
        if timeout_s == 0:
            return poll(0)
        if timeout_s is not None and timeout_s > LONGEST_S:
            timeout_s = LONGEST_S
        found: list[tuple[int, int]] = []
        if self._lively and (timeout_s is None or timeout_s * 1e9 > self._spin_ns):
            while not found and now - start < self._spin_ns:
                os.sched_yield()
                found = poll(0)
                now = clock()
        if not found:
            # The core may have been away for longer than the timeout; less than 0 is for ever.
            left_s = None if timeout_s is None else max(0.0, timeout_s - (now - start) / 1e9)
            with self._turn:
                found = poll(left_s)
            now = clock()
        self._lively = now - start < self._short_ns
        return found

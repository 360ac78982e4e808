"""Timers of a loop, which go off when a test says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """What `call_later` gives."""

    def __init__(self, clock: Clock, call: Callable[[], None]) -> None:
        self._clock = clock
        self.call = call

    def cancel(self) -> None:
        if self in self._clock.waiting:
            self._clock.waiting.remove(self)


class Clock:
    """Stands for an event loop that only has timers."""

    def __init__(self) -> None:
        self.waiting: list[Timer] = []

    def call_later(self, _delay_s: float, call: Callable[[], None]) -> Timer:
        timer = Timer(self, call)
        self.waiting.append(timer)
        return timer

    def tick(self) -> None:
        """All timers that wait now go off."""
        due, self.waiting = self.waiting, []
        for timer in due:
            timer.call()

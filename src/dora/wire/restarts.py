"""Whether what failed is started again, and when: the rules of `restart_policy`. Pure: no clock.

Counted for each node by `daemon.departures`, for each operator by `node.operators`.
"""

from __future__ import annotations

from typing import Protocol

_MAX_DOUBLINGS = 16


class Rules(Protocol):
    """What a dataflow file says about restarts."""

    @property
    def policy(self) -> str:
        """`never`, `on-failure` or `always`."""

    @property
    def max_restarts(self) -> int:
        """How often within `window_s`; 0 is without end."""

    @property
    def delay_s(self) -> float | None:
        """Before the first; each further one waits twice as long."""

    @property
    def max_delay_s(self) -> float | None:
        """The longest delay."""

    @property
    def window_s(self) -> float | None:
        """How long a restart counts."""


class Restarts:
    """Counts the restarts of one node or operator."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._since_s = 0.0
        self.count = 0
        """How many there were in the present window."""

    @property
    def window(self) -> tuple[int, float]:
        """How many restarts count now, and since when; for one that takes over."""
        return self.count, self._since_s

    def take_over(self, window: tuple[int, float]) -> None:
        """Go on counting where another left off."""
        self.count, self._since_s = window

    def after_failure(self, now_s: float) -> float | None:
        """How long to wait before the next start; None when there is none.

        Args:
            now_s: When it failed, by a clock that only goes forward.
        """
        rules = self._rules
        if rules.policy == "never":
            return None
        if rules.window_s is not None and now_s - self._since_s > rules.window_s:
            self.count = 0
        if rules.max_restarts and self.count >= rules.max_restarts:
            return None
        if self.count == 0:
            self._since_s = now_s
        delay_s: float = (rules.delay_s or 0.0) * 2 ** min(self.count, _MAX_DOUBLINGS)
        self.count += 1
        return delay_s if rules.max_delay_s is None else min(delay_s, rules.max_delay_s)

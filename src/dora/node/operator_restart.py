"""Whether an operator that failed is made anew, and when. Pure: no clock, no operator.

Told of each failure by `node.operators`. The rules are those of a node's `restart_policy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dora.wire.runtime import OperatorRestart

_MAX_DOUBLINGS = 16


class Restarts:
    """Counts the restarts of one operator."""

    def __init__(self, rules: OperatorRestart) -> None:
        self._rules = rules
        self._since_s = 0.0
        self.count = 0
        """How many there were in the present window."""

    def after_failure(self, now_s: float) -> float | None:
        """How long to wait before the operator is made anew; None when it is not.

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

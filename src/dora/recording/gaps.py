"""Which messages of an output never came: their running numbers are missing. Pure.

Each process of a node numbers the messages of an output from 1, and has memory of its own, by which
its messages are known.
"""

from __future__ import annotations


class Gaps:
    """Counts what is missing, by topic."""

    def __init__(self) -> None:
        self.whole = False
        """Whether the first message of an output is number 1, and not whichever comes first."""
        self._last: dict[str, tuple[int, int]] = {}

    def missing(self, topic: str, arena: int, sequence: int) -> int:
        """Take note of a message; how many are missing in front of it.

        Args:
            topic: The output.
            arena: The memory of its sender's process.
            sequence: Its running number.
        """
        before = self._last.get(topic)
        self._last[topic] = arena, sequence
        if before is None:
            return sequence - 1 if self.whole else 0
        if before[0] != arena:
            return max(0, sequence - 1)
        return max(0, sequence - before[1] - 1)

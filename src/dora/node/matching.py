"""Which messages of several inputs belong together: pure, without a clock or an input.

Around each message of the first input, the *pivot*, the nearest of every other is chosen, if it is
within the tolerance (or has the very same key: exact). A message is in one group at most, and the
groups are in order; so which there are does not depend on how the inputs' messages interleave. A
pivot is decided when every other input has come as far, or has closed; where not all inputs are
needed, also when as many as are needed have gone on past its tolerance.

At most `keep` messages of an input wait; of more, the oldest is decided, or dropped.
Used by `node.synchroniser`.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = TypeVar("Item")


class Match(NamedTuple, Generic[Item]):
    """Items that belong together."""

    time: Any
    """That of the pivot."""
    items: dict[str, Item]
    """By input; those that were found."""
    times: dict[str, Any]
    """Of each item."""


class Rule(Protocol[Item]):
    """Brings items together."""

    late: Counter[str]
    """Items that were older than one before them on their input, and so were not used."""
    unmatched: Counter[str]
    """Items that came to be in no group."""

    def put(self, name: str, time: Any, item: Item) -> list[Match[Item]]:
        """Take an item in; the groups that are complete now."""

    def close(self, name: str) -> list[Match[Item]]:
        """Nothing more comes on this input; the groups that are complete now."""

    @property
    def over(self) -> bool:
        """Whether there can be no more groups."""


class Nearest(Generic[Item]):
    """See the module.

    Args:
        names: The inputs, the pivot first.
        tolerance: How far from the pivot an item may be; None asks for equal times.
        at_least: How many inputs a group needs, the pivot's included.
        keep: How many items of an input may wait.
    """

    def __init__(
        self, names: Sequence[str], tolerance: float | None, at_least: int, keep: int
    ) -> None:
        self.late: Counter[str] = Counter()
        self.unmatched: Counter[str] = Counter()
        self._pivot = names[0]
        self._tolerance = tolerance
        self._at_least = at_least
        self._keep = keep
        self._waiting: dict[str, deque[tuple[Any, Item]]] = {name: deque() for name in names}
        self._newest: dict[str, Any] = {}
        self._closed: set[str] = set()

    def put(self, name: str, time: Any, item: Item) -> list[Match[Item]]:
        """Take an item in; the groups that are complete now."""
        if name in self._newest and time < self._newest[name]:
            self.late[name] += 1
            return []
        self._newest[name] = time
        self._waiting[name].append((time, item))
        found = self._settle()
        if len(self._waiting[name]) > self._keep:
            if name == self._pivot:
                found += self._decide()
            else:
                self._drop(name)
        return found

    def close(self, name: str) -> list[Match[Item]]:
        """Nothing more comes on this input; the groups that are complete now."""
        self._closed.add(name)
        found = self._settle()
        if self.over:
            for other, items in self._waiting.items():
                self.unmatched[other] += len(items)
                items.clear()
        return found

    @property
    def over(self) -> bool:
        """Whether there can be no more groups."""
        live = [name for name, items in self._waiting.items() if items or name not in self._closed]
        return self._pivot not in live or len(live) < self._at_least

    def _settle(self) -> list[Match[Item]]:
        found: list[Match[Item]] = []
        pivots = self._waiting[self._pivot]
        while pivots and self._is_decided(pivots[0][0]):
            found += self._decide()
        if self._pivot in self._newest:
            oldest = pivots[0][0] if pivots else self._newest[self._pivot]
            for name, items in self._waiting.items():
                while name != self._pivot and items and self._is_before(items[0][0], oldest):
                    self._drop(name)
        return found

    def _is_decided(self, pivot: Any) -> bool:
        if all(self._has_come(name, pivot) for name in self._waiting if name != self._pivot):
            return True
        if self._at_least == len(self._waiting):
            return False
        past = sum(self._is_before(pivot, newest) for newest in self._newest.values())
        return past >= self._at_least

    def _has_come(self, name: str, pivot: Any) -> bool:
        """Whether nothing that comes later on this input can be nearer than what waits."""
        if name in self._closed:
            return True
        items = self._waiting[name]
        if items and items[-1][0] >= pivot:
            return True
        return name in self._newest and self._is_before(pivot, self._newest[name])

    def _decide(self) -> list[Match[Item]]:
        """Group the oldest pivot, or give it up."""
        time, item = self._waiting[self._pivot].popleft()
        chosen = {
            name: index
            for name in self._waiting
            if name != self._pivot and (index := self._nearest(name, time)) is not None
        }
        if len(chosen) + 1 < self._at_least:
            self.unmatched[self._pivot] += 1
            return []
        items, times = {self._pivot: item}, {self._pivot: time}
        for name, index in chosen.items():
            for _ in range(index):
                self._drop(name)
            times[name], items[name] = self._waiting[name].popleft()
        return [Match(time, items, times)]

    def _nearest(self, name: str, pivot: Any) -> int | None:
        """Where the item nearest to the pivot waits; of two, the earlier one."""
        best, best_distance = None, None
        for index, (time, _) in enumerate(self._waiting[name]):
            if self._tolerance is None:
                if time == pivot:
                    return index
                continue
            distance = abs(time - pivot)
            if distance > self._tolerance:
                continue
            if best_distance is None or distance < best_distance:
                best, best_distance = index, distance
        return best

    def _is_before(self, time: Any, other: Any) -> bool:
        """Whether `time` is before `other`, and too far from it."""
        if self._tolerance is None:
            return bool(time < other)
        return bool(time < other and other - time > self._tolerance)

    def _drop(self, name: str) -> None:
        self._waiting[name].popleft()
        self.unmatched[name] += 1


class Latest(Generic[Item]):
    """Each item of the first input, with the newest that every other has brought so far.

    Args:
        names: The inputs, the pivot first.
        at_least: How many inputs a group needs, the pivot's included.
    """

    def __init__(self, names: Sequence[str], at_least: int) -> None:
        self.late: Counter[str] = Counter()
        self.unmatched: Counter[str] = Counter()
        self._pivot = names[0]
        self._others = list(names[1:])
        self._at_least = at_least
        self._newest: dict[str, tuple[Any, Item]] = {}
        self._unused: set[str] = set()
        self._closed: set[str] = set()

    def put(self, name: str, time: Any, item: Item) -> list[Match[Item]]:
        """Take an item in; the groups that are complete now."""
        if name != self._pivot:
            self.unmatched[name] += name in self._unused
            self._unused.add(name)
            self._newest[name] = (time, item)
            return []
        if len(self._newest) + 1 < self._at_least:
            self.unmatched[name] += 1
            return []
        self._unused.clear()
        items = {self._pivot: item}
        items |= {other: self._newest[other][1] for other in self._others if other in self._newest}
        times = {self._pivot: time}
        times |= {other: self._newest[other][0] for other in self._others if other in self._newest}
        return [Match(time, items, times)]

    def close(self, name: str) -> list[Match[Item]]:
        """Nothing more comes on this input."""
        self._closed.add(name)
        return []

    @property
    def over(self) -> bool:
        """Whether there can be no more groups."""
        can_come = [n for n in self._others if n in self._newest or n not in self._closed]
        return self._pivot in self._closed or len(can_come) + 1 < self._at_least

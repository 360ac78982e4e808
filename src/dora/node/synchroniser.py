"""Several inputs brought together in time: `for group in node.sync([...])`.

Reads its inputs apart from all others. Elsewhere: which messages belong together
(`node.matching`), reading some inputs apart (`node.selection`).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from dora.errors import InputError
from dora.node import services
from dora.node.matching import Latest, Match, Nearest, Rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from dora.node.event_types import Event, InputEvent
    from dora.node.host import Host

_BATCH = 256
"""How much is read at once where only the newest counts."""

Mode = Literal["nearest", "exact", "latest"]


class Group(dict[str, "InputEvent"]):
    """Events that belong together, by input; of an input that has none, the key is not there."""

    def __init__(self, match: Match[InputEvent]) -> None:
        super().__init__(match.items)
        self.time: Any = match.time
        """That of the first input's message; of a datetime, for `nearest`, seconds since 1970."""
        times = [_number(time) for time in match.times.values()]
        self.spread_s: float = max(times) - min(times)
        """How far its messages are apart; 0 where times are no times but keys."""


class Synchroniser:
    """See `Node.sync`. Iterated over once, by `for` or `async for`."""

    def __init__(
        self,
        host: Host,
        inputs: Iterable[str] | Mapping[str, str],
        tolerance_s: float | None,
        mode: Mode,
        at_least: int | None,
        keep: int,
        key: str,
        others: Callable[[Event], object] | None,
    ) -> None:
        # A set has no order that stays: which input is the first must not change from run to run.
        names = sorted(inputs) if isinstance(inputs, Set) else list(inputs)
        self._inputs = services.check_inputs(host, names)
        if len(names) < 2 or len(self._inputs) < len(names):
            raise ValueError(f"`sync` brings two or more inputs together, not {names}")
        needed = len(names) if at_least is None else at_least
        if not 1 <= needed <= len(names):
            raise ValueError(f"`at_least` is {needed}; it is a number from 1 to {len(names)}")
        if keep < 1:
            raise ValueError(f"`keep` is {keep}; it is a number of messages, 1 or more")
        self._keys = dict(inputs) if isinstance(inputs, Mapping) else dict.fromkeys(names, key)
        self._mode = mode
        self._first = names[0]
        self._host = host
        self._others = others
        self._rule = _rule_of(names, mode, tolerance_s, needed, keep)

    @property
    def late(self) -> dict[str, int]:
        """Messages so far that were older than one before them on their input: not used."""
        return dict(+self._rule.late)

    @property
    def unmatched(self) -> dict[str, int]:
        """Messages so far that came to be in no group, by input."""
        return dict(+self._rule.unmatched)

    def __iter__(self) -> Iterator[Group]:
        """The groups as they are complete, until there can be no more, or the dataflow stops.

        Raises:
            InputError: a message lacks the metadata key that holds its time.
        """
        if self._others is not None:
            yield from self._among_others(self._others)
            return
        with self._host.stream.select(self._inputs, _any, exclusive=True) as selection:
            while not self._rule.over and (event := selection.wait()) is not None:
                selection.hands_out = False  # what is asked for next may belong to the same group
                events = [event]
                while self._mode == "latest" and len(events) < _BATCH:
                    more = selection.try_take()
                    if more is None:
                        break
                    events.append(more)
                for group in self._take(events):
                    yield group
                    selection.hands_out = True

    async def __aiter__(self) -> AsyncIterator[Group]:
        if self._others is not None:
            raise ValueError(
                "`others` is for a plain `for`; under asyncio read other events in a task of its "
                "own: `async for event in node`"
            )
        with self._host.stream.select(self._inputs, _any, exclusive=True) as selection:
            while not self._rule.over and (event := await selection.receive()) is not None:
                selection.hands_out = False  # what is asked for next may belong to the same group
                events = [event]
                while self._mode == "latest" and len(events) < _BATCH:
                    more = selection.try_take()
                    if more is None:
                        break
                    events.append(more)
                for group in self._take(events):
                    yield group
                    selection.hands_out = True

    def _among_others(self, others: Callable[[Event], object]) -> Iterator[Group]:
        while not self._rule.over and (event := self._host.stream.wait()) is not None:
            if event["type"] in ("INPUT", "INPUT_CLOSED") and event.get("id") in self._inputs:
                yield from self._take([event])
            else:
                others(event)

    def _take(self, events: list[Event]) -> Iterator[Group]:
        # Where the newest counts, the first input comes last: it makes the groups.
        for event in sorted(events, key=lambda event: event.get("id") == self._first):
            if event["type"] == "INPUT":
                found = self._rule.put(event["id"], self._time(event), event)
            elif event["type"] == "INPUT_CLOSED":
                found = self._rule.close(event["id"])
            else:
                continue
            for match in found:
                yield Group(match)

    def _time(self, event: InputEvent) -> Any:
        key = self._keys[event["id"]]
        time = event["metadata"].get(key)
        if self._mode == "nearest" and isinstance(time, datetime):
            return time.timestamp()
        if time is None or (self._mode == "nearest" and not isinstance(time, int | float)):
            raise InputError(
                f"input `{event['id']}` brought a message whose metadata `{key}` is {time!r}; "
                "`sync` needs "
                + ("a datetime or a number of seconds" if self._mode == "nearest" else "it")
                + " there, or another key: `key=...`"
            )
        return time


def _rule_of(
    names: list[str], mode: Mode, tolerance_s: float | None, at_least: int, keep: int
) -> Rule[InputEvent]:
    if mode == "nearest":
        if tolerance_s is None or not tolerance_s >= 0:
            raise ValueError(
                f"`tolerance_s` is {tolerance_s}; mode `nearest` needs a number of seconds, 0 or "
                "more"
            )
        return Nearest(names, tolerance_s, at_least, keep)
    if tolerance_s is not None:
        raise ValueError(f"`tolerance_s` is for mode `nearest`, not for `{mode}`")
    if mode == "exact":
        return Nearest(names, None, at_least, keep)
    if mode == "latest":
        return Latest(names, at_least)
    raise ValueError(f"`mode` is {mode!r}; it is `nearest`, `exact` or `latest`")


def _number(time: Any) -> float:
    if isinstance(time, datetime):
        return time.timestamp()
    return float(time) if isinstance(time, int | float) else 0.0


def _any(_event: InputEvent) -> bool:
    return True

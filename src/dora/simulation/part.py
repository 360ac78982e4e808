"""One node of a simulation: what it waits for, and which event it is handed next. Pure.

The order of events is that of `node.event_stream`: what the coordinator says first, then inputs,
the least recently served first. Times are nanoseconds of virtual time.

Moved by `simulation.coordinator`. Elsewhere: one input (`simulation.queues`).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from dora.node import events
from dora.simulation.queues import InputQueue, Parcel, TimerQueue
from dora.wire.simulation import Answer, Message, Over, Said, Tick

if TYPE_CHECKING:
    from collections.abc import Iterable


class Wait(msgspec.Struct, frozen=True):
    """An ask that was not answered yet."""

    receive: bool
    deadline_ns: int | None
    output: str | None = None
    """Where it waits for room: on this output,"""
    parcel: Parcel | None = None
    """with this message."""


class Part:
    """A node.

    Args:
        node_id: The node.
        inputs: What it reads from others.
        timers: What ticks for it.
        end_without_timers: Whether its stream ends although timers could tick on.
    """

    def __init__(
        self,
        node_id: str,
        inputs: Iterable[InputQueue],
        timers: Iterable[TimerQueue] = (),
        *,
        end_without_timers: bool = False,
    ) -> None:
        self.id = node_id
        self.inputs = {queue.id: queue for queue in inputs}
        self.joined = False
        self.begun = False
        self.gone = False
        """Whether it said goodbye, or its process ended."""
        self.ended = False
        """Whether STOP was handed out."""
        self.resumed = 0
        """Its last turn; the coordinator counts turns."""
        self.waits: dict[int, Wait] = {}
        self.busy = 0
        self._pending: deque[dict[str, Any]] = deque()
        self._sources: list[InputQueue | TimerQueue] = [*self.inputs.values(), *timers]
        self._turn = 0
        data = sum(not queue.endless for queue in self.inputs.values())
        self._closes = bool(data) and (data == len(self._sources) or end_without_timers)

    @property
    def settled(self) -> bool:
        """Whether nothing happens in it until somebody acts on it."""
        if self.gone:
            return True
        return len(self.waits) > self.busy if self.begun else self.joined

    @property
    def listens(self) -> bool:
        """Whether it waits for events; other threads of it may sleep meanwhile."""
        return any(wait.receive for wait in self.waits.values())

    def post(self, event: Any) -> None:
        """Hand this out before any input's messages."""
        self._pending.append(event)

    def answer(self, now_ns: int) -> Answer | None:
        """What it goes on with now: an event, or the end of a wait; None when it still waits.

        Waits for room are the coordinator's.
        """
        for number, wait in self.waits.items():
            if wait.receive:
                event = self._take(number, now_ns)
                if event is not None:
                    del self.waits[number]
                    return event
                break
        for number, wait in self.waits.items():
            due = wait.deadline_ns is not None and now_ns >= wait.deadline_ns
            if due or (wait.receive and self.ended):
                del self.waits[number]
                return Over(number, now_ns)
        return None

    def next_ns(self, now_ns: int) -> int | None:
        """When it will go on, if nobody sends it anything."""
        times = [wait.deadline_ns for wait in self.waits.values()]
        if any(wait.receive for wait in self.waits.values()) and not self.ended:
            times += [source.next_ns(now_ns) for source in self._sources]
        return min((time for time in times if time is not None), default=None)

    def _take(self, number: int, now_ns: int) -> Answer | None:
        """The next event, as the answer to an ask."""
        while not self.ended:
            if self._pending:
                event = self._pending.popleft()
                self.ended = event["type"] == "STOP"
                return Said(number, now_ns, event)
            for queue in self.inputs.values():
                if queue.falls_silent(now_ns):
                    self.post(events.input_closed(queue.id))
            if self._pending:
                continue
            ready = [source for source in self._sources if source.is_ready(now_ns)]
            if not ready:
                return None
            taken = self._serve(min(ready, key=_last_served), number, now_ns)
            if taken is not None:
                return taken
        return None

    def _serve(self, source: InputQueue | TimerQueue, number: int, now_ns: int) -> Answer | None:
        """What an input hands out now; None for a silent one's end, which was told before."""
        if isinstance(source, InputQueue) and source.silent and len(source):
            source.silent = False
            return Said(number, now_ns, dict(events.input_recovered(source.id)))
        self._turn = source.served = self._turn + 1
        if isinstance(source, TimerQueue):
            source.pop(now_ns)
            return Tick(number, now_ns, source.id)
        parcel = source.pop(now_ns)
        if parcel is not None:
            content = (parcel.header, parcel.payload, parcel.metadata, parcel.sent_ns)
            return Message(number, now_ns, source.id, *content)
        if self._closes and all(q.closed for q in self.inputs.values() if not q.endless):
            self.post(events.stop("ALL_INPUTS_CLOSED"))
        return None if source.silent else Said(number, now_ns, dict(events.input_closed(source.id)))


def _last_served(source: InputQueue | TimerQueue) -> int:
    return source.served

"""The event stream: inputs, timers, the daemon's words, in one order, behind one epoll set.

Events of the daemon come first, then inputs, the least recently served first. The queues are the
inputs' own pipes: nothing is read ahead. The epoll descriptor can itself be watched, so asyncio
needs no thread. Waiting gives up the GIL and is broken by signals.

One thread waits at a time (a lock sees to it); any thread may `post` an event. Elsewhere: making
an event from a ticket (`node.inputs`), reading some inputs apart (`node.selection`).
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING

from dora.node import events
from dora.node.open_inputs import OpenInputs
from dora.node.sources import AlarmSource, Control, Wake, last_served
from dora.node.waiting import Waiting
from dora.wire.board import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.node.desk import Desk
    from dora.node.event_types import Event, InputEvent
    from dora.node.inputs import InputPort
    from dora.node.selection import Selection
    from dora.node.sources import Source
    from dora.node.timers import Timer

_TIDY_EVERY_S = 0.5  # How often a node that waits looks for returned memory.


class EventStream:
    """All that a node waits for. Owns the epoll set and the sources; `close()` gives them up.

    Args:
        ports: Inputs from other nodes.
        timers: Inputs that tick.
        control_fd: The daemon's socket.
        pump: Reads the daemon's socket; calls `post` for what it found.
        endless: Ids of inputs that never close of themselves.
        end_without_timers: Timers and endless inputs do not keep the stream open.
        spin_us: How long a wait stays awake where messages come thick; see `node.waiting`.
        tidy: Takes back memory that receivers returned; whether they still hold much.
        turn: Where waits are noted.
    """

    def __init__(
        self,
        ports: list[InputPort],
        timers: list[Timer],
        control_fd: int,
        pump: Callable[[], None],
        *,
        endless: frozenset[str],
        end_without_timers: bool,
        spin_us: int,
        tidy: Callable[[], bool],
        turn: Turn | None = None,
    ) -> None:
        self._lock = threading.RLock()
        self.asks: Callable[[], None] | None = None
        """Called, while a message is traced, by whoever asks for an event."""
        self._tidy = tidy
        self._pending: deque[Event] = deque()
        self._ready: list[Source] = []
        self._silent: set[str] = set()  # inputs that timed out and brought nothing since
        self.served = self.served_before = 0  # inputs, in all, and when it was last waited
        self.turn = turn or Turn()
        self._ended = False
        self._closed = False
        self.spin_us = spin_us
        self.selections: tuple[Selection, ...] = ()  # who reads apart; replaced, never changed
        # Held for a moment to change them or what is open; never for the stream's lock.
        self._selecting = threading.RLock()
        self._desk: Desk | None = None
        self._pump = pump
        self._control_fd = control_fd
        self._merged: list[Callable[[], None]] = []
        self.inputs = OpenInputs(timers, endless, end_without_timers=end_without_timers)
        self._wake = Wake(self._serve_hungry)
        self._epoll = select.epoll()
        self.waits = Waiting(self._epoll, spin_us, self.turn)
        self._sources: dict[int, Source] = {}
        self._watch(self._wake.fd, self._wake)
        self._watch(control_fd, Control(pump))
        for timer in timers:
            self._watch(timer.fd, timer)
        for port in ports:
            self.add_port(port)

    @property
    def input_ids(self) -> frozenset[str] | None:
        """The inputs that there are; None on a stage, where any id may come."""
        return self.inputs.ids or None

    def fileno(self) -> int:
        """The epoll descriptor: readable when an event may be there."""
        return self._epoll.fileno()

    @property
    def ended(self) -> bool:
        """Whether STOP was handed out, or the stream was closed: nothing more comes."""
        return self._ended

    def post(self, event: Event) -> None:
        """Put an event of the daemon in; wakes a waiting thread. Any thread may call this."""
        self._pending.append(event)
        self.wake_up()
        self._ring()

    def wait(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None when the stream has ended; ERROR when the time is over."""
        if (asks := self.asks) is not None:
            asks()
        if not self._lock.acquire(True, -1 if timeout_s is None else min(timeout_s, TIMEOUT_MAX)):
            return events.timeout(timeout_s or 0.0)
        try:
            deadline = None if timeout_s is None else time.monotonic() + timeout_s
            left = timeout_s
            while not self._ended:
                if not self._ready and not self._pending:
                    self._poll(left)
                event = self._take()
                if event is not None:
                    return event
                if deadline is not None:
                    left = max(0.0, deadline - time.monotonic())
                    if not left and not self._pending:
                        return events.timeout(timeout_s or 0.0)
            return None
        finally:
            self._lock.release()
            self._ring()

    def try_take(self) -> Event | None:
        """The next event if there is one now; None when there is none, or the stream has ended."""
        if (asks := self.asks) is not None:
            asks()
        if not self._lock.acquire(blocking=False):
            return None  # another thread waits, and will be handed whatever comes
        try:
            while (event := self._take()) is None and not self._ended:
                self._poll(0)
                if not self._ready:
                    break
            return event
        finally:
            self._lock.release()
            self._ring()

    def drain(self) -> list[Event]:
        """All events that are there now, in the order of each input."""
        if (asks := self.asks) is not None:
            asks()
        found: list[Event] = []
        if not self._lock.acquire(blocking=False):
            return found  # another thread waits, and will be handed whatever comes
        try:
            if not self._ended:
                self.turn.beat()  # it reads without waiting
                self._pump()
            self._drain_pending(found)
            for source in sorted(list(self._sources.values()), key=last_served):
                for _ in range(source.waiting if source.served >= 0 else 0):
                    if self._ended or (event := source.take()) is None:
                        break
                    if (handed := self._hand_out(event)) is not None:
                        found.append(handed)
                    self._drain_pending(found)
            return found
        finally:
            self._lock.release()
            self._ring()

    def is_empty(self) -> bool:
        """Whether no event is there now. Reads none: what waits stays in its queue."""
        if not self._lock.acquire(blocking=False):
            return not self._pending
        try:
            while not self._ended and not self._pending:
                if not self._ready:
                    self._poll(0)
                    if not self._ready:
                        return True
                source = self._ready[-1]
                if source.served >= 0 and source.waiting:
                    return False
                if (event := self._ready.pop().take()) is not None:
                    self._pending.append(event)
            return self._ended
        finally:
            self._lock.release()
            self._ring()

    def select(
        self,
        inputs: frozenset[str] | None,
        wants: Callable[[InputEvent], bool],
        *,
        exclusive: bool = False,
    ) -> Selection:
        """Read some inputs apart from `next()`; see `node.selection`. The caller closes it."""
        from dora.node.desk import Desk
        from dora.node.selection import Selection, refuse

        with self._selecting:
            refuse(self.selections if exclusive else (), inputs, self._closed)
            if self._desk is None:
                self._desk = Desk(self._pending, self.wake_up, self._end_input, self._recovered)
            closed, chosen = self.inputs.closed, self.inputs.read_by(inputs)
            selection = Selection(
                self, inputs, wants, list(chosen), closed, self._control_fd, exclusive=exclusive
            )
            self.selections = (*self.selections, selection)
            for source in chosen if exclusive else ():
                self.unwatch(source.fd)
        return selection

    def deselect(self, selection: Selection, left: list[Event]) -> None:
        """The selection is over: its inputs, and what is left, are for `next()` again."""
        self._pending.extend(left)  # before its inputs are read again: what is left is older
        with self._selecting:
            self.selections = tuple(one for one in self.selections if one is not selection)
            if selection.exclusive and not self._closed:
                for source in selection.sources:
                    self._watch(source.fd, source)
        self.wake_up()

    def serve(self, selection: Selection) -> bool:
        """Give the selection what is there; False when another thread has the stream."""
        if (asks := self.asks) is not None and selection.hands_out and not selection.got:
            asks()
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if not self._ended:
                self._pump()
            assert self._desk is not None
            self._desk.serve(selection, self.selections, self._ended)
            if not selection.got and selection.over is None:
                self._idle()
            return True
        finally:
            self._lock.release()
            self._ring(but=selection)

    def merge(self, fd: int, source: Source, end: Callable[[], None]) -> None:
        """Wait for a source of another kind too; `end` is called when the stream closes."""
        with self._selecting:
            self._merged.append(end)
            if not self._closed:
                self._watch(fd, source)

    def watermark(self, input_id: str | None = None) -> int | float | None:
        """How far an input's senders said to have come; of all inputs, the least; None: unsaid."""
        return self.inputs.watermark(input_id)

    def add_port(self, port: InputPort) -> None:
        """Read one more input; one that is open, behind all it has. Any thread may call this."""
        with self._selecting:
            if self.inputs.add(port):
                self._silent.discard(port.id)
                self._watch_port(port, [one for one in self.selections if one.admit(port)])

    def _watch_port(self, port: InputPort, apart: list[Selection]) -> None:
        if not any(selection.exclusive for selection in apart):
            self._watch(port.fd, port)
        if port.alarm is not None:
            self._watch(port.alarm.fd, AlarmSource(port, port.alarm, self._silent))

    def close(self) -> None:
        """End the stream; a thread that waits is handed None."""
        self._ended = True
        self.wake_up()
        with self._lock:
            if self._closed:
                return
            with self._selecting:
                self._closed = self.inputs.over = True
            for end in self._merged:
                end()
            self._epoll.close()
            self.inputs.close()
            self._wake.close()
        self._ring()  # not before: who looked meanwhile did not get the lock

    def _ring(self, but: Selection | None = None) -> None:
        """Have those who read apart look again: something changed, or the stream is free."""
        for selection in self.selections:
            if selection is not but:
                selection.ring()

    def wake_up(self) -> None:
        """Have the thread that waits look again. Any thread may call this."""
        self._wake.ring()

    def _serve_hungry(self) -> None:
        if self._desk is not None:
            self._desk.serve_hungry(self.selections, self._ended)

    def _watch(self, fd: int, source: Source) -> None:
        self._sources[fd] = source
        self._epoll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """Wait for this descriptor no more."""
        if self._sources.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _poll(self, timeout_s: float | None) -> None:
        """Wait; fill `_ready`, the least recently served last. May end too early."""
        if self._tidy():
            timeout_s = _TIDY_EVERY_S if timeout_s is None else min(timeout_s, _TIDY_EVERY_S)
        try:
            found = self.waits.wait(timeout_s)
        except (ValueError, OSError):
            if self._closed:  # closed by a signal handler while waiting
                return
            raise
        self.served_before = self.served
        for fd, _ in found:
            source = self._sources.get(fd)
            if source is not None:  # else another thread has just unwatched it
                self._ready.append(source)
        if len(found) > 1:
            self._ready.sort(key=last_served, reverse=True)

    def _idle(self) -> None:
        """Somebody waits and nothing is there."""

    def _drain_pending(self, found: list[Event]) -> None:
        while self._pending and not self._ended:
            if (event := self._take()) is not None:
                found.append(event)

    def _take(self) -> Event | None:
        """An event that is there without waiting."""
        while not self._ended:
            if self._pending:
                event = self._pending.popleft()
            elif self._ready:
                source = self._ready.pop()
                if (taken := source.take()) is None:
                    continue
                event = taken
                if source.served >= 0:
                    self.served = source.served = self.served + 1
            else:
                return None
            if event["type"] == "INPUT" and not self._silent and not self.selections:
                return event
            if (handed := self._hand_out(event)) is not None:
                return handed
        return None

    def _hand_out(self, event: Event) -> Event | None:
        """Note what an event means for the stream; the event to hand out, if any."""
        match event["type"]:
            case "INPUT":
                if self._recovered(event["id"]):
                    self._pending.appendleft(event)
                    return events.input_recovered(event["id"])
                for selection in self.selections:
                    if selection.takes(event) and selection.give(event):
                        return None
            case "INPUT_CLOSED" if self.inputs.ended(event["id"]):
                told = event["id"] in self._silent  # it was called closed when it timed out
                self._end_input(event["id"])
                return None if told else event
            case "STOP":
                self._ended = True
        return event

    def _recovered(self, input_id: str) -> bool:
        """Whether an input that brings something was silent until now."""
        was_silent = input_id in self._silent
        self._silent.discard(input_id)
        return was_silent

    def _end_input(self, input_id: str) -> None:
        port = self.inputs.ports[input_id]
        with self._selecting:
            for selection in self.selections:
                selection.forget(input_id)
            for fd in port.fds:
                self.unwatch(fd)
            port.close()
            if (following := self.inputs.end(input_id)) is not None:
                self.add_port(following)
        if self.inputs.all_over and not self.inputs.ended_by_detaching:
            self._pending.append(events.stop("ALL_INPUTS_CLOSED"))

"""The event stream: inputs, timers, the daemon's words, in one order, behind one epoll set.

Events of the daemon come first, then inputs, the least recently served first. The queues are the
inputs' own pipes: nothing is read ahead. The epoll descriptor can itself be watched, so asyncio
needs no thread. Waiting gives up the GIL and is broken by signals.

One thread waits at a time (a lock sees to it); any thread may `post` an event.
Elsewhere: making an event from a ticket (`node.inputs`), reading the socket (`node.daemon_link`).
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from dora.node import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.node.inputs import InputPort
    from dora.node.timers import Timer


class _Source(Protocol):
    """Something whose descriptor the epoll set watches."""

    served: int

    def take(self) -> events.Event | None: ...


class _Control:
    """The daemon's socket, as a source: pumping it posts events."""

    served = -1

    def __init__(self, pump: Callable[[], None]) -> None:
        self._pump = pump

    def take(self) -> None:
        self._pump()


class _Wake:
    """The eventfd by which another thread says that it posted an event."""

    served = -1

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def take(self) -> None:
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return


class _AlarmSource:
    """The clock of an input's `input_timeout`."""

    served = -1

    def __init__(self, port: InputPort) -> None:
        self._port = port

    def take(self) -> events.Event | None:
        port = self._port
        if port.alarm is None or not port.alarm.went_off() or port.silent:
            return None
        port.silent = True
        return events.input_closed(port.id)


class EventStream:
    """All that a node waits for. Owns the epoll set and the sources; `close()` gives them up.

    Args:
        ports: Inputs from other nodes.
        timers: Inputs that tick.
        control_fd: The daemon's socket.
        pump: Reads the daemon's socket; calls `post` for what it found.
        endless: Ids of inputs that never close of themselves.
        end_without_timers: Timers and endless inputs do not keep the stream open.
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
    ) -> None:
        self._lock = threading.RLock()
        self._pending: deque[events.Event] = deque()
        self._ready: list[_Source] = []
        self._turn = 0
        self._ended = False
        self._closed = False
        self._ports = {port.id: port for port in ports}
        self._timers = timers
        self._data_inputs = {port.id for port in ports if port.id not in endless}
        others = len(timers) + len(ports) - len(self._data_inputs)
        self._closes = bool(self._data_inputs) and (not others or end_without_timers)
        self._wake = _Wake()
        self._epoll = select.epoll()
        self._sources: dict[int, _Source] = {}
        self._watch(self._wake.fd, self._wake)
        self._watch(control_fd, _Control(pump))
        for timer in timers:
            self._watch(timer.fd, timer)
        for port in ports:
            self._watch(port.fd, port)
            if port.alarm is not None:
                self._watch(port.alarm.fd, _AlarmSource(port))

    def fileno(self) -> int:
        """The epoll descriptor: readable when an event may be there."""
        return self._epoll.fileno()

    @property
    def ended(self) -> bool:
        """Whether STOP was handed out, or the stream was closed: nothing more comes."""
        return self._ended

    def post(self, event: events.Event) -> None:
        """Put an event of the daemon in; wakes a waiting thread. Any thread may call this."""
        self._pending.append(event)
        if not self._closed:
            os.eventfd_write(self._wake.fd, 1)

    def wait(self, timeout_s: float | None = None) -> events.Event | None:
        """The next event; None when the stream has ended; ERROR when the time is over."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if not self._lock.acquire(timeout=-1 if timeout_s is None else timeout_s):
            return events.timeout(timeout_s or 0.0)
        try:
            while True:
                event = self._take()
                if event is not None or self._ended:
                    return event
                if deadline is None:
                    self._poll(None)
                    continue
                left = deadline - time.monotonic()
                self._poll(max(0.0, left))
                if not self._ready and left <= 0:
                    return events.timeout(timeout_s or 0.0)
        finally:
            self._lock.release()

    def try_take(self) -> events.Event | None:
        """The next event if there is one now; None when there is none, or the stream has ended."""
        if not self._lock.acquire(blocking=False):
            return None  # another thread waits, and will be handed whatever comes
        try:
            event = self._take()
            while event is None and not self._ended:
                self._poll(0)
                if not self._ready:
                    return None
                event = self._take()
            return event
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the stream; a thread that waits is handed None."""
        self._ended = True
        if self._closed:
            return
        os.eventfd_write(self._wake.fd, 1)
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._epoll.close()
            for port in self._ports.values():
                port.close()
            for timer in self._timers:
                timer.close()
            os.close(self._wake.fd)

    def _watch(self, fd: int, source: _Source) -> None:
        self._sources[fd] = source
        self._epoll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """Wait for this descriptor no more."""
        if self._sources.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _poll(self, timeout_s: float | None) -> None:
        """Wait; fill `_ready`, the least recently served last."""
        try:
            found = self._epoll.poll(timeout_s)
        except ValueError:
            if self._ended:  # closed by a signal handler while waiting
                return
            raise
        sources = self._sources
        if len(found) == 1:
            self._ready = [sources[found[0][0]]]
        else:
            ready = [sources[fd] for fd, _ in found]
            ready.sort(key=lambda source: source.served, reverse=True)
            self._ready = ready

    def _take(self) -> events.Event | None:
        """An event that is there without waiting."""
        while not self._ended:
            if self._pending:
                return self._hand_out(self._pending.popleft())
            if not self._ready:
                return None
            source = self._ready.pop()
            event = source.take()
            if event is not None:
                self._turn += 1
                source.served = self._turn if source.served >= 0 else -1
                return self._hand_out(event)
        return None

    def _hand_out(self, event: events.Event) -> events.Event:
        """Note what an event means for the stream, as it is handed out."""
        kind = event["type"]
        if kind == "INPUT":
            port = self._ports.get(event["id"])  # type: ignore[typeddict-item]
            if port is not None and port.silent:
                port.silent = False
                self._pending.appendleft(event)
                return events.input_recovered(port.id)
        elif kind == "INPUT_CLOSED":
            self._closed_input(event["id"])  # type: ignore[typeddict-item]
        elif kind == "STOP":
            self._ended = True
        return event

    def _closed_input(self, input_id: str) -> None:
        port = self._ports[input_id]
        if port.silent:
            return
        self.unwatch(port.fd)
        if port.alarm is not None:
            self.unwatch(port.alarm.fd)
        port.close()
        self._data_inputs.discard(input_id)
        if self._closes and not self._data_inputs:
            self._pending.append(events.stop("ALL_INPUTS_CLOSED"))

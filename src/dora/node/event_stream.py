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
from threading import TIMEOUT_MAX
from typing import TYPE_CHECKING, Protocol

from dora.node import events
from dora.node.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.node.event_types import Event
    from dora.node.inputs import InputPort
    from dora.node.timers import Alarm, Timer

_LONGEST_POLL_S = 1e6
"""The kernel counts milliseconds in 31 bits."""
_TIDY_EVERY_S = 0.5
"""How often a node that waits looks for returned memory, while receivers hold much."""


class _Source(Protocol):
    """Something whose descriptor the epoll set watches."""

    served: int

    def take(self) -> Event | None: ...


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

    def __init__(self, port: InputPort, alarm: Alarm, silent: set[str]) -> None:
        self._port = port
        self._alarm = alarm
        self._silent = silent

    def take(self) -> Event | None:
        if not self._alarm.went_off() or self._port.id in self._silent:
            return None
        if self._port.waits:  # the input is not silent, only this node is busy
            self._alarm.put_off()
            return None
        self._silent.add(self._port.id)
        return events.input_closed(self._port.id)


def _last_served(source: _Source) -> int:
    return source.served


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
    ) -> None:
        self._lock = threading.RLock()
        self._waking = threading.Lock()
        self._tidy = tidy
        self._pending: deque[Event] = deque()
        self._ready: list[_Source] = []
        self._silent: set[str] = set()
        """Inputs that timed out and brought nothing since."""
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
        self._waiting = Waiting(self._epoll, spin_us)
        self._sources: dict[int, _Source] = {}
        self._watch(self._wake.fd, self._wake)
        self._watch(control_fd, _Control(pump))
        for timer in timers:
            self._watch(timer.fd, timer)
        for port in ports:
            self._watch(port.fd, port)
            if port.alarm is not None:
                self._watch(port.alarm.fd, _AlarmSource(port, port.alarm, self._silent))

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
        self._wake_up()

    def wait(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None when the stream has ended; ERROR when the time is over."""
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

    def try_take(self) -> Event | None:
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
        self._wake_up()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._epoll.close()
            for port in self._ports.values():
                port.close()
            for timer in self._timers:
                timer.close()
            with self._waking:
                os.close(self._wake.fd)

    def _wake_up(self) -> None:
        # Whoever has the lock is waking, or closing: never write to a descriptor that was closed.
        if self._waking.acquire(blocking=False):
            try:
                if not self._closed:
                    os.eventfd_write(self._wake.fd, 1)
            finally:
                self._waking.release()

    def _watch(self, fd: int, source: _Source) -> None:
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
        elif timeout_s is not None and timeout_s > _LONGEST_POLL_S:
            timeout_s = _LONGEST_POLL_S
        try:
            found = self._waiting.wait(timeout_s)
        except (ValueError, OSError):
            if self._closed:  # closed by a signal handler while waiting
                return
            raise
        for fd, _ in found:
            source = self._sources.get(fd)
            if source is not None:  # else another thread has just unwatched it
                self._ready.append(source)
        if len(found) > 1:
            self._ready.sort(key=_last_served, reverse=True)

    def _take(self) -> Event | None:
        """An event that is there without waiting."""
        while not self._ended:
            if self._pending:
                event = self._pending.popleft()
            elif self._ready:
                source = self._ready.pop()
                taken = source.take()
                if taken is None:
                    continue
                event = taken
                if source.served >= 0:
                    self._turn = source.served = self._turn + 1
            else:
                return None
            if event["type"] == "INPUT" and not self._silent:
                return event
            handed = self._hand_out(event)
            if handed is not None:
                return handed
        return None

    def _hand_out(self, event: Event) -> Event | None:
        """Note what an event means for the stream; the event to hand out, if any."""
        match event["type"]:
            case "INPUT":
                if event["id"] in self._silent:
                    self._silent.discard(event["id"])
                    self._pending.appendleft(event)
                    return events.input_recovered(event["id"])
            case "INPUT_CLOSED":
                port = self._ports.get(event["id"])
                if port is not None and port.closed:
                    self._close_input(port)
                    if port.id in self._silent:
                        return None  # it was called closed when it timed out
            case "STOP":
                self._ended = True
        return event

    def _close_input(self, port: InputPort) -> None:
        self.unwatch(port.fd)
        if port.alarm is not None:
            self.unwatch(port.alarm.fd)
        port.close()
        self._data_inputs.discard(port.id)
        if self._closes and not self._data_inputs:
            self._pending.append(events.stop("ALL_INPUTS_CLOSED"))

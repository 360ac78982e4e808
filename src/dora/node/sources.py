"""What an event stream watches beside its inputs: the daemon, other threads, silent inputs' clocks.

Elsewhere: inputs (`node.inputs`), timers (`node.timers`), what a user merges (`node.external`).
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Protocol

from dora.node import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.node.event_types import Event
    from dora.node.inputs import InputPort
    from dora.node.timers import Alarm


class Source(Protocol):
    """Something whose descriptor the epoll set watches."""

    served: int
    """When it was served last, counted in turns; -1 for what comes before all inputs."""

    @property
    def waiting(self) -> int:
        """How many events wait in it now."""

    def take(self) -> Event | None:
        """The next event, if there is one now."""


class Control:
    """The daemon's socket: pumping it posts events."""

    served = -1
    waiting = 0

    def __init__(self, pump: Callable[[], None]) -> None:
        self._pump = pump

    def take(self) -> None:
        """Carry out what the daemon has said."""
        self._pump()


class Wake:
    """The eventfd by which another thread says that it posted an event, or has a selection to read.

    Args:
        heard: Called when it was heard, by the thread that has the stream.
    """

    served = -1
    waiting = 0

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ringing = threading.RLock()  # a signal handler may come in between and close
        self._to_ring = False
        self._closed = False

    def ring(self) -> None:
        """Say it. Any thread may call this."""
        self._to_ring = True  # if another thread has the lock, it sees this when it gives it up
        while self._to_ring and self._ringing.acquire(blocking=False):
            try:
                self._to_ring = False
                if not self._closed:  # never write to a descriptor that was closed
                    os.eventfd_write(self.fd, 1)
            finally:
                self._ringing.release()

    def take(self) -> None:
        """Note that it was heard."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return
        self._heard()

    def close(self) -> None:
        """Give the descriptor up; once."""
        with self._ringing:
            self._closed = True
            os.close(self.fd)


class AlarmSource:
    """The clock of an input's `input_timeout`."""

    served = -1
    waiting = 0

    def __init__(self, port: InputPort, alarm: Alarm, silent: set[str]) -> None:
        self._port = port
        self._alarm = alarm
        self._silent = silent

    def take(self) -> Event | None:
        """INPUT_CLOSED when the input was silent for too long."""
        if not self._alarm.went_off() or self._port.id in self._silent:
            return None
        if self._port.waiting:  # the input is not silent, only this node is busy
            self._alarm.put_off()
            return None
        self._silent.add(self._port.id)
        return events.input_closed(self._port.id)


def last_served(source: Source) -> int:
    """Sorts sources by whose turn it is."""
    return source.served

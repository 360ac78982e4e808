"""Timers of a node: kernel timers (timerfd) that the node's one epoll set waits for.

A periodic timer counts from the dataflow's epoch, so that equal timers of all nodes tick together;
a tick that was missed is skipped. Kernel timers are exact to some microseconds, where a wait with a
timeout rounds to milliseconds. Python has them from 3.13 on; before, they are called in the C
library.
"""

from __future__ import annotations

import os
import select
import sys
import time
from typing import TYPE_CHECKING

from dora.node.inputs import utc_from_ns
from dora.wire.values import null_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.node.event_types import Event, InputEvent

if sys.version_info >= (3, 13):

    def _create() -> int:
        return os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

    def _set(fd: int, first_ns: int, interval_ns: int) -> None:
        os.timerfd_settime_ns(
            fd, flags=os.TFD_TIMER_ABSTIME, initial=first_ns, interval=interval_ns
        )

else:
    _TIMER_ABSTIME = 1

    def _create() -> int:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        fd = int(libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
        if fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_create: {os.strerror(number)}")
        return fd

    def _set(fd: int, first_ns: int, interval_ns: int) -> None:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        # struct itimerspec: interval, then first expiry, each as seconds and nanoseconds.
        fields = (*divmod(interval_ns, 10**9), *divmod(first_ns, 10**9))
        when = (ctypes.c_long * 4)(*fields)
        if libc.timerfd_settime(fd, _TIMER_ABSTIME, when, None) < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_settime: {os.strerror(number)}")


class Timer:
    """An input that ticks. Owns its descriptor; `close()` twice is fine."""

    queue_size = 1
    """Of ticks that are put aside, the last counts, as of those that a busy node misses."""

    def __init__(self, input_id: str, interval_ns: int, epoch_ns: int) -> None:
        self.served = 0
        self.id = input_id
        self.traced: Callable[[Timer, InputEvent], None] | None = None
        """Called with the next tick, when a trace is to begin with it."""
        self.fd = _create()
        # The first tick comes at once: at the epoch, or on the beat a late starter missed last.
        late_ns = max(0, time.monotonic_ns() - epoch_ns)
        _set(self.fd, epoch_ns + late_ns // interval_ns * interval_ns, interval_ns)

    @property
    def waiting(self) -> int:
        """Whether a tick is due now, as a number."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return len(poll.poll(0))

    def count_overtaken(self) -> None:
        """A tick that nobody waited for is not missed: nothing to note."""

    def take(self) -> Event | None:
        """The tick that is due; None when none is."""
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            return None
        event: InputEvent = {
            "kind": "dora",
            "id": self.id,
            "metadata": {"timestamp": utc_from_ns(time.time_ns()), "type_info": "null"},
            "type": "INPUT",
            "value": null_value(),
        }
        if (traced := self.traced) is not None:
            traced(self, event)
        return event

    def close(self) -> None:
        """Stop ticking."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Moment:
    """A descriptor that becomes readable at a moment of the monotonic clock."""

    def __init__(self) -> None:
        self.fd = _create()

    def set(self, at_ns: int) -> None:
        """Become readable then, and not before; one that is over comes at once."""
        _set(self.fd, max(1, at_ns), 0)

    def close(self) -> None:
        """Never come; twice is fine."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Alarm:
    """Goes off once when it was not put off in time: the clock of an `input_timeout`."""

    def __init__(self, after_s: float) -> None:
        self.fd = _create()
        self._after_ns = max(1, round(after_s * 1e9))

    def put_off(self) -> None:
        """Go off the full time from now."""
        _set(self.fd, time.monotonic_ns() + self._after_ns, 0)

    def went_off(self) -> bool:
        """Whether it went off since last asked."""
        try:
            return bool(os.read(self.fd, 8))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Never go off again."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

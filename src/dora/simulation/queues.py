"""What may wait at one input of a simulated node: messages, a timer's tick. Pure.

Queue sizes and policies are those of `transport.edge`, silence and recovery those of
`node.event_stream`; time is a number that the caller gives. Times are nanoseconds of virtual time.

Used by `simulation.part`, which decides whose turn it is.
"""

from __future__ import annotations

from collections import deque

import msgspec


class Parcel(msgspec.Struct, frozen=True):
    """A message on its way; its content is not looked at."""

    header: bytes
    payload: bytes
    metadata: bytes
    sent_ns: int
    correlated: bool = False
    """Whether it belongs to a request or goal, and is never dropped."""
    flush: bool = False
    """Whether it makes older messages of its input pointless."""


class InputQueue:
    """An input that reads from another node.

    Args:
        input_id: The input.
        size: How many messages may wait.
        backpressure: Whether the sender waits for room instead of dropping the oldest.
        timeout_ns: After how long without a message the input counts as closed.
        endless: Whether it never closes of itself (log lines).
    """

    def __init__(
        self,
        input_id: str,
        size: int,
        *,
        backpressure: bool = False,
        timeout_ns: int | None = None,
        endless: bool = False,
    ) -> None:
        self.id = input_id
        self.size = size
        self.backpressure = backpressure
        self.endless = endless
        self.served = 0
        self.dropped = 0
        self.closing = False
        """Whether nothing comes behind what waits."""
        self.closed = False
        """Whether its end was handed out, or its reader is gone."""
        self.silent = False
        """Whether it timed out and brought nothing since."""
        self._parcels: deque[Parcel] = deque()
        self._timeout_ns = timeout_ns
        self._alarm_ns: int | None = None

    def __len__(self) -> int:
        return len(self._parcels)

    @property
    def has_room(self) -> bool:
        """Whether one more message fits without dropping one."""
        return len(self._parcels) < self.size

    def push(self, parcel: Parcel) -> None:
        """Put a message in; the oldest that may be dropped make room for it."""
        if parcel.flush:
            self._parcels = deque(held for held in self._parcels if held.correlated)
        while not self.has_room:
            at = next((i for i, held in enumerate(self._parcels) if not held.correlated), None)
            if at is None:
                break
            del self._parcels[at]
            self.dropped += 1
        self._parcels.append(parcel)

    def is_ready(self, _now_ns: int) -> bool:
        """Whether it has something to hand out."""
        return not self.closed and (bool(self._parcels) or self.closing)

    def pop(self, now_ns: int) -> Parcel | None:
        """The message that waited longest; None at the end, which closes the input."""
        if not self._parcels:
            self.closed = True
            return None
        if self._timeout_ns is not None:
            self._alarm_ns = now_ns + self._timeout_ns
        return self._parcels.popleft()

    def falls_silent(self, now_ns: int) -> bool:
        """Whether its time without a message is just over; says so once."""
        if self.closed or self._alarm_ns is None or now_ns < self._alarm_ns:
            return False
        if self._parcels:  # not silent: only its node is busy
            self._alarm_ns = now_ns + (self._timeout_ns or 0)
            return False
        self._alarm_ns = None
        self.silent = True
        return True

    def next_ns(self, _now_ns: int) -> int | None:
        """When it will have something to say, as far as is known."""
        return None if self.closed else self._alarm_ns


class TimerQueue:
    """An input that ticks; a tick that was missed is skipped."""

    def __init__(self, input_id: str, interval_ns: int) -> None:
        self.id = input_id
        self.served = 0
        self._interval_ns = interval_ns
        self._next_ns = 0

    def is_ready(self, now_ns: int) -> bool:
        """Whether a tick is due."""
        return now_ns >= self._next_ns

    def pop(self, now_ns: int) -> None:
        """Take the tick that is due."""
        self._next_ns = (now_ns // self._interval_ns + 1) * self._interval_ns

    def next_ns(self, _now_ns: int) -> int | None:
        """When it ticks next."""
        return self._next_ns

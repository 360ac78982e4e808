"""One output wired to one input: the ticket pipe, its return pipe, the queue policy; sender's side.

The ticket pipe *is* the queue: the sender writes, the receiver reads one ticket for each event it
hands out. The return pipe brings slots back. Under `drop_oldest` the sender also holds the read end
of the ticket pipe and takes the front ticket off itself while `queue_size` wait; the kernel gives a
ticket to exactly one of the two. Under `backpressure` it waits instead.

A receiver that takes over from dead ones begins with a START in the return pipe: the sequence
number of the first ticket it took. Tickets leave the pipe in the order of their numbers, and what
the dead returned stands in front of the START. So a slot that the edge still holds then under a
smaller number is one that a dead receiver had, and nobody else of this edge will ever see; it is
freed, and no other. A START that names another arena is of a ticket which an earlier process of the
sender wrote: whatever this one put on the edge came behind it.

Used by `transport.sender`, under its lock. Elsewhere: the receiver's side
(`transport.receiving_edge`), what a ticket says (`wire.ticket`), who holds a slot
(`transport.arena`).
"""

from __future__ import annotations

import fcntl
import os
import select
import termios
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from dora.wire.ticket import (
    CLOSE,
    CREDIT,
    INLINE,
    PAGE_BYTES,
    RETURN,
    START_PAGE,
    TICKET_BYTES,
    must_stay,
    pack_close,
    unpack,
)

if TYPE_CHECKING:
    from dora.transport.arena import Arena

_TICKETS_PER_PAGE = PAGE_BYTES // TICKET_BYTES
_MOST_PAGES = 1 << 18
"""A pipe of 1 GiB; the kernel's own argument ends at 2 GiB."""
_NO_SLOT = RETURN.unpack(CREDIT)[1]
_RETURN_READ_BYTES = 4096


class EdgePipes(NamedTuple):
    """All four ends of an edge, and the queue size that the kernel granted."""

    ticket_write: int
    ticket_read: int
    return_read: int
    return_write: int
    queue_size: int


def open_pipes(queue_size: int) -> EdgePipes:
    """Open the pipes of an edge that holds `queue_size` tickets and one CLOSE.

    The pipe is as small as that allows, because a user without privileges may hold 16,384 pages in
    pipes. `queue_size` of the result is less than asked where the kernel allows no larger pipe
    (`/proc/sys/fs/pipe-max-size`). All ends are non-blocking; the caller owns them.
    """
    ticket_read, ticket_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return_read, return_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        os.close(ticket_read)
        os.close(ticket_write)
        raise
    wanted = max(1, queue_size)
    granted = min(wanted, _guaranteed(_resize(ticket_write, _pages_for(wanted))))
    _resize(return_write, 1)
    return EdgePipes(ticket_write, ticket_read, return_read, return_write, granted)


def close_pipes(pipes: EdgePipes) -> None:
    """Close all four ends."""
    for fd in pipes[:4]:
        os.close(fd)


def write_close(ticket_write: int, *, detached: bool = False) -> bool:
    """Put the CLOSE ticket behind all that was sent; False when the pipe is full."""
    try:
        os.write(ticket_write, pack_close(time.monotonic_ns(), detached=detached))
    except BlockingIOError:
        return False
    return True


def _pages_for(tickets: int) -> int:
    """Pages of a pipe that always holds `tickets` and a CLOSE.

    The front page may be read up to its last ticket and still be taken; only the pages behind it
    count in full.
    """
    pages = 1 + -(-tickets // _TICKETS_PER_PAGE)
    return 1 << (pages - 1).bit_length()


def _guaranteed(pages: int) -> int:
    """Tickets that a pipe of so many pages always holds beside a CLOSE."""
    return max(1, (pages - 1) * _TICKETS_PER_PAGE)


def _resize(fd: int, pages: int) -> int:
    """Give a pipe this many pages, or as many as the kernel allows; return how many it has."""
    pages = min(pages, _MOST_PAGES)
    while pages >= 1:
        try:
            return fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, pages * PAGE_BYTES) // PAGE_BYTES
        except PermissionError:
            pages //= 2
        except OSError:  # EBUSY: more tickets wait than would fit
            break
    return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) // PAGE_BYTES


def bytes_in(pipe: int) -> int:
    """How many bytes wait in a pipe."""
    count = bytearray(4)
    fcntl.ioctl(pipe, termios.FIONREAD, count, True)
    return int.from_bytes(count, "little")


class SendingEdge:
    """The sender's side. Takes over the three descriptors; `close()` gives them up.

    `counters` are words of the board, sent, dropped and flushed, written by this side only.
    """

    def __init__(
        self,
        edge: int,
        ticket_write: int,
        ticket_read: int,
        return_read: int,
        queue_size: int,
        *,
        backpressure: bool,
        arena: Arena,
        counters: memoryview,
        flushes: bool = True,
    ) -> None:
        self.edge = edge
        self.backpressure = backpressure
        self.flushes = flushes
        """Whether a message may discard those that wait; not those of one who looks on."""
        self.return_read = return_read
        self.open = True
        self._ticket_write = ticket_write
        self._ticket_read = ticket_read
        self.queue_size = queue_size
        self._arena = arena
        self._counters = counters
        self.sent: deque[bool] = deque()
        """Whether it must stay, for each ticket that may still wait in the pipe, oldest first.

        While there are fewer than `queue_size`, the edge has room for certain.
        """
        self._correlated = 0
        """How many of them are."""
        self._held: dict[int, int] = {}
        """Slot -> sequence number of its ticket, of all that the pipe or a receiver holds."""
        self._start_arena: int | None = None
        """Of a START whose second half has not been read."""
        for _ in range(self.waiting()):  # left by an earlier incarnation of this sender
            self._note_sent(correlated=True)  # as far as we know

    def waiting(self) -> int:
        """How many tickets wait in the pipe now."""
        return bytes_in(self._ticket_read) // TICKET_BYTES

    def has_room(self) -> bool:
        """Whether fewer than `queue_size` tickets wait."""
        sent = self.sent
        if len(sent) >= self.queue_size:
            waiting = self.waiting()
            while len(sent) > waiting:
                self._correlated -= sent.popleft()
        return len(sent) < self.queue_size

    def make_room(self) -> bool:
        """Under `drop_oldest`: take the oldest tickets out until one more fits.

        Correlated messages must not be dropped: where only they wait, the pipe is made larger.
        False when it cannot be.
        """
        while not self.has_room():
            if self._correlated:
                return self._drop_uncorrelated()
            if not self._drop_front():
                return False
        return True

    def flush(self) -> None:
        """Discard what waits, but for correlated messages; they are counted as flushed."""
        try:
            waiting = os.read(self._ticket_read, max(1, self.waiting()) * TICKET_BYTES)
        except BlockingIOError:
            return
        staying = []
        self.sent.clear()
        self._correlated = 0
        for start in range(0, len(waiting), TICKET_BYTES):
            ticket = waiting[start : start + TICKET_BYTES]
            if must_stay(ticket):
                staying.append(ticket)
                self._note_sent(correlated=True)
            else:
                self._counters[2] += 1
                self._free(ticket)
        if staying:
            os.write(self._ticket_write, b"".join(staying))

    def push(self, ticket: bytearray, slot: int | None, sequence: int, *, correlated: bool) -> None:
        """Put a ticket on the edge, whose slot the arena already counts as held by it."""
        os.write(self._ticket_write, ticket)
        self.sent.append(correlated)
        if correlated:
            self._correlated += 1
        self._counters[0] += 1
        if slot is not None:
            self._held[slot] = sequence

    def count_unsent(self) -> None:
        """Count a message that was given up before it was put on the edge."""
        self._counters[0] += 1
        self._counters[1] += 1

    def collect(self) -> None:
        """Take back what the receiver returned."""
        while True:
            try:
                records = os.read(self.return_read, _RETURN_READ_BYTES)
            except BlockingIOError:
                return
            own = self._arena.id
            for record in RETURN.iter_unpack(records):
                arena, slot = record
                if self._start_arena is not None:
                    self._note_start(*record)
                elif slot == START_PAGE:
                    self._start_arena = arena
                elif slot != _NO_SLOT and arena == own:
                    self._give_up(slot)
            if len(records) < _RETURN_READ_BYTES:
                return

    def release_all(self) -> None:
        """The receiver's process is gone: nothing is held on this edge any more."""
        for slot in self._held:
            self._arena.release(slot)
        self._held.clear()

    def free_unread(self) -> None:
        """Free what waits behind a CLOSE ticket, or all if there is none: nobody reads it."""
        try:
            waiting = os.read(self._ticket_read, max(1, self.waiting()) * TICKET_BYTES)
        except BlockingIOError:
            return
        tickets = [
            waiting[start : start + TICKET_BYTES] for start in range(0, len(waiting), TICKET_BYTES)
        ]
        closes = [at for at, ticket in enumerate(tickets) if ticket[0] == CLOSE]
        read = closes[0] + 1 if closes else 0
        for ticket in tickets[read:]:
            if ticket[0] != CLOSE:
                self._drop(ticket)
        if read:
            os.write(self._ticket_write, b"".join(tickets[:read]))

    @property
    def holds_slots(self) -> bool:
        """Whether the receiver, or the pipe, holds slots of this edge."""
        return bool(self._held)

    def stop(self) -> None:
        """Send nothing more; slots that the receiver holds are still awaited."""
        if self.open:
            self.open = False
            os.close(self._ticket_write)
            os.close(self._ticket_read)

    def close(self) -> None:
        """Give up all descriptors; twice is fine."""
        self.stop()
        if self.return_read >= 0:
            os.close(self.return_read)
            self.return_read = -1

    def _note_sent(self, *, correlated: bool) -> None:
        self.sent.append(correlated)
        self._correlated += correlated

    def _drop_front(self) -> bool:
        """Drop the oldest ticket; False when it is a CLOSE: the daemon has taken the edge away."""
        try:
            ticket = os.read(self._ticket_read, TICKET_BYTES)
        except BlockingIOError:
            return True  # the receiver was faster
        if ticket and ticket[0] == CLOSE:
            os.write(self._ticket_write, ticket)
            return False
        if ticket:
            self._drop(ticket)
        return True

    def _drop_uncorrelated(self) -> bool:
        """Drop the oldest that may be dropped; make the pipe larger if that is not enough.

        One read takes all tickets out and one write puts back those that stay, so that the receiver
        never sees them in another order.
        """
        try:
            waiting = os.read(self._ticket_read, len(self.sent) * TICKET_BYTES)
        except BlockingIOError:
            return True  # the receiver was faster
        excess = len(waiting) // TICKET_BYTES - self.queue_size + 1
        staying = []
        self.sent.clear()
        self._correlated = 0
        for start in range(0, len(waiting), TICKET_BYTES):
            ticket = waiting[start : start + TICKET_BYTES]
            correlated = must_stay(ticket)
            if excess > 0 and not correlated:
                self._drop(ticket)
                excess -= 1
            else:
                staying.append(ticket)
                self._note_sent(correlated=correlated)
        os.write(self._ticket_write, b"".join(staying))
        return excess <= 0 or self._grow()

    def _drop(self, ticket: bytes) -> None:
        """Count a ticket that was taken out of the pipe, and free its slot."""
        self._counters[1] += 1
        self._free(ticket)

    def _free(self, ticket: bytes) -> None:
        head = unpack(ticket)
        if head.arena == self._arena.id and not head.flags & INLINE:
            self._give_up(head.offset // PAGE_BYTES)

    def _grow(self) -> bool:
        """Make the pipe larger, since nothing may be dropped; False when it cannot grow."""
        tickets = len(self.sent) + 1
        pages = fcntl.fcntl(self._ticket_write, fcntl.F_GETPIPE_SZ) // PAGE_BYTES
        if tickets > _guaranteed(pages):
            pages = _resize(self._ticket_write, max(pages * 2, _pages_for(tickets)))
        return tickets <= _guaranteed(pages)

    def _give_up(self, slot: int) -> None:
        if self._held.pop(slot, None) is not None:
            self._arena.release(slot)

    def _note_start(self, low: int, high: int) -> None:
        """Free what receivers before the one that wrote this START had."""
        arena, self._start_arena = self._start_arena, None
        if arena == self._arena.id:
            first = high << 32 | low
            for slot in [slot for slot, sequence in self._held.items() if sequence < first]:
                self._give_up(slot)


def wait_for_return(edge: SendingEdge, control_fd: int) -> None:
    """Wait until the receiver of a full edge has read something, or the daemon has a word.

    Takes no lock: the caller collects returns and looks at the edge again. Ends after 100 ms at the
    latest, since another thread may have read the daemon's word.
    """
    return_read = edge.return_read
    if return_read < 0:  # closed by another thread just now
        return
    poll = select.poll()
    poll.register(return_read, select.POLLIN)
    if control_fd >= 0:
        poll.register(control_fd, select.POLLIN)
    poll.poll(100)

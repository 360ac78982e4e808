"""The receiver's side of an edge: tickets in, slots back; `transport.edge` has the rules of both.

Used by `node.inputs`. Elsewhere: the life of what was received (`transport.lease`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dora.transport.edge import bytes_in
from dora.transport.lease import Lease, ReturnPipe
from dora.wire.ticket import CLOSE, CREDIT, HEAD, PAGE_BYTES, RETURN, TICKET_BYTES, pack_start

if TYPE_CHECKING:
    from dora.transport.arena import ArenaView


class ReceivingEdge:
    """Takes over both descriptors; `close()` gives them up.

    The return pipe lives on in the leases of samples that are still in use.

    Args:
        ticket_read: Read end of the ticket pipe.
        return_write: Write end of the return pipe.
        backpressure: Whether the sender waits for room.
        takes_over: Processes read this edge before, and all of them are gone.
    """

    def __init__(
        self,
        ticket_read: int,
        return_write: int,
        *,
        backpressure: bool,
        takes_over: bool = False,
    ) -> None:
        self.fd = ticket_read
        self._takes_over = takes_over
        self._returns = ReturnPipe(return_write)
        self._backpressure = backpressure

    def try_receive(self) -> bytes | None:
        """The next ticket; None when none waits (the sender may have dropped it)."""
        try:
            ticket = os.read(self.fd, TICKET_BYTES)
        except BlockingIOError:
            return None
        returns = self._returns
        if self._takes_over:
            self._start(ticket)
        if returns.unsent:
            returns.retry()  # wakes a sender that waits for room as a credit would
        elif self._backpressure:
            returns.give_back(CREDIT)
        return ticket

    def try_receive_many(self, most: int) -> list[bytes]:
        """The tickets that wait, at most so many; `[b""]` when nobody is left who could write."""
        try:
            tickets = os.read(self.fd, most * TICKET_BYTES)
        except BlockingIOError:
            return []
        count = len(tickets) // TICKET_BYTES
        returns = self._returns
        if returns.unsent:
            returns.retry()
        elif self._backpressure and count:
            returns.give_back(CREDIT * count)
        if not count:
            return [b""]
        return [tickets[at : at + TICKET_BYTES] for at in range(0, len(tickets), TICKET_BYTES)]

    def _start(self, ticket: bytes) -> None:
        """Tell the sender which ticket is the first, unless there is none."""
        self._takes_over = False
        if ticket and ticket[0] != CLOSE:
            head = HEAD.unpack_from(ticket)
            self._returns.give_back(pack_start(head[6], head[4]))

    @property
    def waiting(self) -> int:
        """How many tickets wait now."""
        return bytes_in(self.fd) // TICKET_BYTES

    def lease(self, arena: int, offset: int, view: ArenaView) -> Lease:
        """What keeps the slot at `offset` until it is collected."""
        return Lease(self._returns, RETURN.pack(arena, offset // PAGE_BYTES), view)

    def close(self) -> None:
        """Read nothing more; twice is fine."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

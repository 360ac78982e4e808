"""Sending: one process's arena, its outputs, and where each of them leads.

Decides whether a message travels in its ticket or in a slot, writes it once, and puts a ticket on
every route. Any thread may send: one lock covers the arena and all edges; it is not held while a
sender waits for room under backpressure. Values are already bytes here (`wire.payload`).

Used by `node.node` for a node's outputs and by `daemon` for log lines.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from dora.errors import NodeClosedError, SampleError
from dora.transport.arena import KEEP_WARM_BYTES
from dora.transport.edge import SendingEdge, wait_for_return
from dora.transport.loan import Loan
from dora.wire.board import Turn
from dora.wire.ticket import (
    CORRELATED,
    PAGE_BYTES,
    SPILLED,
    TicketWriter,
    fits_beside_slot,
    spill_start,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.transport.arena import Arena
    from dora.wire.payload import Body, Encoded

_INLINE_LIMIT = 448
_TIDY_EVERY = 64
"""After so many messages of an output, memory that receivers returned is looked for, if they hold
much: a node that sends only small ones would never need it."""
_LOAN_TAIL_BYTES = 1 << 12
"""Address space behind a loan's payload, for metadata that does not fit into the ticket."""


class Control(Protocol):
    """What a sender that waits for room must listen to meanwhile."""

    def fileno(self) -> int:
        """A descriptor that is readable when the daemon has a word."""

    def pump(self) -> None:
        """Take in what the daemon says; may call `Sender.receiver_gone`."""

    @property
    def interrupted(self) -> bool:
        """Whether waiting is pointless from now on: the dataflow stops."""


class Output:
    """One output: its routes, its two counters on the board, its running number."""

    __slots__ = ("counters", "id", "routes", "sequence")

    def __init__(self, output_id: str, routes: list[SendingEdge], counters: memoryview) -> None:
        self.id = output_id
        self.routes = routes
        self.counters = counters
        self.sequence = 0


class Sender:
    """All that one process sends. `close()` gives up every descriptor; twice is fine.

    Args:
        arena: Its memory.
        control: What it listens to while it waits for room; None: it never waits.
        turn: Where it notes that it waits.
    """

    def __init__(
        self, arena: Arena, control: Control | None = None, turn: Turn | None = None
    ) -> None:
        self.dropped_loans: deque[int] = deque()
        self._arena = arena
        self._control = control
        self._turn = turn or Turn()
        self._lock = threading.RLock()
        self._busy = False
        """Whether this or another thread is in the middle of a change. The thread that finds it so
        with the lock in its hands is a signal handler that interrupted that change."""
        self._deferred: deque[Callable[[], None]] = deque()
        """What signal handlers asked for meanwhile; done by the call they interrupted."""
        self.marks: Callable[[str, bytes], bytes] | None = None
        """Gives the metadata of a message its trace, while one is traced."""
        self._ticket = TicketWriter(arena.id)
        self._outputs: dict[str, Output] = {}
        self._edges: dict[int, SendingEdge] = {}

    def add_output(self, output_id: str, routes: list[SendingEdge], counters: memoryview) -> None:
        """Declare an output. `counters` are its two words of the board: messages, bytes."""
        self._outputs[output_id] = Output(output_id, routes, counters)
        for edge in routes:
            self._edges[edge.edge] = edge

    def add_route(self, output_id: str, edge: SendingEdge) -> None:
        """Have an output lead to one more input; one that is closed takes none, gives `edge` up."""
        with self._lock:
            if self._busy:
                self._deferred.append(lambda: self.add_route(output_id, edge))
                return
            self._collect()
            output = self._outputs.get(output_id)
            if output is None:
                edge.close()
                return
            output.routes = [*output.routes, edge]  # a send may be going through the old list
            self._edges[edge.edge] = edge

    def close_output(self, output_id: str) -> None:
        """Send nothing more on an output; one that is not there, or no more, is no error."""
        with self._lock:
            if self._busy:
                self._deferred.append(lambda: self.close_output(output_id))
                return
            self._outputs.pop(output_id, None)

    @property
    def arena(self) -> Arena:
        """The memory that values are written to."""
        return self._arena

    def has_output(self, output_id: str) -> bool:
        """Whether this output was declared and not closed."""
        return output_id in self._outputs

    def send(
        self,
        output_id: str,
        encoded: Encoded,
        metadata: bytes = b"",
        *,
        correlated: bool = False,
        flush: bool = False,
        loan: Loan | None = None,
    ) -> None:
        """Send one message on a declared output, to every route that is open.

        The body is written before this returns. Waits for receivers under backpressure, and for
        those that have as many correlated messages waiting as the kernel lets a pipe hold; for none
        once the control is interrupted: that route then counts a drop. In a signal handler that
        interrupted another send, the message is kept and sent right behind that one.
        With `flush` it takes the place of all that waits there, but for correlated messages.

        Raises:
            ArenaFullError: receivers hold all of the arena.
            NodeClosedError: another thread closed the output, or all, meanwhile.
        """
        if (marks := self.marks) is not None:
            metadata = marks(output_id, metadata)
        with self._lock:
            if self._busy:
                header, size, body = encoded
                kept = (header, size, materialise(body, size))
                self._deferred.append(
                    lambda: self.send(
                        output_id, kept, metadata, correlated=correlated, flush=flush, loan=loan
                    )
                )
                return
            self._busy = True
            try:
                if flush:
                    self._flush(output_id)
                self._send(output_id, encoded, metadata, correlated, loan)
            finally:
                self._busy = False
                if self._deferred:
                    self._catch_up()

    def _send(
        self, output_id: str, encoded: Encoded, metadata: bytes, correlated: bool, loan: Loan | None
    ) -> None:
        header, size, body = encoded
        output = self._outputs.get(output_id)
        if output is None:
            raise NodeClosedError(f"`{output_id}` was closed while a message was on its way")
        routes = output.routes
        for edge in routes:
            if len(edge.sent) >= edge.queue_size and not self._has_room(edge):
                routes = self._wait_for_room(output, correlated)
                break
        output.sequence += 1
        counters = output.counters
        counters[0] += 1
        counters[1] += size
        if not output.sequence % _TIDY_EVERY and self._arena.held_bytes > KEEP_WARM_BYTES:
            self._collect()
        if not routes:
            return
        flags = CORRELATED if correlated else 0
        now = time.time_ns()
        slot = None
        if size > _INLINE_LIMIT or loan is not None:
            slot = self._pack_slot(output, flags, now, header, metadata, size, body, loan)
        else:
            if callable(body):
                body = materialise(body, size)
            if not self._ticket.pack_inline(flags, output.sequence, now, header, metadata, body):
                slot = self._pack_slot(output, flags, now, header, metadata, size, body, None)
        if slot is not None:
            self._arena.hold(slot, len(routes))
        for edge in routes:
            edge.push(self._ticket.record, slot, output.sequence, correlated=correlated)

    def _flush(self, output_id: str) -> None:
        output = self._outputs.get(output_id)
        for edge in output.routes if output is not None else ():
            if edge.flushes:
                edge.flush()

    def lend(self, size: int, base_address: int) -> Loan:
        """Lend a slot of `size` bytes whose payload the caller writes in place.

        Args:
            size: Bytes of the payload.
            base_address: Where the arena's mapping starts in this process.

        Raises:
            ArenaFullError: receivers hold all of the arena.
            SampleError: this is a signal handler that interrupted a send.
        """
        with self._lock:
            if self._busy:
                raise SampleError("no loan can be had in a signal handler that interrupted a send")
            slot = self._allocate(spill_start(size) + _LOAN_TAIL_BYTES)
            self._arena.hold(slot, 1)
        start = slot * PAGE_BYTES
        memory = self._arena.memory[start : start + size]
        return Loan(self, slot, memory, base_address + start)

    def receiver_gone(self, edges: list[int], *, died: bool, unread: bool = False) -> None:
        """Send nothing more on these edges; free what they held if the process died.

        Args:
            edges: Numbers of edges.
            died: The receiver's process is gone: it holds no sample any more.
            unread: What waits behind a CLOSE ticket, or without one, will be read by nobody.
        """
        with self._lock:
            if self._busy:
                self._deferred.append(lambda: self.receiver_gone(edges, died=died, unread=unread))
                return
            for number in edges:
                edge = self._edges.get(number)
                if edge is None:
                    continue
                if unread and edge.open:
                    edge.free_unread()
                edge.stop()
                for output in self._outputs.values():
                    if edge in output.routes:
                        output.routes = [other for other in output.routes if other is not edge]
                if died:
                    edge.release_all()
                    edge.close()
                    del self._edges[number]
            self._collect()

    def close(self) -> None:
        """Give up every descriptor. The memory stays for those who map it."""
        with self._lock:
            if self._busy:
                self._deferred.append(self.close)
                return
            self._outputs.clear()
            for edge in self._edges.values():
                edge.close()
            self._edges.clear()

    def tidy(self) -> bool:
        """Collect what receivers returned, if they hold much; whether they still do."""
        if self._arena.held_bytes <= KEEP_WARM_BYTES:
            return False
        with self._lock:
            if not self._busy:
                self._collect()
        return self._arena.held_bytes > KEEP_WARM_BYTES

    def _catch_up(self) -> None:
        """Do what signal handlers asked for while the lock was in the middle of a change."""
        while self._deferred:
            self._deferred.popleft()()

    def _pack_slot(
        self,
        output: Output,
        flags: int,
        now: int,
        header: bytes,
        metadata: bytes,
        size: int,
        body: Body,
        loan: Loan | None,
    ) -> int:
        """Write the message into a slot, or take the loan's, and pack its ticket; the slot."""
        spilled = not fits_beside_slot(header, metadata)
        spill = spill_start(size)
        prefix_bytes = len(header) + len(metadata) if spilled else 0
        if loan is not None and prefix_bytes <= _LOAN_TAIL_BYTES:
            slot = loan.slot
        else:
            slot = self._allocate(spill + prefix_bytes)
            self._write(slot, size, body if loan is None else loan.memory[:size])
        if spilled:
            start = slot * PAGE_BYTES + spill
            self._arena.memory[start : start + prefix_bytes] = header + metadata
            flags |= SPILLED
        place = (self._arena.id, slot * PAGE_BYTES, size)
        self._ticket.pack_slot(flags, output.sequence, now, header, metadata, place)
        return slot

    def _write(self, slot: int, size: int, body: Body) -> None:
        """Write a payload into its slot; the slot is free again if that fails."""
        start = slot * PAGE_BYTES
        target = self._arena.memory[start : start + size]
        try:
            if callable(body):
                body(target)
            else:
                target[:] = body
        except BaseException:
            self._arena.free(slot)
            raise

    def _allocate(self, size: int) -> int:
        """A free slot; looks for returned ones first when none is at hand."""
        slot = self._arena.try_allocate(size)
        if slot is not None:
            return slot
        self._collect()
        return self._arena.allocate(size)

    def _collect(self) -> None:
        """Take back the slots of loans that were dropped, and those that receivers returned."""
        while self.dropped_loans:
            self._arena.release(self.dropped_loans.popleft())
        for edge in list(self._edges.values()):
            if edge.holds_slots:
                edge.collect()
            if not edge.open and not edge.holds_slots:
                edge.close()
                del self._edges[edge.edge]

    @staticmethod
    def _has_room(edge: SendingEdge) -> bool:
        return edge.has_room() if edge.backpressure else edge.make_room()

    def _wait_for_room(self, output: Output, correlated: bool) -> list[SendingEdge]:
        """Wait until every route has room; the routes to send on.

        A message that may be dropped waits for backpressure alone. The lock is given up while
        waiting, so all is looked at again afterwards.
        """
        while True:
            full = [edge for edge in output.routes if not self._has_room(edge)]
            if not full:
                return output.routes
            control = self._control
            waits = [edge for edge in full if edge.backpressure or correlated]
            if not waits or control is None or control.interrupted:
                for edge in full:
                    edge.count_unsent()
                return [edge for edge in output.routes if edge not in full]
            self._busy = False
            self._lock.release()
            try:
                with self._turn:
                    wait_for_return(waits[0], control.fileno())
                control.pump()
            finally:
                self._lock.acquire()
                self._busy = True
            if self._outputs.get(output.id) is not output:
                raise NodeClosedError(f"`{output.id}` was closed while a message waited for room")
            if waits[0].return_read >= 0:
                waits[0].collect()


def materialise(body: Body, size: int) -> bytes:
    """The bytes of an encoded value's body."""
    if not callable(body):
        return bytes(body)
    memory = bytearray(size)
    body(memoryview(memory))
    return bytes(memory)

"""Taps: reading outputs of a running dataflow as its nodes do, by one more edge from the sender.

A tap reads tickets and maps the sender's memory read-only; nothing is copied for it, and a client
that is slow loses its own messages only. Elsewhere: the daemon's side (`daemon.taps`), an edge
(`transport.edge`), tickets to events (`node.inputs`).
"""

from __future__ import annotations

import array
import os
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from dora.errors import DoraError, ProtocolError
from dora.node.arenas import Arenas
from dora.node.inputs import InputPort
from dora.transport import endpoint
from dora.transport.arena import ArenaView
from dora.transport.receiving_edge import ReceivingEdge
from dora.version import VERSION
from dora.wire import messages, visits
from dora.wire.framing import Deframer, frame

if TYPE_CHECKING:
    from typing import Self

    import msgspec

    from dora.node.event_types import Event
    from dora.node.inputs import Undecoded

_ANSWER_WITHIN_S = 10.0
_READ_BYTES = 1 << 16
_INT_BYTES = array.array("i").itemsize
_ANCILLARY_BYTES = socket.CMSG_SPACE(253 * _INT_BYTES)
_COUNTER_BYTES = 512
_AT_ONCE = 64


class Taps:
    """A connection to a dataflow's daemon, and the outputs that are read by it.

    Args:
        dataflow: Id of the dataflow.

    Raises:
        DoraError: it has ended, or its daemon does not let this client in.
    """

    def __init__(self, dataflow: str) -> None:
        try:
            self._socket = endpoint.connect(endpoint.address_of(dataflow))
        except OSError as exc:
            raise DoraError(f"the dataflow {dataflow} has just ended") from exc
        self._deframer = Deframer()
        self._answers: deque[visits.Answer] = deque()
        self._descriptors: deque[int] = deque()
        self._arenas = Arenas()
        self._ports: dict[int, InputPort] = {}
        """By the descriptor that brings their tickets; those that are open."""
        self._ready: deque[InputPort] = deque()
        self._epoll = select.epoll()
        self._epoll.register(self._socket, select.EPOLLIN)
        self._gone = False
        try:
            self.ask(visits.Greet(messages.PROTOCOL, VERSION))
        except BaseException:
            self.close()
            raise

    @property
    def over(self) -> bool:
        """Whether nothing more will come: every output is closed, or the dataflow has ended."""
        return not self._ports

    @property
    def ended(self) -> bool:
        """Whether the daemon is gone and all that was sent before is read."""
        return self._gone and not self._ports

    def ask(self, question: msgspec.Struct) -> visits.Answer:
        """Ask the daemon one question, and wait for its answer.

        Raises:
            DoraError: it is refused, is not answered in time, or the dataflow has ended.
        """
        deadline = time.monotonic() + _ANSWER_WITHIN_S
        try:
            self._socket.settimeout(_ANSWER_WITHIN_S)
            self._socket.sendall(frame(messages.encode(question)))
            while not self._answers:
                if self._gone:
                    raise DoraError("the dataflow ended")
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                self._read()
        except TimeoutError as exc:
            raise DoraError(f"the daemon did not answer within {_ANSWER_WITHIN_S:g} s") from exc
        except (ConnectionResetError, BrokenPipeError) as exc:
            raise DoraError("the dataflow ended") from exc
        answer = self._answers.popleft()
        if isinstance(answer, messages.Refused):
            raise DoraError(answer.reason)
        return answer

    def state(self) -> visits.State:
        """How everything stands.

        Raises:
            DoraError: the dataflow has ended.
        """
        answer = self.ask(visits.AskState())
        if not isinstance(answer, visits.State):
            raise ProtocolError(f"the daemon answered {type(answer).__name__} to a question")
        return answer

    def add(self, node: str, output: str, queue_size: int, *, backpressure: bool = False) -> None:
        """Read one more output; its events have the id `node/output`.

        Args:
            node: The sender.
            output: Its output.
            queue_size: How many messages may wait, before the oldest is dropped.
            backpressure: The sender waits for this client instead.

        Raises:
            DoraError: there is no such output, or the dataflow has ended.
        """
        answer = self.ask(visits.AskTap(node, output, queue_size, backpressure))
        if not isinstance(answer, visits.Tap):
            raise ProtocolError(f"the daemon answered {type(answer).__name__} to a tap")
        fds = iter(self._take_descriptors(answer.fds))
        for wire in answer.arenas:
            self._arenas.add(wire, ArenaView(next(fds), wire.size_bytes))
        edge = ReceivingEdge(next(fds), next(fds), backpressure=backpressure)
        counters = memoryview(bytearray(_COUNTER_BYTES)).cast("Q")
        port = InputPort(f"{node}/{output}", edge, self._find_arena, counters)
        for sender in {wire.sender for wire in answer.arenas}:
            self._arenas.read_by(sender, port)
        self._ports[port.fd] = port
        self._epoll.register(port.fd, select.EPOLLIN)

    def receive(self, timeout_s: float | None) -> Event | None:
        """The next event of any output; None when the time is over, or nothing more comes."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.over:
            while self._ready:  # one of each in turn: a busy output does not hide the others
                port = self._ready.popleft()
                event = port.take()
                if event is not None:
                    self._forget_if_closed(port)
                    return event
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._poll(left)
            if not self._ready and left == 0:
                break
        return None

    def receive_undecoded(
        self, timeout_s: float | None, most: int = _AT_ONCE
    ) -> list[tuple[str, list[Undecoded]]]:
        """What waits of every output, as it travelled, at most so much of each.

        Args:
            timeout_s: How long to wait for the first; None: for ever.
            most: Messages of one output.
        """
        self._poll(timeout_s)
        found = []
        while self._ready:
            port = self._ready.popleft()
            found.append((port.id, port.take_undecoded(most)))
            self._forget_if_closed(port)
        return found

    def reads(self, name: str) -> bool:
        """Whether more may come of an output, written `node/output`."""
        return any(port.id == name for port in self._ports.values())

    def close(self) -> None:
        """Read nothing more; twice is fine. Values that were received stay valid."""
        self._socket.close()
        self._epoll.close()
        for port in self._ports.values():
            port.close()
        self._ports.clear()
        self._arenas.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _poll(self, timeout_s: float | None) -> None:
        for fd, _ in self._epoll.poll(0 if self._gone else timeout_s):
            if fd in self._ports:
                self._ready.append(self._ports[fd])
            else:
                self._read()
        if self._gone and not self._ready:  # what was sent before the end is read first
            for port in list(self._ports.values()):
                port.close()
            self._ports.clear()

    def _forget_if_closed(self, port: InputPort) -> None:
        if port.closed:
            del self._ports[port.fd]
            self._epoll.unregister(port.fd)
            port.close()

    def _find_arena(self, arena: int) -> ArenaView:
        """A sender's memory. That of one which came back is announced on the socket."""
        self._socket.settimeout(_ANSWER_WITHIN_S)
        try:
            while (view := self._arenas.find(arena)) is None and not self._gone:
                self._read()
        except TimeoutError:
            view = None
        if view is None:
            raise ProtocolError(f"a ticket names arena {arena}, which the daemon never sent")
        return view

    def _take_descriptors(self, count: int) -> list[int]:
        if len(self._descriptors) < count:
            raise ProtocolError(
                f"the daemon promised {count} descriptors and sent {len(self._descriptors)}"
            )
        return [self._descriptors.popleft() for _ in range(count)]

    def _read(self) -> None:
        """Read what the daemon says, once."""
        try:
            data, ancillary, _, _ = self._socket.recvmsg(
                _READ_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:
            data, ancillary = b"", []
        for level, kind, raw in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found = array.array("i")
                found.frombytes(raw[: len(raw) // _INT_BYTES * _INT_BYTES])
                self._descriptors.extend(found)
        if not data and not self._gone:
            self._gone = True
            self._epoll.unregister(self._socket)
        for body in self._deframer.feed(data):
            answer = visits.decode_answer(body)
            if isinstance(answer, messages.NewArena):
                (fd,) = self._take_descriptors(answer.fds)
                self._arenas.tidy()
                self._arenas.add(answer.arena, ArenaView(fd, answer.arena.size_bytes))
            elif not isinstance(answer, messages.Descriptors):
                self._answers.append(answer)

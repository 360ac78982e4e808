"""A node in this process, wired by hand: the test is its daemon, its producers and its consumers.

The descriptors and control messages are those that a daemon would send; no other process, no clock.
"""

from __future__ import annotations

import array
import mmap
import os
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from dora.node.inputs import InputPort
from dora.node.node import Node
from dora.transport import endpoint
from dora.transport.arena import Arena, ArenaView, create_memory, reopen_read_only
from dora.transport.edge import SendingEdge, open_pipes, write_close
from dora.transport.receiving_edge import ReceivingEdge
from dora.transport.sender import Sender
from dora.wire import messages, metadata, payload
from dora.wire.board import BoardLayout, BoardReader, fresh_header
from dora.wire.framing import Deframer, frame
from dora.wire.layouts import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pytest

    from dora.node.event_types import Event
    from dora.wire.layouts import NodeTypes

DEADLINE_S = 20.0
ARENA_BYTES = 1 << 32
NODE_ARENA, PEER_ARENA = 1, 2


class Rig:
    """One node and all that it talks to.

    Args:
        inputs: The queue size of each input.
        outputs: Ids of outputs, each read by this rig.
        queue_size: Of the outputs.
        timers: The interval of each timer, in nanoseconds.
        timeouts_s: `input_timeout` of inputs.
        log_inputs: Ids among `inputs` that carry log lines.
        backpressure: Whether the edges of outputs wait for room.
        end_without_timers: Timers do not keep the stream open.
        types: What is declared of the node's ports.
        make: Makes the node, which has a `close`.
    """

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        inputs: Mapping[str, int] | None = None,
        outputs: tuple[str, ...] = (),
        *,
        queue_size: int = 10,
        timers: Mapping[str, int] | None = None,
        timeouts_s: Mapping[str, float] | None = None,
        log_inputs: tuple[str, ...] = (),
        backpressure: bool = False,
        end_without_timers: bool = False,
        types: NodeTypes | None = None,
        make: Callable[[], Any] = Node,
    ) -> None:
        self._inputs = list(inputs or {})
        self._outputs = list(outputs)
        self._deframer = Deframer()
        self.daemon, theirs = socket.socketpair()
        self.daemon.setblocking(False)
        layout = BoardLayout.with_spare(len(outputs), len(outputs), len(self._inputs))
        board = create_memory("rig board", layout.size_bytes)
        mapped = mmap.mmap(board, layout.size_bytes)
        mapped[: len(fresh_header(layout))] = fresh_header(layout)
        self.words = memoryview(mapped).cast("Q")
        self.board = BoardReader(self.words, layout)

        own, peer = create_memory("rig node", ARENA_BYTES), create_memory("rig peer", ARENA_BYTES)
        self._view = ArenaView(reopen_read_only(own), ARENA_BYTES)
        self.node_arena_fd = os.dup(own)
        self._stack, stack_write = os.pipe()
        fds = [own, board, stack_write, reopen_read_only(peer)]
        self._sender = Sender(Arena(peer, PEER_ARENA, ARENA_BYTES))
        self.ports: dict[str, InputPort] = {}
        self.edges: dict[str, SendingEdge] = {}
        self._closers: dict[str, int] = {}
        self._kept: list[int] = []
        self._spare = memoryview(bytearray(4096)).cast("Q")
        for name in outputs:
            fds += self._open_output(name, queue_size, backpressure)
        for name, size in (inputs or {}).items():
            fds += self._open_input(name, size)
        self._say(
            messages.Welcome(
                fds=len(fds),
                dataflow="rig",
                node="n",
                incarnation=0,
                restart_count=0,
                arena=messages.ArenaWire(NODE_ARENA, ARENA_BYTES),
                arenas=[messages.ArenaWire(PEER_ARENA, ARENA_BYTES)],
                outputs=[
                    messages.OutputWire(
                        name, [messages.RouteWire(number, "rig", name, queue_size, backpressure)]
                    )
                    for number, name in enumerate(outputs)
                ],
                inputs=[
                    messages.InputWire(
                        name, 100 + n, "rig", False, (timeouts_s or {}).get(name), size
                    )
                    for n, (name, size) in enumerate((inputs or {}).items())
                ],
                timers=[messages.TimerWire(name, every) for name, every in (timers or {}).items()],
                end_without_timers=end_without_timers,
                log_inputs=list(log_inputs),
                config={"inputs": {}, "outputs": list(outputs)},
                descriptor={"nodes": []},
                types={} if types is None else pack(types),
            ),
            fds,
        )
        for fd in fds:
            os.close(fd)
        self.tell(messages.Start(time.monotonic_ns()))
        config = messages.NodeConfig("rig", "n", 0, "@rig")
        patch.setenv("DORA_NODE_CONFIG", messages.encode_config(config))
        patch.setattr(endpoint, "connect", lambda _address: theirs)
        self._node: Any = make()
        self._closed = False

    @property
    def node(self) -> Node:
        """The node."""
        assert self._node is not None
        return self._node

    def forget_node(self) -> None:
        """Let go of the node object."""
        self._node = None

    @property
    def view_address(self) -> int:
        """Where the node's memory is mapped for its consumers."""
        return self._view._address

    def _open_output(self, name: str, queue_size: int, backpressure: bool) -> list[int]:
        pipes = open_pipes(queue_size)
        self._kept.append(os.dup(pipes.ticket_write))  # as the daemon does
        edge = ReceivingEdge(pipes.ticket_read, pipes.return_write, backpressure=backpressure)
        self.ports[name] = InputPort(name, edge, lambda _id: self._view, self._spare[:64])
        return [pipes.ticket_write, os.dup(pipes.ticket_read), pipes.return_read]

    def _open_input(self, name: str, queue_size: int) -> list[int]:
        pipes = open_pipes(queue_size)
        self._closers[name] = os.dup(pipes.ticket_write)
        edge = SendingEdge(
            len(self.edges),
            pipes.ticket_write,
            os.dup(pipes.ticket_read),
            pipes.return_read,
            queue_size,
            backpressure=False,
            arena=self._sender.arena,
            counters=memoryview(bytearray(24)).cast("Q"),
        )
        self.edges[name] = edge
        self._sender.add_output(name, [edge], memoryview(bytearray(16)).cast("Q"))
        return [pipes.ticket_read, pipes.return_write]

    # ---- what the other nodes do ----

    def send(self, name: str, data: Any, user: Mapping[str, Any] | None = None) -> None:
        """Send a message to an input of the node."""
        self._sender.send(name, payload.encode(data), metadata.encode(user or {}))

    def close_input(self, name: str) -> None:
        """Put the CLOSE ticket behind all that was sent to an input."""
        assert write_close(self._closers[name])

    def hang_up(self, name: str) -> None:
        """Close every write end of an input without a CLOSE ticket, as when all others died."""
        os.close(self._closers.pop(name))
        self.edges[name].stop()

    def held(self) -> int:
        """How many slots of the producers' memory somebody holds, after returns were read."""
        for edge in self.edges.values():
            edge.collect()
        return self._sender.arena.held

    def take(self, name: str) -> Event | None:
        """The next message that the node sent on an output; None when there is none."""
        return self.ports[name].take()

    def taken(self, name: str) -> Any:
        """The value of the next message that the node sent on an output."""
        event = self.take(name)
        assert event is not None
        assert event["type"] == "INPUT"
        return event["value"]

    # ---- what the daemon does ----

    def tell(self, message: messages.DaemonMessage, fds: list[int] | None = None) -> None:
        """Say something as the daemon, which also raises the control word."""
        self._say(message, fds or [])
        self.words[8] += 1

    def stop(self) -> None:
        """Ask the node to end."""
        self.tell(messages.Stop("MANUAL"))

    def heard(self) -> list[messages.NodeMessage]:
        """What the node said to the daemon since last asked."""
        found = []
        while True:
            try:
                data = self.daemon.recv(1 << 16)
            except BlockingIOError:
                return found
            if not data:
                return found
            found += [messages.decode_from_node(body) for body in self._deframer.feed(data)]

    def _say(self, message: messages.DaemonMessage, fds: list[int]) -> None:
        if fds:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            self.daemon.sendmsg([frame(messages.encode(messages.Descriptors(len(fds))))], rights)
        self.daemon.sendall(frame(messages.encode(message)))

    def close(self) -> None:
        """End the node and give up all descriptors; twice is fine."""
        if self._closed:
            return
        self._closed = True
        if self._node is not None:
            self._node.close()
        self.daemon.close()
        self._sender.close()
        for port in self.ports.values():
            port.close()
        for fd in (*self._closers.values(), *self._kept):
            os.close(fd)
        os.close(self.node_arena_fd)
        os.close(self._stack)
        self._view.close()


class Rigs:
    """Makes rigs and closes them."""

    def __init__(self, patch: pytest.MonkeyPatch, stack: ExitStack) -> None:
        self._patch = patch
        self._stack = stack

    def __call__(self, *args: Any, **options: Any) -> Rig:
        rig = Rig(self._patch, *args, **options)
        self._stack.callback(rig.close)
        return rig


def rigs(patch: pytest.MonkeyPatch) -> Iterator[Rigs]:
    """Yield what makes rigs; close them all at the end."""
    with ExitStack() as stack:
        yield Rigs(patch, stack)

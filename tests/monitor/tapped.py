"""A daemon of one dataflow as far as taps need one: real pipes, memory, senders, in a thread."""

from __future__ import annotations

import array
import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

from dora import client
from dora.transport import endpoint
from dora.transport.arena import Arena, create_memory, reopen_read_only
from dora.transport.edge import EdgePipes, SendingEdge, close_pipes, open_pipes, write_close
from dora.transport.sender import Sender
from dora.wire import messages, metadata, payload, visits
from dora.wire.framing import Deframer, frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

ARENA_BYTES = 1 << 30
DATAFLOW = "0123-rig"


class TappedDaemon:
    """Node `cam` with outputs `image` and `pose`, of which `view/frame` reads the first.

    Clients reach it by `endpoint.connect`, which is patched. `close()` ends the dataflow.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.published: list[visits.Publish] = []
        self._closed = False
        self.tapped = 0
        self.messages = self.bytes = 0
        self.sender = self._sender(1)
        self._links: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._pipes: list[tuple[str, EdgePipes]] = []
        patch.setattr(endpoint, "connect", lambda _address: self._connect())
        patch.setattr(client, "running", lambda: [self._dataflow])
        patch.setattr(client, "connect", lambda _wanted=None: _Found(self._dataflow))

    _dataflow = visits.Dataflow(DATAFLOW, "rig", ["cam", "view"])

    def _sender(self, arena_id: int) -> Sender:
        memory = create_memory("tapped", ARENA_BYTES)
        self.memory = reopen_read_only(memory)
        sender = Sender(Arena(memory, arena_id, ARENA_BYTES))
        for output in ("image", "pose"):
            sender.add_output(output, [], memoryview(bytearray(16)).cast("Q"))
        return sender

    def _connect(self) -> socket.socket:
        if self._closed:
            raise ConnectionRefusedError("the dataflow has ended")
        ours, theirs = socket.socketpair()
        self._links.append(ours)
        thread = threading.Thread(target=self._serve, args=(ours,), daemon=True)
        self._threads.append(thread)
        thread.start()
        return theirs

    def _serve(self, link: socket.socket) -> None:
        deframer = Deframer()
        with contextlib.suppress(OSError):
            while data := link.recv(1 << 16):
                for body in deframer.feed(data):
                    self._answer(link, visits.decode_question(body))

    def _answer(self, link: socket.socket, asked: visits.ClientMessage) -> None:
        match asked:
            case visits.Greet():
                self._say(link, self._dataflow)
            case visits.AskState():
                self._say(link, self._state())
            case visits.AskDescriptor():
                self._say(link, visits.Done('{"nodes": []}'))
            case visits.Publish():
                self.published.append(asked)
                self._say(link, visits.Done())
            case visits.AskTap(node="cam", output=output, queue_size=size):
                self._tap(link, output, size)
            case _:
                self._say(link, messages.Refused("not here"))

    def _tap(self, link: socket.socket, output: str, queue_size: int) -> None:
        pipes = open_pipes(queue_size)
        self._pipes.append((output, pipes))
        self._add_route(output, pipes)
        wires = [messages.ArenaWire(self.sender.arena.id, ARENA_BYTES)]
        tap = visits.Tap(3, self.tapped, "cam", output, wires, pipes.queue_size)
        self._say(link, tap, [self.memory, pipes.ticket_read, pipes.return_write])
        self.tapped += 1

    def _add_route(self, output: str, pipes: EdgePipes) -> None:
        edge = SendingEdge(
            id(pipes),
            *map(os.dup, (pipes.ticket_write, pipes.ticket_read, pipes.return_read)),
            pipes.queue_size,
            backpressure=False,
            arena=self.sender.arena,
            counters=memoryview(bytearray(24)).cast("Q"),
        )
        self.sender.add_route(output, edge)

    def _state(self) -> visits.State:
        def node(name: str, outputs: list[str]) -> visits.NodeView:
            return visits.NodeView(name, "running", 1, False, 0, "never", False, [], [], outputs)

        edge = visits.EdgeView(
            0, "cam", "image", "view", "frame", 10, False, True, *[0] * 8, latency=[]
        )
        return visits.State(
            self._dataflow,
            "running",
            0,
            [node("cam", ["image", "pose"]), node("view", [])],
            [visits.OutputView("cam", "image", self.messages, self.bytes)],
            [edge],
        )

    def _say(self, link: socket.socket, message: Any, fds: list[int] | None = None) -> None:
        if fds:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            link.sendmsg([frame(messages.encode(messages.Descriptors(len(fds))))], rights)
        link.sendall(frame(messages.encode(message)))

    # ---- what the node does ----

    def send(self, output: str, data: Any, user: Mapping[str, Any] | None = None) -> None:
        """Send a message."""
        encoded = payload.encode(data)
        self.sender.send(output, encoded, metadata.encode(user or {}))
        self.messages += 1
        self.bytes += encoded[1]

    def restart(self) -> None:
        """The node dies and comes back with new memory, of which clients are told."""
        arena = self.sender.arena.id + 1
        self.sender.close()
        os.close(self.memory)
        self.sender = self._sender(arena)
        for output, pipes in self._pipes:
            self._add_route(output, pipes)
        told = messages.NewArena(1, "cam", messages.ArenaWire(arena, ARENA_BYTES))
        for link in self._links:
            self._say(link, told, [self.memory])

    def close_output(self, output: str) -> None:
        """Put the CLOSE ticket behind what was sent."""
        for name, pipes in self._pipes:
            if name == output:
                assert write_close(pipes.ticket_write)

    def close(self) -> None:
        """End the dataflow; twice is fine."""
        self._closed = True
        for link in self._links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for link in self._links:
            link.close()
        self.sender.close()
        for _, pipes in self._pipes:
            close_pipes(pipes)
        self._pipes.clear()
        if self.memory >= 0:
            os.close(self.memory)
            self.memory = -1


class _Found:
    """Stands for a `Client`."""

    def __init__(self, dataflow: visits.Dataflow) -> None:
        self.dataflow = dataflow

    def __enter__(self) -> _Found:
        return self

    def __exit__(self, *_: object) -> None:
        pass

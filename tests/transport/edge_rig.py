"""Edges wired by hand: a sender in this process, receivers in others, and what both are made of."""

from __future__ import annotations

import json
import math
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edge_messages
import numpy as np

from dora.node.inputs import InputPort
from dora.transport.arena import (
    DEFAULT_ARENA_BYTES,
    Arena,
    ArenaView,
    create_memory,
    map_words,
    reopen_read_only,
)
from dora.transport.edge import SendingEdge, close_pipes, open_pipes, write_close
from dora.transport.receiving_edge import ReceivingEdge
from dora.transport.sender import Sender
from dora.wire.board import BoardLayout, BoardReader

if TYPE_CHECKING:
    from types import TracebackType

    from dora.transport.edge import EdgePipes

DEADLINE_S = 50.0
LONG = os.environ.get("DORA_TEST_STRESS") == "1"
"""Whether the long versions are wanted: more messages, more receivers."""

_PEER = Path(__file__).with_name("edge_peer.py")


class Peer:
    """A process at one end of an edge. Calls are carried out there, one after the other."""

    def __init__(self, spec: dict[str, Any], descriptors: list[int]) -> None:
        self._link, theirs = Pipe()
        spec["link"] = theirs.fileno()
        command = [sys.executable, str(_PEER), json.dumps(spec)]
        self.process = subprocess.Popen(
            command, pass_fds=[*descriptors, theirs.fileno()], stderr=subprocess.PIPE
        )
        theirs.close()
        self._awaited = 1  # its "ready"

    def start(self, name: str, *args: Any, **options: Any) -> None:
        """Ask for something without waiting for it."""
        self._link.send((name, args, options))
        self._awaited += 1

    def result(self) -> Any:
        """What came of all that was asked for; the last answer."""
        answer = None
        while self._awaited:
            assert self._link.poll(DEADLINE_S), "no answer"
            answer = self._link.recv()
            self._awaited -= 1
        return answer

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        """Ask for something and wait for it."""
        self.start(name, *args, **options)
        return self.result()

    def kill(self) -> None:
        """End it by SIGKILL, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.wait()

    def wait(self) -> tuple[int, bytes]:
        """Wait for its end: exit status and stderr."""
        _, errors = self.process.communicate(timeout=DEADLINE_S)
        self._link.close()
        return self.process.returncode, errors

    def close(self) -> None:
        """Let it end, and see that it did so quietly."""
        if self.process.returncode is None:
            self.result()
            self._link.close()
            assert self.wait() == (0, b"")


class Control:
    """Stands in for the daemon's socket: tells when a sender waits, and can interrupt it."""

    def __init__(self) -> None:
        self.interrupted = False
        self.waiting = threading.Event()
        self.deadline_s = math.inf

    def fileno(self) -> int:
        self.waiting.set()
        return -1

    def pump(self) -> None:
        assert time.monotonic() < self.deadline_s, "nobody reads"


class Rig:
    """One output, `out`, wired to so many inputs. The daemon's part is played here too."""

    def __init__(
        self,
        receivers: int = 1,
        *,
        queue_size: int = 10,
        backpressure: bool = False,
        arena_bytes: int = DEFAULT_ARENA_BYTES,
        sends_here: bool = True,
    ) -> None:
        self.queue_size, self.backpressure, self.arena_bytes = queue_size, backpressure, arena_bytes
        self.pipes: list[EdgePipes] = [open_pipes(queue_size) for _ in range(receivers)]
        assert {pipes.queue_size for pipes in self.pipes} == {max(1, queue_size)}
        self._layout = BoardLayout(1, receivers, 0)
        self._input_layout = BoardLayout(0, 0, 1)
        self._board = create_memory("board", self._layout.size_bytes)
        words = map_words(os.dup(self._board), self._layout.size_bytes)
        self.board = BoardReader(words, self._layout)
        self._input_boards = [
            create_memory("board", self._input_layout.size_bytes) for _ in range(receivers)
        ]
        self._arena_fd = create_memory("arena", arena_bytes)
        self.memory = reopen_read_only(self._arena_fd)
        """The arena, as a read-only descriptor."""
        self.peers: list[Peer] = []
        self.control = Control()
        self.edges: list[SendingEdge] = []
        if sends_here:
            self._send_here(words)

    def _send_here(self, words: memoryview) -> None:
        self.arena = Arena(os.dup(self._arena_fd), 1, self.arena_bytes)
        self.sender = Sender(self.arena, self.control)
        for number, pipes in enumerate(self.pipes):
            at = self._layout.route(number)
            self.edges.append(
                SendingEdge(
                    number,
                    os.dup(pipes.ticket_write),
                    os.dup(pipes.ticket_read),
                    os.dup(pipes.return_read),
                    pipes.queue_size,
                    backpressure=self.backpressure,
                    arena=self.arena,
                    counters=words[at : at + 2],
                )
            )
        at = self._layout.output(0)
        self.sender.add_output("out", list(self.edges), words[at : at + 2])
        whole = np.frombuffer(self.arena.memory, np.uint8)
        self.base_address: int = whole.__array_interface__["data"][0]

    # ---- the sender's side ----

    def send(self, number: int, size: int = 64, **facts: Any) -> None:
        """Send one message."""
        self.control.deadline_s = time.monotonic() + DEADLINE_S
        edge_messages.send(self.sender, number, size, **facts)

    def send_loan(self, number: int, size: int) -> None:
        """Send one message out of lent memory."""
        edge_messages.send_loan(self.sender, self.base_address, number, size)

    def close_output(self) -> None:
        """End the output as a node and its daemon do: no more data, then CLOSE.

        The sender itself stays open, so that it takes back what receivers still hold.
        """
        left = [edge.edge for edge in self.edges if edge.open]
        for number in left:
            assert write_close(self.pipes[number].ticket_write)
        self.sender.receiver_gone(left, died=False, unread=True)

    def held(self) -> int:
        """Slots somebody holds, after taking in what was given back."""
        for edge in self.edges:
            if edge.return_read >= 0:
                edge.collect()
        while self.sender.dropped_loans:
            self.arena.release(self.sender.dropped_loans.popleft())
        return self.arena.held

    def resident_bytes(self) -> int:
        """Memory that the arena's pages take."""
        return os.fstat(self.memory).st_blocks * 512

    def sending_peer(self) -> Peer:
        """A process that sends, for a rig that does not send here."""
        edges = [[p.ticket_write, p.ticket_read, p.return_read] for p in self.pipes]
        spec = {
            "role": "send",
            "arena": self._arena_fd,
            "arena_id": 1,
            "arena_bytes": self.arena_bytes,
            "board": self._board,
            "edges": edges,
            "queue_size": self.queue_size,
            "backpressure": self.backpressure,
        }
        descriptors = [fd for ends in edges for fd in ends]
        return self._start(spec, [self._arena_fd, self._board, *descriptors])

    # ---- the receivers' side ----

    def receiver(self, number: int = 0) -> Peer:
        """A process that reads input `number`."""
        pipes = self.pipes[number]
        spec = {
            "role": "receive",
            "arena": self.memory,
            "arena_bytes": self.arena_bytes,
            "board": self._input_boards[number],
            "ticket_read": pipes.ticket_read,
            "return_write": pipes.return_write,
            "backpressure": self.backpressure,
        }
        names = ("arena", "board", "ticket_read", "return_write")
        return self._start(spec, [int(spec[name]) for name in names])  # type: ignore[call-overload]

    def receivers(self) -> list[Peer]:
        """A process for each input."""
        return [self.receiver(number) for number in range(len(self.pipes))]

    def port(self, number: int = 0) -> InputPort:
        """An input read in this very process."""
        pipes = self.pipes[number]
        edge = ReceivingEdge(
            os.dup(pipes.ticket_read),
            os.dup(pipes.return_write),
            backpressure=self.backpressure,
        )
        view = ArenaView(os.dup(self.memory), self.arena_bytes)
        words = map_words(os.dup(self._input_boards[number]), self._input_layout.size_bytes)
        at = self._input_layout.input(0)
        return InputPort("in", edge, lambda _arena: view, words[at:])

    def received(self, number: int = 0) -> int:
        """How many messages input `number` has received, says its board."""
        with mmap.mmap(self._input_boards[number], self._input_layout.size_bytes) as memory:
            reader = BoardReader(memoryview(bytes(memory)).cast("Q"), self._input_layout)
        return reader.input(0).received

    # ---- the end ----

    def _start(self, spec: dict[str, Any], descriptors: list[int]) -> Peer:
        peer = Peer(spec, descriptors)
        self.peers.append(peer)
        return peer

    def __enter__(self) -> Rig:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            for peer in self.peers:
                if peer.process.returncode is None:
                    peer.kill()
        for peer in self.peers:
            peer.close()
        if self.edges:
            self.sender.close()
        for pipes in self.pipes:
            close_pipes(pipes)
        for fd in (self._board, self._arena_fd, self.memory, *self._input_boards):
            os.close(fd)

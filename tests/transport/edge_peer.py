"""A process at one end of an edge, told what to do by `edge_rig` over a connection.

Run as a script with its role and its descriptors as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

import edge_messages

from dora.node.inputs import InputPort
from dora.transport.arena import Arena, ArenaView, map_words
from dora.transport.edge import SendingEdge, write_close
from dora.transport.receiving_edge import ReceivingEdge
from dora.transport.sender import Sender
from dora.wire.board import BoardLayout

DEADLINE_S = 40.0


class Patient:
    """A control that never has a word, so that a sender waits as long as it takes."""

    interrupted = False

    def fileno(self) -> int:
        return -1

    def pump(self) -> None:
        pass


class ReceivingPeer:
    """Reads one input; what it is told to keep it keeps."""

    def __init__(self, spec: dict[str, Any]) -> None:
        layout = BoardLayout(0, 0, 1)
        words = map_words(spec["board"], layout.size_bytes)
        view = ArenaView(spec["arena"], spec["arena_bytes"])
        edge = ReceivingEdge(
            spec["ticket_read"], spec["return_write"], backpressure=spec["backpressure"]
        )
        counters = words[layout.input(0) : layout.input(1)]
        self.port = InputPort("in", edge, lambda _arena: view, counters)
        self.kept: list[Any] = []
        self.closed = False
        self._poll = select.poll()
        self._poll.register(self.port.fd, select.POLLIN)

    def take(self, count: int | None = None, *, keep: bool = False) -> dict[str, Any]:
        """Take `count` messages, or all until CLOSE: their numbers, and how many were damaged."""
        numbers: list[int] = []
        damaged = 0
        while not self.closed and (count is None or len(numbers) < count):
            event: Any = self._next()
            if event["type"] == "INPUT":
                numbers.append(event["metadata"]["number"])
                damaged += not edge_messages.is_whole(event)
                if keep:
                    self.kept.append(event)
            else:
                assert event["type"] == "INPUT_CLOSED", event
                self.closed = True
        return {"numbers": numbers, "damaged": damaged, "closed": self.closed}

    def take_waiting(self, *, keep: bool = False) -> dict[str, Any]:
        """Take what waits now, without waiting."""
        numbers: list[int] = []
        damaged = 0
        while not self.closed and (event := self.port.take()) is not None:
            found: Any = event
            if found["type"] == "INPUT":
                numbers.append(found["metadata"]["number"])
                damaged += not edge_messages.is_whole(found)
                if keep:
                    self.kept.append(found)
            else:
                self.closed = True
        return {"numbers": numbers, "damaged": damaged, "closed": self.closed}

    def damaged_kept(self) -> int:
        """How many kept messages no longer have the content they were sent with."""
        return sum(not edge_messages.is_whole(event) for event in self.kept)

    def let_go(self) -> None:
        self.kept.clear()
        gc.collect()

    def let_go_on_threads(self) -> None:
        """Let each kept message die on a thread of its own."""
        while self.kept:
            box = [self.kept.pop()]
            thread = threading.Thread(target=box.clear)
            thread.start()
            thread.join()

    def close(self) -> None:
        self.port.close()

    def fork_a_child_that_lets_go(self, *, at_exit: bool) -> int:
        """Fork; the child drops all it inherited, at once or by ending. Its exit status."""
        pid = os.fork()
        if pid == 0:
            if at_exit:
                raise SystemExit(0)
            self.let_go()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _next(self) -> Any:
        deadline = time.monotonic() + DEADLINE_S
        while (event := self.port.take()) is None:
            left = deadline - time.monotonic()
            assert left > 0, "nothing arrived"
            self._poll.poll(left * 1000)
        return event


class SendingPeer:
    """Sends on output `out`."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.arena = Arena(spec["arena"], spec["arena_id"], spec["arena_bytes"])
        words = map_words(spec["board"], BoardLayout(1, len(spec["edges"]), 0).size_bytes)
        layout = BoardLayout(1, len(spec["edges"]), 0)
        edges = []
        for number, fds in enumerate(spec["edges"]):
            at = layout.route(number)
            counters = words[at : at + 2]
            policy = {"backpressure": spec["backpressure"]}
            edges.append(
                SendingEdge(
                    number, *fds, spec["queue_size"], **policy, arena=self.arena, counters=counters
                )
            )
        self.closers = [fds[0] for fds in spec["edges"]]
        self.sender = Sender(self.arena, Patient())
        at = layout.output(0)
        self.sender.add_output("out", edges, words[at : at + 2])

    def send(self, start: int, sizes: list[int]) -> None:
        for number, size in enumerate(sizes, start):
            edge_messages.send(self.sender, number, size)

    def send_and_die(self, start: int, sizes: list[int]) -> None:
        """Send, and be killed with the next instruction."""
        self.send(start, sizes)
        os.kill(os.getpid(), signal.SIGKILL)

    def close(self) -> None:
        for fd in self.closers:
            assert write_close(fd)
        self.sender.close()


def main() -> None:
    spec = json.loads(sys.argv[1])
    link: Connection[Any, Any] = Connection(spec["link"])
    peer = ReceivingPeer(spec) if spec["role"] == "receive" else SendingPeer(spec)
    link.send("ready")
    while True:
        try:
            name, args, options = link.recv()
        except EOFError:
            return
        link.send(getattr(peer, name)(*args, **options))


if __name__ == "__main__":
    main()

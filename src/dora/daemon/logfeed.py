"""Log lines as messages: `dora/logs...`, `send_stdout_as`, `send_logs_as`; the daemon sends them.

Made only for a dataflow that has such edges. Lines are one-element string arrays; a slow receiver
loses the oldest ones, and they are counted here as a node's board counts its own. Elsewhere: lines
and their JSON (`daemon.logs`), the pipes (`daemon.wiring`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dora.daemon.logs import message_json, passes
from dora.transport.arena import DEFAULT_ARENA_BYTES, Arena
from dora.transport.edge import SendingEdge
from dora.transport.sender import Sender
from dora.wire.payload import TEXT_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.daemon.edges import Edge
    from dora.daemon.logs import LogLine
    from dora.transport.edge import EdgePipes


class LogFeed:
    """Sends lines on edges. Takes over `memory`; `close()` gives up all.

    Args:
        memory: A writable arena.
        arena_id: Its id.
        edges: The edges whose sender the daemon is, each with its pipes, which stay the caller's.
        dataflow_id: Goes into the messages.
    """

    def __init__(
        self,
        memory: int,
        arena_id: int,
        edges: Iterable[tuple[Edge, EdgePipes]],
        dataflow_id: str,
    ) -> None:
        arena = Arena(memory, arena_id, DEFAULT_ARENA_BYTES)
        self._sender = Sender(arena)
        self._dataflow_id = dataflow_id
        self._arena = arena
        self._edges: dict[int, Edge] = {}
        self._counters: dict[int, memoryview] = {}
        for edge, pipes in edges:
            self.add(edge, pipes)

    def add(self, edge: Edge, pipes: EdgePipes, counted: tuple[int, int] = (0, 0)) -> None:
        """Send lines on one more edge. Its pipes stay the caller's.

        Args:
            edge: Which.
            pipes: Its pipes.
            counted: What another feed sent on and dropped from it, before.
        """
        counters = memoryview(bytearray(40)).cast("Q")
        counters[0], counters[1] = counted
        route = SendingEdge(
            edge.number,
            os.dup(pipes.ticket_write),
            os.dup(pipes.ticket_read),
            os.dup(pipes.return_read),
            pipes.queue_size,
            backpressure=False,
            arena=self._arena,
            counters=counters[:3],
        )
        self._sender.add_output(_output(edge.number), [route], counters[3:])
        self._edges[edge.number] = edge
        self._counters[edge.number] = counters

    def raw(self, node: str, texts: list[str]) -> None:
        """Send a node's lines as they are, with their ends."""
        for edge in self._edges.values():
            if edge.feed == "stdout" and edge.sender == node:
                for text in texts:
                    self._send(edge, text + "\n")

    def lines(self, node: str, lines: list[LogLine]) -> None:
        """Send a node's records; a node never gets its own from `dora/logs`."""
        for edge in self._edges.values():
            if edge.feed == "logs" and edge.sender == node:
                wanted = lines
            elif edge.logs is not None and edge.receiver != node and edge.logs.node in (None, node):
                least = edge.logs.level
                wanted = [line for line in lines if passes(line.level, least)]
            else:
                continue
            for line in wanted:
                self._send(edge, message_json(line, self._dataflow_id))

    def stop(self, edge: int) -> None:
        """Send nothing more on an edge. What its receiver still holds is not used again."""
        if self._edges.pop(edge, None) is not None:
            self._sender.receiver_gone([edge], died=False)

    def counts(self, edge: int) -> tuple[int, int]:
        """Messages sent on and dropped from an edge."""
        counters = self._counters[edge]
        return counters[0], counters[1]

    def close(self) -> None:
        """Give up every descriptor; twice is fine."""
        self._edges.clear()
        self._sender.close()

    def _send(self, edge: Edge, text: str) -> None:
        raw = text.encode("utf-8", "replace")
        self._sender.send(_output(edge.number), (TEXT_HEADER, len(raw), raw))


def _output(edge: int) -> str:
    return f"edge {edge}"

"""Pipes, memory and boards of a dataflow: who gets which descriptor, and until when it is kept.

Both pipes of an edge are made before any node has joined, and all four ends are kept until the
edge is over: so a message waits for a receiver that is still loading, and the daemon can put the
CLOSE ticket behind a sender that died. Descriptors go out in the order of
`wire.messages.Welcome`.

Elsewhere: when an edge closes (`daemon.supervisor`), how descriptors are sent (`daemon.link`).
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

from dora.daemon.edges import DAEMON
from dora.transport.arena import DEFAULT_ARENA_BYTES, create_memory, reopen_read_only
from dora.transport.edge import close_pipes, open_pipes, write_close
from dora.wire.board import WORD_CONTROL, BoardLayout, BoardReader, fresh_header
from dora.wire.messages import (
    ArenaWire,
    InputWire,
    NewArena,
    OutputWire,
    RouteWire,
    TimerWire,
    Welcome,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.daemon.edges import Edge
    from dora.descriptor.plan import NodePlan, Plan
    from dora.transport.edge import EdgePipes


class _Memory:
    """A sender's arena as the daemon holds it."""

    def __init__(self, name: str, arena_id: int) -> None:
        self.wire = ArenaWire(arena_id, DEFAULT_ARENA_BYTES)
        self.read_write = create_memory(f"dora {name}", DEFAULT_ARENA_BYTES)
        self.read_only = reopen_read_only(self.read_write)

    def give_writable(self) -> int:
        """Hand the writable descriptor over."""
        fd, self.read_write = self.read_write, -1
        return fd

    def close(self) -> None:
        for fd in (self.read_write, self.read_only):
            if fd >= 0:
                os.close(fd)
        self.read_write = self.read_only = -1


class Board:
    """The counters of one incarnation of a node, mapped."""

    def __init__(self, name: str, outputs: list[OutputWire], inputs: int) -> None:
        self.routes = [route.edge for output in outputs for route in output.routes]
        self._layout = BoardLayout.with_spare(len(outputs), len(self.routes), inputs)
        self.fd = create_memory(f"dora {name} board", self._layout.size_bytes)
        self._map = mmap.mmap(self.fd, self._layout.size_bytes)
        self._map[: len(fresh_header(self._layout))] = fresh_header(self._layout)
        self._words = memoryview(self._map).cast("Q")
        self.reader = BoardReader(self._words, self._layout)

    def raise_control(self) -> None:
        """Tell the node to look at its control socket."""
        self._words[WORD_CONTROL] += 1

    def messages(self) -> int:
        """Messages sent, on all outputs."""
        return sum(self.reader.output(index)[0] for index in range(self._layout.outputs))

    def close_fd(self) -> None:
        """Give up the descriptor; the mapping stays, for the counters are read to the end."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def close(self) -> None:
        """Give up the mapping too; twice is fine."""
        self.close_fd()
        self._words.release()
        self._map.close()


class Wiring:
    """All descriptors of a dataflow. `close()` gives them up; twice is fine."""

    def __init__(self, plan: Plan, edges: tuple[Edge, ...], dataflow_id: str) -> None:
        self._plan = plan
        self._edges = edges
        self._dataflow_id = dataflow_id
        self._arena_ids = 0
        self.warnings: list[str] = []
        self.boards: dict[str, list[Board]] = {node.id: [] for node in plan.nodes}
        """Of each node, one for each time it joined."""
        self._memory = {node.id: self._new_memory(node.id) for node in plan.nodes}
        self._pipes: dict[int, EdgePipes] = {}
        self._closed: set[int] = set()
        """Edges that have their CLOSE ticket."""
        self._joined: set[str] = set()
        for edge in edges:
            pipes = open_pipes(edge.queue_size)
            self._pipes[edge.number] = pipes
            if pipes.queue_size < edge.queue_size:
                self.warnings.append(
                    f"input `{edge.target}` queues {pipes.queue_size} messages, not "
                    f"{edge.queue_size}: the kernel grants no larger pipe "
                    "(`/proc/sys/fs/pipe-max-size`, `/proc/sys/fs/pipe-user-pages-soft`)"
                )
        if any(edge.feed != "node" for edge in edges):
            self._memory[DAEMON] = self._new_memory(DAEMON)

    def log_memory(self) -> tuple[int, int]:
        """The writable arena for log lines, handed over, and its id."""
        memory = self._memory[DAEMON]
        return memory.give_writable(), memory.wire.arena

    def pipes(self, edge: int) -> EdgePipes:
        """The pipes of an edge that is not over."""
        return self._pipes[edge]

    def has(self, edge: int) -> bool:
        """Whether an edge is not over."""
        return edge in self._pipes

    def welcome(
        self, node: NodePlan, incarnation: int, without: frozenset[int], stack_fd: int
    ) -> tuple[Welcome, list[int]]:
        """A node's wiring and its descriptors, which stay the wiring's: see `welcomed`.

        `stack_fd` is where the node is to write its stack; it stays the caller's.
        """
        memory = self._memory[node.id]
        if memory.read_write < 0:  # it joins again; receivers still map the memory it had
            memory.close()
            memory = self._memory[node.id] = self._new_memory(node.id)
        here = [edge for edge in self._edges if edge.number not in without]
        outputs = [
            OutputWire(output, self._routes(here, node.id, output)) for output in node.outputs
        ]
        reads = [e for e in here if e.receiver == node.id and e.number in self._pipes]
        senders = list(dict.fromkeys(_sender(edge) for edge in reads))
        arenas = [self._memory[sender] for sender in senders]
        board = Board(node.id, outputs, len(reads))
        self.boards[node.id].append(board)
        fds = [memory.read_write, board.fd, stack_fd, *(arena.read_only for arena in arenas)]
        for output in outputs:
            for route in output.routes:
                pipes = self._pipes[route.edge]
                fds += (pipes.ticket_write, pipes.ticket_read, pipes.return_read)
        for edge in reads:
            pipes = self._pipes[edge.number]
            fds += (pipes.ticket_read, pipes.return_write)
        message = Welcome(
            fds=len(fds),
            dataflow=self._dataflow_id,
            node=node.id,
            incarnation=incarnation,
            restart_count=0,
            arena=memory.wire,
            arenas=[arena.wire for arena in arenas],
            outputs=outputs,
            inputs=[_input_wire(edge) for edge in reads],
            timers=[TimerWire(timer.input, timer.interval_ns) for timer in node.timers],
            end_without_timers=self._plan.exit_when_nodes_finish,
            log_inputs=[edge.input for edge in reads if edge.feed == "dataflow"],
            config=node.config,
            descriptor=self._plan.descriptor,
            types=self._plan.types.nodes.get(node.id, {}),
        )
        return message, fds

    def welcomed(self, node: NodePlan) -> None:
        """The node's descriptors are on their way: give up what only it needs."""
        os.close(self._memory[node.id].give_writable())
        self.boards[node.id][-1].close_fd()
        if node.spawned:  # a dynamic one may come back
            self._joined.add(node.id)
            self._release(e.number for e in self._edges if e.receiver == node.id)

    def new_arena(self, sender: str) -> tuple[NewArena, list[int]]:
        """What the receivers of a sender that joined again must know."""
        memory = self._memory[sender]
        return NewArena(1, sender, memory.wire), [memory.read_only]

    def try_close(self, number: int) -> bool:
        """Put the CLOSE ticket on an edge; False when its pipe is full."""
        if not write_close(self._pipes[number].ticket_write):
            return False
        self._closed.add(number)
        self._release([number])
        return True

    def lose(self, number: int) -> None:
        """The receiver reads nothing more: give up the edge."""
        pipes = self._pipes.pop(number, None)
        if pipes is not None:
            close_pipes(pipes)
            self._forget_memory(_sender(self._edges[number]))

    def close(self) -> None:
        """Give up every descriptor."""
        for pipes in self._pipes.values():
            close_pipes(pipes)
        self._pipes.clear()
        for memory in self._memory.values():
            memory.close()
        for boards in self.boards.values():
            for board in boards:
                board.close()

    def _release(self, numbers: Iterable[int]) -> None:
        """Give up edges that are closed and that their receiver has."""
        for number in numbers:
            if number in self._closed and self._edges[number].receiver in self._joined:
                self.lose(number)

    def _forget_memory(self, sender: str) -> None:
        """Give up memory that nobody will be given any more."""
        if not any(_sender(self._edges[number]) == sender for number in self._pipes):
            memory = self._memory[sender]
            if memory.read_write < 0:
                memory.close()

    def _new_memory(self, name: str) -> _Memory:
        self._arena_ids += 1
        return _Memory(name, self._arena_ids)

    def _routes(self, edges: list[Edge], node: str, output: str) -> list[RouteWire]:
        return [
            RouteWire(
                edge.number,
                edge.receiver,
                edge.input,
                self._pipes[edge.number].queue_size,
                edge.backpressure,
            )
            for edge in edges
            if edge.sender == node
            and edge.output == output
            and edge.feed == "node"
            and edge.number in self._pipes
        ]


def _input_wire(edge: Edge) -> InputWire:
    return InputWire(
        edge.input,
        edge.number,
        _sender(edge),
        edge.backpressure,
        edge.input_timeout_s,
        None if edge.backpressure else edge.queue_size,
        edge.as_arrow,
    )


def _sender(edge: Edge) -> str:
    """Whose memory the messages of an edge lie in."""
    return edge.sender if edge.feed == "node" else DAEMON

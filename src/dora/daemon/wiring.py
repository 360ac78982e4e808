"""Pipes and memory of a dataflow: who gets which descriptor, and until when it is kept.

Both pipes of an edge are made before its nodes have joined, and all four ends are kept until its
receiver reads no more: so a message waits for a receiver that is still loading, or is being started
again, and the daemon can put the CLOSE ticket behind a sender that died. Descriptors go out in the
order of `wire.messages.Welcome`.

Elsewhere: when an edge closes (`daemon.supervisor`), how descriptors are sent (`daemon.link`),
memory (`daemon.memory`), counters (`daemon.boards`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dora.daemon.boards import Boards
from dora.daemon.edges import DAEMON
from dora.daemon.memory import Memories
from dora.daemon.saved import SavedWiring
from dora.transport.edge import EdgePipes, bytes_in, close_pipes, open_pipes, write_close
from dora.wire.messages import (
    ArenaWire,
    InputWire,
    NewArena,
    OutputWire,
    RouteWire,
    TimerWire,
    Welcome,
)
from dora.wire.ticket import TICKET_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.daemon.edges import Edge
    from dora.daemon.events import Admit
    from dora.daemon.memory import Memory
    from dora.descriptor.plan import NodePlan, Plan


class Wiring:
    """All descriptors of a dataflow. `close()` gives them up; twice is fine."""

    def __init__(
        self,
        plan: Plan,
        edges: Iterable[Edge],
        dataflow_id: str,
        saved: SavedWiring | None = None,
    ) -> None:
        self._plan = plan
        self._dataflow_id = dataflow_id
        self._types = dict(plan.types.nodes)
        self._edges: dict[int, Edge] = {}
        self.warnings: list[str] = []
        """What could not be had as it was asked for; whoever tells of it clears this."""
        self.boards = Boards(saved)
        self._memory = Memories(self._may_wait)
        self._pipes: dict[int, EdgePipes] = {}
        self._closed: set[int] = set()
        """Edges that have their CLOSE ticket."""
        self._uncounted: set[int] = set()
        """Edges that came when a board had no place left: what is counted of them is too little."""
        self._retired: set[str] = set()
        if saved is not None:
            self._resume(saved)
            return
        try:
            for edge in edges:
                self.open(edge)
        except OSError:
            self.close()
            raise

    def _resume(self, saved: SavedWiring) -> None:
        self._edges |= {edge.number: edge for edge in saved.edges}
        self._memory.resume(saved)
        self._pipes |= {number: EdgePipes(*pipes) for number, pipes in saved.pipes.items()}
        self._closed.update(saved.closed)
        self._uncounted.update(saved.uncounted)
        self._retired.update(saved.retired)
        self._types |= saved.types

    def saved(self) -> SavedWiring:
        """All of this as a value; the descriptors stay this one's."""
        past, past_outputs = self.boards.past()
        arena_ids, memory, earlier = self._memory.saved()
        return SavedWiring(
            arena_ids=arena_ids,
            memory=memory,
            earlier=earlier,
            pipes={number: (*pipes[:4], pipes.queue_size) for number, pipes in self._pipes.items()},
            edges=list(self._edges.values()),
            closed=sorted(self._closed),
            uncounted=sorted(self._uncounted),
            retired=sorted(self._retired),
            types=self._types,
            boards=self.boards.boards(),
            past=past,
            past_outputs=past_outputs,
        )

    def learn_types(self, plan: Plan) -> None:
        """What is declared of the ports of nodes that came later."""
        self._types |= plan.types.nodes

    def output_types(self, node: str) -> dict[str, str]:
        """The types of a node's outputs that have one, as text."""
        outputs = self._types.get(node, {}).get("outputs", {})
        return {name: port["text"] for name, port in outputs.items() if port["text"]}

    def open(self, edge: Edge) -> None:
        """Make the pipes of an edge."""
        self._edges[edge.number] = edge
        pipes = self._pipes[edge.number] = open_pipes(edge.queue_size)
        if pipes.queue_size < edge.queue_size and not edge.tap:
            self.warnings.append(
                f"input `{edge.target}` queues {pipes.queue_size} messages, not "
                f"{edge.queue_size}: the kernel grants no larger pipe "
                "(`/proc/sys/fs/pipe-max-size`, `/proc/sys/fs/pipe-user-pages-soft`)"
            )

    def place_route(self, edge: Edge) -> int | None:
        """Where on its sender's board a new edge is counted; None: nowhere."""
        at = None if edge.tap else self.boards.place_route(edge, self._is_settled)
        return self._noted(edge, at)

    def place_input(self, edge: Edge) -> int | None:
        """Where on its receiver's board a new edge is counted; None: nowhere."""
        return self._noted(edge, self.boards.place_input(edge, self._is_settled))

    def _noted(self, edge: Edge, at: int | None) -> int | None:
        if at is None and not edge.tap:
            self._uncounted.add(edge.number)
        return at

    def _is_settled(self, number: int) -> bool:
        """Whether an edge is over, and all that was sent on it was read or dropped."""
        if number in self._pipes:
            return False
        counts = self.boards.counts(self._edges[number])
        return counts.consumed >= counts.sent

    @property
    def edges(self) -> Iterable[Edge]:
        """Edges that are not over, and those that were."""
        return self._edges.values()

    @property
    def live(self) -> list[Edge]:
        """Edges that are not over."""
        return [edge for edge in self._edges.values() if edge.number in self._pipes]

    def log_memory(self) -> tuple[int, int]:
        """A writable arena for log lines, handed over, and its id."""
        memory = self.fresh_memory(DAEMON)
        return memory.give_writable(), memory.wire.arena

    def pipes(self, edge: int) -> EdgePipes:
        """The pipes of an edge that is not over."""
        return self._pipes[edge]

    def has(self, edge: int) -> bool:
        """Whether an edge is not over."""
        return edge in self._pipes

    def waiting(self, edge: int) -> int:
        """Messages in an edge's queue now."""
        pipes = self._pipes.get(edge)
        if pipes is None:
            return 0
        tickets = bytes_in(pipes.ticket_read) // TICKET_BYTES
        return max(0, tickets - (edge in self._closed))

    def welcome(
        self,
        node: NodePlan,
        incarnation: int,
        admit: Admit,
        stack_fd: int,
    ) -> tuple[Welcome, list[int]]:
        """A node's wiring and its descriptors, which stay the wiring's: see `welcomed`.

        `stack_fd` is where the node is to write its stack; it stays the caller's.
        """
        memory = self.fresh_memory(node.id)
        here = [edge for edge in self.live if edge.number not in admit.without]
        outputs = [OutputWire(one, self._routes(here, node.id, one)) for one in node.outputs]
        reads = [edge for edge in here if edge.receiver == node.id and not edge.tap]
        for edge in reads:
            self._close_again(edge.number)
        inputs = [input_wire(edge, takes_over=admit.takes_over) for edge in reads]
        arenas = self._memory.readable(dict.fromkeys(edge.memory_owner for edge in reads))
        board = self.boards.renew(node.id, outputs, inputs)
        fds = [memory.read_write, board.fd, stack_fd, *(arena.read_only for arena in arenas)]
        for output in outputs:
            for route in output.routes:
                fds += self.sender_fds(route.edge)
        for edge in reads:
            fds += self.receiver_fds(edge.number)
        message = Welcome(
            fds=len(fds),
            dataflow=self._dataflow_id,
            node=node.id,
            incarnation=incarnation,
            restart_count=admit.restarts,
            arena=memory.wire,
            arenas=[arena.wire for arena in arenas],
            outputs=outputs,
            inputs=inputs,
            timers=[TimerWire(timer.input, timer.interval_ns) for timer in node.timers],
            end_without_timers=self._plan.exit_when_nodes_finish,
            log_inputs=[edge.input for edge in reads if edge.feed == "dataflow"],
            config=node.config,
            descriptor=self._plan.descriptor,
            types=self._types.get(node.id, {}),
            heartbeat_s=node.health_check_timeout_s,
        )
        return message, fds

    def welcomed(self, node: NodePlan) -> None:
        """The node's descriptors are on their way: give up what only it needs."""
        os.close(self._memory.of(node.id).give_writable())

    def sender_fds(self, edge: int) -> tuple[int, int, int]:
        """What an edge's sender needs."""
        pipes = self._pipes[edge]
        return pipes.ticket_write, pipes.ticket_read, pipes.return_read

    def receiver_fds(self, edge: int) -> tuple[int, int]:
        """What an edge's receiver needs."""
        pipes = self._pipes[edge]
        return pipes.ticket_read, pipes.return_write

    def route_wire(self, edge: Edge) -> RouteWire:
        """An edge as its sender is told of it."""
        size = self._pipes[edge.number].queue_size
        return RouteWire(edge.number, edge.receiver, edge.input, size, edge.backpressure)

    def memory_for(self, edge: Edge) -> tuple[list[ArenaWire], list[int]]:
        """The memory that messages of an edge lie in, and its descriptors, read-only."""
        arenas = self._memory.readable([edge.memory_owner])
        return [arena.wire for arena in arenas], [arena.read_only for arena in arenas]

    def new_arena(self, sender: str) -> tuple[NewArena, list[int]]:
        """What the receivers of a sender that joined again must know."""
        memory = self._memory.of(sender)
        return NewArena(1, sender, memory.wire), [memory.read_only]

    def try_close(self, number: int, *, detached: bool = False) -> bool:
        """Put the CLOSE ticket on an edge; False when its pipe is full."""
        if not write_close(self._pipes[number].ticket_write, detached=detached):
            return False
        self._closed.add(number)
        return True

    def _close_again(self, number: int) -> None:
        """Put a CLOSE ticket back that a process of the receiver read before it was killed."""
        pipes = self._pipes[number]
        if number in self._closed and not bytes_in(pipes.ticket_read):
            write_close(pipes.ticket_write)

    def lose(self, number: int) -> None:
        """The receiver reads nothing more: give up the edge."""
        pipes = self._pipes.pop(number, None)
        if pipes is not None:
            close_pipes(pipes)
            self._forget_memory(self._edges[number].memory_owner)
        if self._edges[number].tap:
            del self._edges[number]

    def retire(self, node: str) -> None:
        """A node has ended for good: give up its memory once nobody reads it any more."""
        self._retired.add(node)
        self._forget_memory(node)
        self.boards.retire(node)

    def close(self) -> None:
        """Give up every descriptor."""
        for pipes in self._pipes.values():
            close_pipes(pipes)
        self._pipes.clear()
        self._memory.close()
        self.boards.close()

    def fresh_memory(self, node: str) -> Memory:
        """The memory for a node's new process, which no process has had."""
        self._retired.discard(node)
        return self._memory.fresh(node, lambda: self._consumed_once_read(node))

    def _consumed_once_read(self, sender: str) -> dict[int, int]:
        """By edge, how much will have been consumed once all that waits now is."""
        last = {}
        for edge in self.live:
            if edge.memory_owner == sender and not edge.tap:
                waiting = self.waiting(edge.number)  # first: the receiver goes on meanwhile
                consumed = waiting + self.boards.counts(edge).consumed
                # Lines that were dropped are not counted on boards: kept as long as any wait.
                last[edge.number] = consumed if edge.feed == "node" else 1 << 62
        return last

    def _may_wait(self, number: int, last: int) -> bool:
        """Whether one of the first `last` messages of an edge may still be in its queue."""
        if not self.waiting(number):
            return False
        if number in self._uncounted:
            return True
        # Not `<`: the receiver may have had one that it had not counted yet.
        return self.boards.counts(self._edges[number]).consumed <= last

    def _forget_memory(self, sender: str) -> None:
        """Give up memory that nobody will be given any more."""
        if sender in self._retired and not any(e.memory_owner == sender for e in self.live):
            self._memory.forget(sender)

    def _routes(self, edges: list[Edge], node: str, output: str) -> list[RouteWire]:
        return [
            self.route_wire(edge)
            for edge in edges
            if edge.sender == node and edge.output == output and edge.feed == "node"
        ]


def input_wire(edge: Edge, *, takes_over: bool = False) -> InputWire:
    """An edge as its receiver is told of it."""
    return InputWire(
        edge.input,
        edge.number,
        edge.memory_owner,
        edge.backpressure,
        edge.input_timeout_s,
        None if edge.backpressure else edge.queue_size,
        edge.as_arrow,
        takes_over,
    )

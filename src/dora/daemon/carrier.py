"""Carries out what the supervisor asks for: pipes, processes, messages, timers, words to the user.

Owns the wiring, the log feed and the connections of nodes; `close()` gives them up.
Elsewhere: what to do (`daemon.supervisor`), its order (`daemon.server`).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from dora.daemon.edge_closer import EdgeCloser
from dora.daemon.edges import DAEMON
from dora.daemon.events import (
    Admit,
    Answered,
    CloseEdges,
    Disconnected,
    Event,
    FeedEdge,
    Finish,
    Instruction,
    LoseEdges,
    Notice,
    OpenBarrier,
    OpenEdge,
    Retire,
    SignalNode,
    Spawn,
    SpawnFailed,
    StartTimer,
    Tell,
    TimerFired,
    TimerName,
)
from dora.daemon.launch import SpawnError
from dora.daemon.link import Link
from dora.daemon.logfeed import LogFeed
from dora.daemon.saved import SavedLink, SavedTimer
from dora.daemon.wiring import Wiring, input_wire
from dora.wire.messages import AddInput, AddRoute, NodeRestarted, Refused, Start

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence

    import msgspec

    from dora.daemon.callbacks import Loop
    from dora.daemon.crew import Crew
    from dora.daemon.desks import Tickets
    from dora.daemon.edges import Edge
    from dora.daemon.launch import Launched
    from dora.daemon.link import LinkOwner
    from dora.daemon.observer import Observer
    from dora.daemon.params import ParamDesk
    from dora.daemon.saved import SavedDataflow
    from dora.daemon.stacks import Stacks
    from dora.daemon.supervisor import Supervisor
    from dora.daemon.taps import TapDesk
    from dora.daemon.traces import TraceDesk


class Carrier:
    """The hands of one dataflow's supervisor.

    Args:
        loop: Where timers run.
        launched: The dataflow, whose processes have been started.
        supervisor: Whose instructions are carried out.
        observer: Is told notices.
        post: Hands an event to the supervisor.
        finish: Called when all is over.
    """

    def __init__(
        self,
        loop: Loop,
        launched: Launched,
        supervisor: Supervisor,
        observer: Observer,
        post: Callable[[Event], None],
        finish: Callable[[], None],
        saved: SavedDataflow | None = None,
    ) -> None:
        self._loop = loop
        self._launched = launched
        self._roster = supervisor.flow.roster
        self._observer = observer
        self._post = post
        self._finish = finish
        self.epoch_ns = 0 if saved is None else saved.epoch_ns
        """When the barrier opened, CLOCK_MONOTONIC; 0 before."""
        edges = supervisor.flow.book.edges.values()
        wiring = None if saved is None else saved.wiring
        self.wiring = Wiring(launched.plan, edges, launched.dataflow_id, wiring)
        self._closer = EdgeCloser(loop, self.wiring, lambda: self.feed)
        self.feed: LogFeed | None = None
        self._timers: dict[asyncio.TimerHandle, TimerFired] = {}
        self.links: dict[tuple[str, int], Link] = {}
        """Of nodes that have registered, by node and incarnation."""
        try:
            self._feed_lines(edges, {} if saved is None else saved.feed)
        except OSError:
            self.close()
            raise
        self._carry: dict[type, Callable[[Any], None]] = {
            Admit: self._admit,
            Answered: self._answered,
            CloseEdges: self._close_edges,
            FeedEdge: self._feed_edge,
            Finish: lambda _: finish(),
            LoseEdges: self._lose_edges,
            Notice: lambda one: observer.notice(one.level, one.text),
            OpenBarrier: self._open_barrier,
            OpenEdge: self._open_edge,
            Retire: self._retire,
            SignalNode: self._signal,
            Spawn: self._spawn,
            StartTimer: self._start_timer,
            Tell: self._tell,
        }

    def connect(
        self,
        crew: Crew,
        stacks: Stacks,
        tickets: Tickets,
        taps: TapDesk,
        params: ParamDesk,
        traces: TraceDesk,
    ) -> None:
        """Make the parts known that are made after this one."""
        self._crew = crew
        self._stacks = stacks
        self._tickets = tickets
        self._taps = taps
        self._params = params
        self._traces = traces

    def carry_out(self, instructions: Sequence[Instruction]) -> None:
        """Do all of it, in order."""
        for instruction in instructions:
            self._carry[type(instruction)](instruction)

    def link(self, node: str) -> Link | None:
        """The connection of a node's present process."""
        record = self._roster.get(node)
        return None if record is None else self.links.get((node, record.incarnation))

    def send(self, node: str, message: msgspec.Struct, fds: Sequence[int] = ()) -> None:
        """Send a message to a node, if it is connected."""
        link = self.link(node)
        if link is not None:
            link.send(message, fds)

    def warn(self) -> None:
        """Tell what could not be had as it was asked for."""
        for warnings in (self.wiring.warnings, self._launched.starter.warnings):
            for warning in warnings:
                self._observer.notice("warn", warning)
            warnings.clear()

    def resume(self, saved: SavedDataflow, owner: LinkOwner) -> None:
        """Go on where another program of this process was left."""
        for one in saved.links:
            self.links[one.node, one.incarnation] = Link.resumed(self._loop, owner, one)
            self._stacks.resume(one.node, one.pid, one.stack)
        for timer in saved.timers:
            event = TimerFired(TimerName[timer.timer], timer.node, timer.incarnation)
            self._await(event, max(0.0, timer.at_s - self._loop.time()))
        closed, _, _, detached, *_ = map(set, saved.flow.marks)
        for number in closed.difference(saved.wiring.closed):  # there was no room for the ticket
            self._closer.close_edge(number, detached=number in detached)
        for record in self._roster:
            if record.linked and (record.id, record.incarnation) not in self.links:
                # It cut its connection, and its end was awaited.
                self._post(Disconnected(record.id, record.incarnation, clean=False))
        if self.feed is not None:  # it sends from new memory
            for node in {edge.receiver for edge in saved.wiring.edges if edge.feed != "node"}:
                self.send(node, *self.wiring.new_arena(DAEMON))

    def timers(self) -> list[SavedTimer]:
        """The timers that are running, as values."""
        return [
            SavedTimer(event.timer.name, event.node, event.incarnation, handle.when())
            for handle, event in self._timers.items()
        ]

    def fed(self) -> dict[int, tuple[int, int]]:
        """Lines sent on and dropped from each edge that carries lines."""
        feed, edges = self.feed, self.wiring.edges
        if feed is None:
            return {}
        return {e.number: feed.counts(e.number) for e in edges if e.feed != "node"}

    def saved_links(self) -> list[SavedLink]:
        """The connections of nodes as values; their descriptors stay theirs."""
        return [link.saved(self._stacks.descriptor(node)) for (node, _), link in self.links.items()]

    def close(self) -> None:
        """Give all up."""
        for link in self.links.values():
            link.close_when_sent()
            link.close()
        self._closer.close()
        if self.feed is not None:
            self.feed.close()
            self.feed = None
        self.wiring.close()

    # ---- instructions ----

    def _spawn(self, spawn: Spawn) -> None:
        node = spawn.plan
        if not self._roster[node.id].joins:
            # Not that of a removed node of this name: who is wired to this one has to know its own.
            self.wiring.fresh_memory(node.id)
        try:
            process = self._launched.starter.start(node, spawn.incarnation)
        except SpawnError as exc:
            self._post(SpawnFailed(node.id, spawn.incarnation, str(exc)))
            return
        self._crew.take_on(node, spawn.incarnation, process)
        self.warn()

    def _admit(self, admit: Admit) -> None:
        link = self.link(admit.node)
        if link is None:  # it is gone again; its end is an event behind this one
            return
        node = self._roster[admit.node].plan
        stack_fd = self._stacks.open(node.id, link.pid)
        message, fds = self.wiring.welcome(node, link.incarnation, admit, stack_fd)
        link.send(message, fds)
        os.close(stack_fd)
        self.wiring.welcomed(node)
        for told in (*self._params.for_node(node.id), *self._traces.for_node(node.id)):
            link.send(told)
        self._taps.sender_is_back(node.id)

    def _open_barrier(self, barrier: OpenBarrier) -> None:
        self.epoch_ns = self.epoch_ns or time.monotonic_ns()
        for node in barrier.nodes:
            self.send(node, Start(self.epoch_ns))

    def _tell(self, tell: Tell) -> None:
        if isinstance(tell.message, NodeRestarted) and tell.message.operator is None:
            self.send(tell.node, *self.wiring.new_arena(tell.message.source))
        self.send(tell.node, tell.message)
        link = self.link(tell.node)
        if isinstance(tell.message, Refused) and link is not None:
            link.close_when_sent()

    def _open_edge(self, opened: OpenEdge) -> None:
        edge = opened.edge
        try:
            self.wiring.open(edge)
        except OSError as exc:
            if opened.ticket is None:
                raise
            self._tickets.answer(opened.ticket, error=f"no pipe to be had: {exc.strerror}")
            return
        if edge.feed != "node":
            self._feed().add(edge, self.wiring.pipes(edge.number))
        elif opened.sender_linked:
            self._feed_edge(FeedEdge(edge))
        if opened.receiver_linked:
            at = self.wiring.place_input(edge)
            wires, arenas = self.wiring.memory_for(edge)
            all_fds = [*arenas, *self.wiring.receiver_fds(edge.number)]
            told = AddInput(len(all_fds), input_wire(edge), at, wires)
            self.send(edge.receiver, told, all_fds)
        if opened.ticket is not None:
            self._taps.opened(opened.ticket, edge)

    def _feed_edge(self, fed: FeedEdge) -> None:
        edge = fed.edge
        at = self.wiring.place_route(edge)
        fds = self.wiring.sender_fds(edge.number)
        route = self.wiring.route_wire(edge)
        self.send(edge.sender, AddRoute(len(fds), edge.output, route, at), fds)

    def _close_edges(self, closed: CloseEdges) -> None:
        for number in closed.edges:
            self._closer.close_edge(number, detached=closed.detached)

    def _lose_edges(self, lost: LoseEdges) -> None:
        for number in lost.edges:
            self._closer.lose_edge(number)

    def _signal(self, sign: SignalNode) -> None:
        incarnation = sign.incarnation
        if incarnation is None:
            incarnation = self._roster[sign.node].incarnation
        self._crew.signal(sign.node, incarnation, sign.signal)

    def _start_timer(self, timer: StartTimer) -> None:
        self._await(TimerFired(timer.timer, timer.node, timer.incarnation), timer.after_s)

    def _await(self, event: TimerFired, after_s: float) -> None:
        def fire() -> None:
            del self._timers[handle]
            self._post(event)

        handle = self._loop.call_later(after_s, fire)
        self._timers[handle] = event

    def _answered(self, answered: Answered) -> None:
        self._tickets.answer(answered.ticket, answered.text, answered.error)

    def _retire(self, retired: Retire) -> None:
        self.wiring.retire(retired.node)
        self._params.forget(retired.node)
        self._stacks.forget(retired.node)

    def _feed_lines(self, edges: Iterable[Edge], before: dict[int, tuple[int, int]]) -> None:
        """Feed the edges that carry lines, of which so much was counted before."""
        for edge in edges:
            if edge.feed != "node" and self.wiring.has(edge.number):
                counted = before.get(edge.number, (0, 0))
                self._feed().add(edge, self.wiring.pipes(edge.number), counted)

    def _feed(self) -> LogFeed:
        """The feed of log lines, made when the first edge needs it."""
        if self.feed is None:
            memory, arena = self.wiring.log_memory()
            self.feed = LogFeed(memory, arena, (), self._launched.dataflow_id)
        return self.feed

"""What is exchanged while a dataflow runs: nodes that come in, successors, wires, taps. Pure.

A node is replaced by starting its successor beside it; only when that has come up and registered is
the old one told to stop, and only when it has ended is the new one let in. Meanwhile messages wait
in the pipes, which stay: none is lost. A part of `daemon.supervisor`.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from dora.daemon.edges import Edge, edges_of, feed_of
from dora.daemon.events import (
    AddAsked,
    Answered,
    Connected,
    Event,
    Exited,
    Instruction,
    LoseEdges,
    Notice,
    OpenEdge,
    ReplaceAsked,
    RouteAsked,
    SignalNode,
    Spawn,
    SpawnFailed,
    StartTimer,
    TapAsked,
    TapEnded,
    TimerName,
)
from dora.daemon.lifecycle import BackoffOver, NodeState
from dora.daemon.report import exit_text, listed, telling_lines
from dora.daemon.roster import Goal, Successor
from dora.descriptor.addition import check_replacement
from dora.errors import DescriptorError
from dora.ids import PORT_ID_RULE, is_port_id, suggest

if TYPE_CHECKING:
    from dora.daemon.departures import Departures
    from dora.daemon.flow import Flow
    from dora.daemon.roster import NodeRecord

_COME_UP_WITHIN_S = 120.0
"""A successor without a `startup_timeout`."""


class Changes:
    """Decides about what is exchanged."""

    def __init__(self, flow: Flow, departures: Departures) -> None:
        self._flow = flow
        self._roster = flow.roster
        self._book = flow.book
        self._departures = departures

    def handle(
        self, event: AddAsked | ReplaceAsked | RouteAsked | TapAsked | TapEnded
    ) -> list[Instruction]:
        """Somebody wants something exchanged."""
        if isinstance(event, TapEnded):
            return self._untap(event.edge)
        if self._flow.ending:
            return [Answered(event.ticket, error="the dataflow is ending")]
        match event:
            case AddAsked():
                return self._add(event)
            case ReplaceAsked():
                return self._replace(event)
            case RouteAsked():
                return self._connect(event) if event.connect else self._disconnect(event)
            case TapAsked():
                return self._tap(event)

    # ---- nodes ----

    def _add(self, event: AddAsked) -> list[Instruction]:
        there = [node.id for node in event.plan.nodes if node.id in self._roster]
        if there:
            error = f"this dataflow has a node {listed(there)} already; `dora node replace`, or "
            return [Answered(event.ticket, error=error + "`dora node remove` it first")]
        if event.plan.log_routes:
            error = "a node that is added to a running dataflow cannot have `dora/logs` inputs"
            return [Answered(event.ticket, error=error)]
        coming = {node.id for node in event.plan.nodes}
        running = [record.plan for record in self._roster]
        edges = edges_of(event.plan, self._book.next_number, running)
        for edge in edges:
            if edge.sender not in self._roster and edge.sender not in coming:
                error = f"input `{edge.target}` reads from node `{edge.sender}`: "
                return [Answered(event.ticket, error=error + self._roster.absent(edge.sender))]
        records = [self._roster.add(node) for node in event.plan.nodes]
        instructions: list[Instruction] = []
        for edge in edges:
            # One that runs already must not send to, let alone wait for, one that is loading.
            runs = edge.feed == "node" and edge.sender not in coming
            self._book.add(edge, unfed=runs)
            instructions.append(OpenEdge(edge, False, False) if runs else self._open(edge))
        named = listed(record.id for record in records)
        nodes = "node {} was" if len(records) == 1 else "nodes {} were"
        for record in records:
            if record.plan.spawned:
                instructions.append(Spawn(record.plan, 0))
                instructions += self._departures.expect(record)
        told = f"{nodes.format(named)} added"
        return [Notice("info", told), *instructions, Answered(event.ticket, told)]

    def _replace(self, event: ReplaceAsked) -> list[Instruction]:
        node = self._roster.get(event.plan.id)
        problem = self._against_replacing(node, event)
        if node is None or problem is not None:
            return [Answered(event.ticket, error=problem)]
        incarnation = node.new_incarnation()
        node.successor = Successor(event.plan, incarnation, event.ticket, event.grace_s)
        limit_s = event.plan.startup_timeout_s or _COME_UP_WITHIN_S
        return [
            Notice("info", f"node `{node.id}` is being replaced: starting its successor"),
            Spawn(event.plan, incarnation),
            StartTimer(TimerName.STARTUP, limit_s, node.id, incarnation),
        ]

    def _against_replacing(self, node: NodeRecord | None, event: ReplaceAsked) -> str | None:
        if node is None:
            return self._roster.absent(event.plan.id)
        if node.dynamic or not event.plan.spawned:
            return (
                f"node `{node.id}`: dynamic nodes are started, and replaced, by whoever runs them"
            )
        if node.successor is not None or node.goal is not Goal.NONE:
            return f"node `{node.id}` is being ended or replaced already"
        if node.state is NodeState.FINISHED:
            return f"node `{node.id}` has ended; `dora node remove` and `dora node add`"
        read = {e.output for e in self._book.sent_by(node.id) if not self._book.is_over(e)}
        try:
            check_replacement(node.plan, event.plan, read)
        except DescriptorError as exc:
            return str(exc)
        return None

    def successor(
        self,
        node: NodeRecord,
        successor: Successor,
        event: Event,
    ) -> list[Instruction]:
        """Something happened to a process that is to take a node's place."""
        if isinstance(event, Connected):
            successor.pid = event.pid
            told = f"the successor of node `{node.id}` (pid {event.pid}) is there: stopping the "
            told += f"old process (pid {node.pid})"
            if node.state is NodeState.BACKOFF:
                return []  # it need not be started again
            return [
                Notice("info", told),
                *self._departures.end(node, Goal.REPLACE, successor.grace_s),
            ]
        if isinstance(event, SpawnFailed):
            return self._give_up(node, successor, f"could not be started: {event.error}")
        if isinstance(event, Exited):
            tail = "\n".join(telling_lines(event.stderr))
            told = f"{exit_text(event.returncode)} before it took over"
            return self._give_up(node, successor, f"{told}:\n{tail}" if tail else told)
        return []

    def successor_is_late(self, node: NodeRecord, successor: Successor) -> list[Instruction]:
        """A successor should have come up by now."""
        if successor.pid is not None:
            return []
        told = "has not called `Node()` in time"
        kill = SignalNode(node.id, signal.SIGKILL, successor.incarnation)
        return [kill, *self._give_up(node, successor, told)]

    def _give_up(self, node: NodeRecord, successor: Successor, told: str) -> list[Instruction]:
        """The successor failed: the node goes on, or is started as it was if it has ended."""
        node.successor = None
        error = f"the successor of node `{node.id}` {told}"
        again: list[Instruction] = []
        if node.goal is not Goal.REPLACE:
            error += "\nthe old one goes on"
        elif node.state is NodeState.BACKOFF:
            error += "\nthe old one, which has ended, is started again"
            again = self._departures.end(node, Goal.RESTART, None)
        else:
            node.goal = Goal.RESTART
        return [Notice("error", error), *again, Answered(successor.ticket, error=error)]

    def take_over(self, node: NodeRecord) -> Successor | None:
        """The old process is gone: put its successor in its place, if that is there."""
        successor = node.successor
        if successor is None or successor.pid is None or node.state is not NodeState.BACKOFF:
            return None
        node.life.handle(BackoffOver())
        node.successor = None
        node.goal = Goal.NONE
        self._flow.forgive(node)
        node.take_plan(successor.plan)
        return successor

    # ---- wires ----

    def _connect(self, event: RouteAsked) -> list[Instruction]:
        sender, receiver = self._roster.get(event.sender), self._roster.get(event.receiver)
        problem = self._against_connecting(sender, receiver, event)
        if sender is None or problem is not None:
            return [Answered(event.ticket, error=problem)]
        feed = feed_of(sender.plan, event.output)
        edge = Edge(
            self._book.next_number,
            event.sender,
            event.output,
            event.receiver,
            event.input,
            event.queue_size,
            event.backpressure and feed == "node",
            feed,
        )
        self._book.add(edge)
        told = f"{edge.source} -> {edge.target}"
        return [Notice("info", told), self._open(edge), Answered(event.ticket, told)]

    def _against_connecting(
        self, sender: NodeRecord | None, receiver: NodeRecord | None, event: RouteAsked
    ) -> str | None:
        if sender is None:
            return self._roster.absent(event.sender)
        if receiver is None:
            return self._roster.absent(event.receiver)
        if not is_port_id(event.input):
            return f"`{event.input}` cannot be the id of an input; {PORT_ID_RULE}"
        for node in (sender, receiver):
            if node.state is NodeState.FINISHED:
                return f"node `{node.id}` has ended"
        fed_by = self._book.feeding(event.receiver, event.input)
        timers = {timer.input for timer in receiver.plan.timers}
        if fed_by is not None or event.input in timers:
            by = f"`{fed_by.source}`" if fed_by is not None else "a timer"
            return (
                f"input `{event.receiver}/{event.input}` is fed by {by}; "
                "`dora node disconnect` that first, or choose another input id"
            )
        return self._unknown_output(sender, event.output)

    def _unknown_output(self, node: NodeRecord, output: str) -> str | None:
        outputs = node.plan.outputs
        if output in outputs:
            return None
        near = suggest(output, outputs)
        hint = f"did you mean `{near}`?" if near else f"outputs: {listed(outputs) or 'none'}"
        return f"node `{node.id}` has no output `{output}`; {hint}"

    def _disconnect(self, event: RouteAsked) -> list[Instruction]:
        edge = self._book.feeding(event.receiver, event.input)
        source = f"{event.sender}/{event.output}"
        if edge is None or edge.source != source:
            is_fed = f"it is fed by `{edge.source}`" if edge is not None else "nothing feeds it"
            error = f"`{source}` does not feed `{event.receiver}/{event.input}`: {is_fed}"
            return [Answered(event.ticket, error=error)]
        told = f"{edge.source} -x- {edge.target}"
        self._book.take_away([edge])
        if self._roster.is_linked(edge.receiver):  # it reads on to the CLOSE ticket
            instructions = self._book.close([edge], detached=True)
            instructions += self._book.tell_senders([edge], died=False)
        else:
            self._book.close([edge])
            instructions = self._book.lose([edge], died=True)
        return [Notice("info", told), *instructions, Answered(event.ticket, told)]

    def _tap(self, event: TapAsked) -> list[Instruction]:
        node = self._roster.get(event.node)
        if node is None:
            return [Answered(event.ticket, error=self._roster.absent(event.node))]
        problem = self._unknown_output(node, event.output)
        if problem is None and node.state is NodeState.FINISHED:
            problem = f"node `{node.id}` has ended"
        if problem is not None:
            return [Answered(event.ticket, error=problem)]
        feed = feed_of(node.plan, event.output)
        edge = Edge(
            self._book.next_number,
            event.node,
            event.output,
            "",
            "",
            event.queue_size,
            event.backpressure and feed == "node",
            feed,
            tap=True,
        )
        self._book.add(edge)
        return [OpenEdge(edge, node.linked, False, event.ticket)]

    def _untap(self, number: int) -> list[Instruction]:
        edge = self._book.remove(number)
        lost: list[Instruction] = [LoseEdges((number,))]
        return lost + self._book.tell_senders([edge], died=True)

    def _open(self, edge: Edge) -> OpenEdge:
        linked = self._roster.is_linked
        return OpenEdge(edge, linked(edge.sender), linked(edge.receiver))

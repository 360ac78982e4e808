"""One dataflow: an event in, instructions out. Pure: no socket, process, file or clock.

It hands each event to the part that decides about it, lets nodes in, and opens the start barrier.
Who goes, and whether another comes in its place, is `daemon.departures`'; the end of all
`daemon.ending`'s; nodes and wires that are exchanged `daemon.changes`'. Each node goes through the
table of `daemon.lifecycle`. Carried out by `daemon.server`, which alone calls this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.daemon import lifecycle
from dora.daemon.changes import Changes
from dora.daemon.departures import Departures
from dora.daemon.ending import Ending
from dora.daemon.events import (
    AddAsked,
    Admit,
    Answered,
    CloseEdges,
    Connected,
    Disconnected,
    Event,
    Exited,
    FeedEdge,
    Instruction,
    KillAsked,
    NodeAsked,
    Notice,
    OpenBarrier,
    OperatorAnew,
    OutputsClosed,
    ReplaceAsked,
    RouteAsked,
    SpawnFailed,
    StartAllowed,
    StartTimer,
    StopAsked,
    TapAsked,
    TapEnded,
    Tell,
    TimerFired,
    TimerName,
)
from dora.daemon.flow import Flow, Graces, Phase
from dora.daemon.lifecycle import NodeState
from dora.daemon.report import listed
from dora.daemon.roster import Goal
from dora.daemon.saved import SavedFlow
from dora.wire.messages import NodeRestarted

if TYPE_CHECKING:
    from dora.daemon.edges import Edge
    from dora.daemon.report import NodeFailure
    from dora.daemon.roster import NodeRecord
    from dora.descriptor.plan import Plan

_FIRST_REMINDER_S = 2.0
_SLOWEST_REMINDER_S = 60.0


class Supervisor:
    """The state of a dataflow whose nodes have just been spawned."""

    def __init__(
        self,
        plan: Plan,
        graces: Graces | None = None,
        saved: SavedFlow | None = None,
        *,
        hot_reload: bool = False,
    ) -> None:
        self.flow = flow = Flow(plan, graces or Graces(), saved, hot_reload=hot_reload)
        self._roster = flow.roster
        self._book = flow.book
        self._ending = Ending(flow, saved)
        self._departures = Departures(flow, self._ending)
        self._changes = Changes(flow, self._departures)
        self._reminder_s = _FIRST_REMINDER_S if saved is None else saved.reminder_s

    def saved(self) -> SavedFlow:
        """All of this as a value."""
        flow, book = self.flow, self.flow.book
        return SavedFlow(
            phase=flow.phase.name,
            failures=list(flow.failures),
            never_joined=list(flow.never_joined),
            nodes=[record.saved() for record in flow.roster],
            edges=list(book.edges.values()),
            marks=book.marks(),
            next_edge=book.next_number,
            stops=self._ending.stops,
            stop_s=self._ending.stop_s,
            term_s=self._ending.term_s,
            reminder_s=self._reminder_s,
        )

    @property
    def phase(self) -> Phase:
        """Where the dataflow stands."""
        return self.flow.phase

    @property
    def failures(self) -> list[NodeFailure]:
        """Nodes that failed, in the order in which they did."""
        return self.flow.failures

    @property
    def never_joined(self) -> list[str]:
        """Whom the start barrier still waited for when the time of the dataflow was over."""
        return self.flow.never_joined

    def start(self) -> list[Instruction]:
        """What to do first."""
        instructions: list[Instruction] = [StartTimer(TimerName.BARRIER, self._reminder_s)]
        for node in self._roster:
            instructions += self._departures.expect(node)
        absent = sorted(node.id for node in self._roster if node.dynamic)
        if absent and len(absent) == len(self._roster):
            instructions.append(
                Notice("info", f"waits for dynamic nodes: {listed(absent)}; Ctrl-C ends it")
            )
        return instructions + self._open_barrier_if_complete()

    def handle(self, event: Event) -> list[Instruction]:
        """Take one event in, change state, return what the server must now do."""
        if self.phase is Phase.ENDED:
            return []
        instructions = self._decide(event)
        instructions += self._open_barrier_if_complete()
        instructions += self._ending.finish_if_over()
        if isinstance(event, Connected) or any(isinstance(i, CloseEdges) for i in instructions):
            instructions += self._departures.watch_those_that_nothing_feeds()
        return instructions

    def refusal(self, node_id: str, incarnation: int | None) -> str | None:
        """Why a node that registers now is not let in; None when it is."""
        if self.flow.ending or self.phase is Phase.ENDED:
            return "the dataflow is ending"
        return self._roster.refusal(node_id, incarnation)

    def incarnation_of(self, node_id: str, incarnation: int | None) -> int:
        """Which incarnation a node is that joins now, and said this of itself."""
        node = self._roster[node_id]
        return node.joins if node.dynamic or incarnation is None else incarnation

    def _decide(self, event: Event) -> list[Instruction]:
        match event:
            case StopAsked():
                return self._ending.stop(event)
            case StartAllowed():
                self.flow.held = False
                return []
            case TimerFired():
                return self._timer(event)
            case AddAsked() | ReplaceAsked() | RouteAsked() | TapAsked() | TapEnded():
                return self._changes.handle(event)
            case NodeAsked():
                return self._departures.node_asked(event)
        node = self._roster.get(event.node)
        if node is None:
            return []
        successor = node.successor
        if successor is not None and event.incarnation == successor.incarnation:
            return self._changes.successor(node, successor, event) + self._take_over(node)
        if event.incarnation != node.incarnation and not isinstance(event, Connected):
            return []
        match event:
            case Connected():
                return self.connected(node, event.incarnation, event.pid)
            case OutputsClosed():
                if node.goal in (Goal.RESTART, Goal.REPLACE):
                    return []  # it takes its leave; another sends on
                written = self._book.written_by(node.id)
                return self._book.close(edge for edge in written if edge.output in event.outputs)
            case OperatorAnew():
                sent = self._book.sent_by(node.id)
                sent = [e for e in sent if e.output.startswith(f"{event.operator}/")]
                return self._tell_restarted(node, sent, event.operator)
            case SpawnFailed():
                return self._departures.spawn_failed(node, event.error)
            case KillAsked():
                return self._departures.kill(node, event.why)
            case Disconnected():
                return self._departures.disconnected(node, clean=event.clean)
            case Exited():
                return self._departures.exited(node, event) + self._take_over(node)

    # ---- joining ----

    def _take_over(self, node: NodeRecord) -> list[Instruction]:
        """Let a successor in whose predecessor has ended."""
        successor = self._changes.take_over(node)
        if successor is None or successor.pid is None:
            return []
        told = f"node `{node.id}` was replaced"
        return [
            *self.connected(node, successor.incarnation, successor.pid),
            Notice("info", told),
            Answered(successor.ticket, told),
        ]

    def connected(self, node: NodeRecord, incarnation: int, pid: int) -> list[Instruction]:
        """A process has come up as this node."""
        node.life.handle(lifecycle.NodeConnected())
        node.incarnation = incarnation
        node.pid = pid
        node.joins += 1
        node.linked = True
        instructions: list[Instruction] = []
        own = self._book.touching(node.id)
        # Log edges of a dynamic node are the daemon's to close, never its own.
        over = [edge for edge in own if self._book.is_over(edge)]
        if node.dynamic:
            instructions += self._tell_of_dynamic(node, over)
        # Inputs whose sender has ended are part of it: messages may still wait.
        without = frozenset(
            edge.number for edge in over if edge.sender == node.id or self._book.is_lost(edge)
        ) | frozenset(edge.number for edge in self._unfed(node.id))
        again = node.joins > 1
        restarts = node.joins - 1 if node.dynamic else node.restart_count
        instructions.append(Admit(node.id, without, restarts, again and node.readers_gone))
        if node.joins > 1:
            live = [edge for edge in own if not self._book.is_over(edge)]
            instructions += self._tell_restarted(node, live)
        if self.phase is Phase.RUNNING:
            node.life.handle(lifecycle.BarrierOpened())
            instructions.append(OpenBarrier((node.id,)))
        fed = self._book.feed(node.id)
        return instructions + [FeedEdge(e) for e in fed if self._roster.is_linked(e.sender)]

    def _unfed(self, sender: str) -> list[Edge]:
        """Edges that a node is not to send on yet."""
        return [edge for edge in self._book.sent_by(sender) if self._book.is_unfed(edge)]

    def _tell_restarted(
        self, node: NodeRecord, edges: list[Edge], operator: str | None = None
    ) -> list[Instruction]:
        """Tell those who read these edges that a node, or an operator of it, is back."""
        return [
            Tell(receiver, NodeRestarted(node.id, operator))
            for receiver in sorted({edge.receiver for edge in edges})
            if receiver != node.id and self._roster.is_linked(receiver)
        ]

    def _tell_of_dynamic(self, node: NodeRecord, over: list[Edge]) -> list[Instruction]:
        again = " again" if node.joins > 1 else ""
        told: list[Instruction] = [
            Notice("info", f"{node.kind} `{node.id}` (pid {node.pid}) joined{again}")
        ]
        unfed = sorted(edge.target for edge in over if edge.sender == node.id and not edge.tap)
        if unfed:
            text = f"node `{node.id}` had closed its outputs; it no longer feeds {listed(unfed)}"
            told.append(Notice("warn", text))
        return told

    def _open_barrier_if_complete(self) -> list[Instruction]:
        if self.phase is not Phase.STARTING or self.flow.held or self._roster.awaited():
            return []
        self.flow.phase = Phase.RUNNING
        ready = [node for node in self._roster if node.state is NodeState.WAITING]
        for node in ready:
            node.life.handle(lifecycle.BarrierOpened())
        return [OpenBarrier(tuple(node.id for node in ready))] if ready else []

    # ---- timers ----

    def _timer(self, event: TimerFired) -> list[Instruction]:
        if event.timer is TimerName.BARRIER:
            return self._remind()
        if event.node is None:
            return self._ending.timer(event.timer)
        node = self._roster.get(event.node)
        if node is None:
            return []
        successor = node.successor
        if successor is not None and event.incarnation == successor.incarnation:
            return self._changes.successor_is_late(node, successor)
        if event.incarnation != node.incarnation:
            return []
        return self._departures.timer(node, event.timer)

    def _remind(self) -> list[Instruction]:
        awaited = self._roster.awaited()
        if self.phase is not Phase.STARTING or not awaited:
            return []
        self._reminder_s = min(2 * self._reminder_s, _SLOWEST_REMINDER_S)
        return [
            Notice("info", f"waiting for {listed(awaited)} to call `Node()`"),
            StartTimer(TimerName.BARRIER, self._reminder_s),
        ]

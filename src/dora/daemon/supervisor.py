"""One dataflow: an event in, instructions out. Pure: no socket, process, file or clock.

It opens the start barrier, follows each node through the table of `daemon.lifecycle`, climbs the
stop ladder, and says when all is over; `daemon.edge_book` keeps what that means for edges. Carried
out by `daemon.server`, which alone calls it; told to the user by `daemon.report`.
"""

from __future__ import annotations

import signal
from enum import Enum, auto
from typing import TYPE_CHECKING, assert_never

import msgspec

from dora.daemon import lifecycle
from dora.daemon.edge_book import EdgeBook
from dora.daemon.edges import edges_of
from dora.daemon.events import (
    Admit,
    Connected,
    Disconnected,
    Event,
    Exited,
    Finish,
    Instruction,
    Notice,
    OpenBarrier,
    OutputsClosed,
    SignalNode,
    SpawnFailed,
    StartTimer,
    StopAsked,
    Tell,
    TimerFired,
    TimerName,
)
from dora.daemon.lifecycle import NodeState, Verdict, exit_verdict
from dora.daemon.report import KILLED_BY_DORA, NodeFailure, exit_text, listed
from dora.daemon.roster import NodeRecord, Roster
from dora.wire.messages import NodeRestarted, Refused, Stop

if TYPE_CHECKING:
    from dora.descriptor.plan import Plan

_FIRST_REMINDER_S = 2.0
_SLOWEST_REMINDER_S = 60.0


class Graces(msgspec.Struct, frozen=True):
    """How long a node may take, on each rung of the ladder."""

    stop_s: float = 10.0
    """From STOP to SIGTERM."""
    term_s: float = 5.0
    """From SIGTERM to SIGKILL."""
    hurry_s: float = 2.0
    """From SIGTERM to SIGKILL when asked twice, or when the start failed."""


class Phase(Enum):
    """Where the dataflow stands."""

    STARTING = auto()  # the barrier is closed
    RUNNING = auto()  # the barrier is open
    STOPPING = auto()  # asked to stop
    ABORTING = auto()  # a node failed before the barrier; the others are being ended
    ENDED = auto()  # all over


class Supervisor:
    """The state of a dataflow whose nodes have just been spawned."""

    def __init__(self, plan: Plan, graces: Graces | None = None) -> None:
        self.phase = Phase.STARTING
        self.failures: list[NodeFailure] = []
        self.never_joined: list[str] = []
        """Whom the start barrier still waited for when the time of the dataflow was over."""
        self._graces = graces or Graces()
        self._roster = Roster(plan)
        self._book = EdgeBook(edges_of(plan), self._roster)
        self._reminder_s = _FIRST_REMINDER_S
        self._stops = 0

    def start(self) -> list[Instruction]:
        """What to do first."""
        instructions: list[Instruction] = [StartTimer(TimerName.BARRIER, self._reminder_s)]
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
        if isinstance(event, StopAsked):
            if event.time_is_up and self.phase is Phase.STARTING:
                self.never_joined = self._roster.awaited()
            if event.node is not None and self.phase is not Phase.RUNNING:
                return []
            return self._stop(event.why)
        if isinstance(event, TimerFired):
            return self._timer(event.timer)
        node = self._roster[event.node]
        if isinstance(event, SpawnFailed):
            return self._spawn_failed(node, event.error)
        if event.incarnation != node.incarnation and not isinstance(event, Connected):
            return []
        if isinstance(event, Connected):
            return self._connected(node, event)
        if isinstance(event, OutputsClosed):
            written = self._book.written_by(node.id)
            return self._book.close(edge for edge in written if edge.output in event.outputs)
        if isinstance(event, Disconnected):
            return self._disconnected(node, clean=event.clean)
        if isinstance(event, Exited):
            return self._exited(node, event)
        assert_never(event)

    def refusal(self, node_id: str, incarnation: int | None) -> str | None:
        """Why a node that registers now is not let in; None when it is."""
        if self.phase in (Phase.STOPPING, Phase.ABORTING, Phase.ENDED):
            return "the dataflow is ending"
        return self._roster.refusal(node_id, incarnation)

    def next_incarnation(self, node_id: str) -> int:
        """Which incarnation a node is that joins now."""
        return self._roster[node_id].next_incarnation

    # ---- joining ----

    def _connected(self, node: NodeRecord, event: Connected) -> list[Instruction]:
        node.life.handle(lifecycle.NodeConnected())
        node.incarnation = event.incarnation
        node.pid = event.pid
        node.joins += 1
        node.linked = True
        instructions: list[Instruction] = []
        own = self._book.touching(node.id)
        # Log edges of a dynamic node are the daemon's to close, never its own.
        over = [edge for edge in own if self._book.is_over(edge)]
        if node.dynamic:
            again = " again" if node.joins > 1 else ""
            instructions.append(
                Notice("info", f"{node.kind} `{node.id}` (pid {event.pid}) joined{again}")
            )
            unfed = sorted(edge.target for edge in over if edge.sender == node.id)
            if unfed:
                instructions.append(
                    Notice(
                        "warn",
                        f"node `{node.id}` had closed its outputs; it no longer feeds "
                        f"{listed(unfed)}",
                    )
                )
        # At a first join, inputs whose sender has ended are part of it: messages may still wait.
        without = frozenset(
            edge.number for edge in over if edge.sender == node.id or self._book.is_lost(edge)
        )
        instructions.append(Admit(node.id, without))
        if node.joins > 1:
            instructions += [
                Tell(receiver, NodeRestarted(node.id))
                for receiver in sorted({edge.receiver for edge in own if edge not in over})
                if receiver != node.id and self._roster[receiver].linked
            ]
        if self.phase is Phase.RUNNING:
            node.life.handle(lifecycle.BarrierOpened())
            instructions.append(OpenBarrier((node.id,)))
        return instructions + self._open_barrier_if_complete()

    def _open_barrier_if_complete(self) -> list[Instruction]:
        if self.phase is not Phase.STARTING or self._roster.awaited():
            return []
        self.phase = Phase.RUNNING
        ready = [node for node in self._roster if node.state is NodeState.WAITING]
        for node in ready:
            node.life.handle(lifecycle.BarrierOpened())
        return [OpenBarrier(tuple(node.id for node in ready))] if ready else []

    # ---- leaving ----

    def _disconnected(self, node: NodeRecord, *, clean: bool) -> list[Instruction]:
        if not node.linked:
            return []
        node.linked = False
        if not node.dynamic:
            node.life.handle(lifecycle.NodeClosed())
            return self._book.close(self._book.written_by(node.id)) + self._book.lose(
                self._book.read_by(node.id), died=False
            )
        node.life.handle(lifecycle.NodeLeft())
        instructions: list[Instruction] = []
        if clean:
            instructions += self._book.close(self._book.written_by(node.id))
        # Its inputs stay as they are, so that it reads on when it comes back; only a sender that
        # waits for it would wait for ever.
        instructions += self._book.lose(
            (edge for edge in self._book.read_by(node.id) if edge.backpressure), died=not clean
        )
        how = "left" if clean else "is gone without a goodbye"
        level = "info" if clean else "warn"
        told = f"{node.kind} `{node.id}` (pid {node.pid}) {how}"
        instructions.append(Notice(level, told))
        return instructions + (self._finish_if_over() if node.by_hand else [])

    def _spawn_failed(self, node: NodeRecord, error: str) -> list[Instruction]:
        node.life.handle(lifecycle.ExitedForGood())
        if self.phase is Phase.ABORTING:
            return self._finish_if_over()
        self.failures.append(NodeFailure(node.id, f"could not be started: {error}"))
        return self._abort(node, f"node `{node.id}` could not be started: {error}")

    def _exited(self, node: NodeRecord, event: Exited) -> list[Instruction]:
        joined = node.joins > 0
        node.life.handle(lifecycle.ExitedForGood())
        node.linked = False
        ending = self.phase in (Phase.STOPPING, Phase.ABORTING)
        verdict = exit_verdict(event.returncode, stopping=ending, killed_by_dora=node.killed)
        absent = node.gating and not joined and not ending
        if absent and node.wired:
            verdict = Verdict.FAILURE  # others wait for what it will never send
        instructions: list[Instruction] = []
        if self.phase is Phase.ABORTING:
            verdict = Verdict.SUCCESS  # ended for another's sake: no failure of its own
        if verdict is not Verdict.SUCCESS:
            cause = exit_text(event.returncode)
            if verdict is Verdict.KILLED_BY_DORA:
                cause = KILLED_BY_DORA
            elif absent:
                cause += " without having called `Node()`"
            failure = NodeFailure(node.id, cause, event.pid, event.after_s, event.stderr)
            self.failures.append(failure)
            told = f"node `{node.id}` (pid {event.pid}) {cause} after {event.after_s:.1f} s"
            if self.phase is Phase.STARTING and node.gating:
                return self._abort(node, told)
            others = bool(self._roster.alive())
            rest = "; the other nodes go on" if others and not ending else ""
            instructions.append(Notice("error", told + rest))
            instructions += self._book.tell_consumers(node.id, failure)
        elif absent:
            instructions.append(
                Notice(
                    "warn",
                    f"node `{node.id}` (pid {event.pid}) exited with status 0 after "
                    f"{event.after_s:.1f} s and never joined the dataflow (no `Node()`)",
                )
            )
        instructions += self._book.close(self._book.sent_by(node.id))
        instructions += self._book.lose(self._book.read_by(node.id), died=True)
        return instructions + self._open_barrier_if_complete() + self._finish_if_over()

    # ---- ending ----

    def _abort(self, cause: NodeRecord, told: str) -> list[Instruction]:
        """The start failed: end all others at once, and let only the cause count."""
        self.phase = Phase.ABORTING
        alive = self._roster.alive()
        rest = f"; ending {listed(n.id for n in alive)}" if alive else ""
        instructions: list[Instruction] = [
            Notice("error", f"{told}, before the dataflow could start{rest}")
        ]
        for node in alive:
            node.life.handle(lifecycle.StopRequested())
            instructions.append(SignalNode(node.id, signal.SIGTERM))
        reason = f"the dataflow could not start, because node `{cause.id}` failed"
        instructions += [
            Tell(node.id, Refused(reason)) for node in self._roster if node.dynamic and node.linked
        ]
        instructions.append(StartTimer(TimerName.KILL, self._graces.hurry_s))
        return instructions + self._finish_if_over()

    def _stop(self, why: str) -> list[Instruction]:
        self._stops += 1
        if self.phase is Phase.ABORTING or self._stops > 2:
            return self._signal_all(signal.SIGKILL)
        if self.phase is Phase.STOPPING:
            return [
                Notice("info", f"{why} again: ending the nodes that are left"),
                *self._signal_all(signal.SIGTERM),
                StartTimer(TimerName.KILL, self._graces.hurry_s),
            ]
        instructions: list[Instruction] = []
        for node in self._roster:
            started = node.state is NodeState.RUNNING
            if not node.alive and not node.linked:
                continue
            if node.alive and node.state in (NodeState.SPAWNING, NodeState.WAITING):
                instructions.append(SignalNode(node.id, signal.SIGTERM))
            elif node.linked and (started or node.dynamic):
                instructions.append(Tell(node.id, Stop("MANUAL")))
            node.life.handle(lifecycle.StopRequested())
        self.phase = Phase.STOPPING
        instructions.append(StartTimer(TimerName.STOP_REMINDER, _FIRST_REMINDER_S))
        instructions.append(StartTimer(TimerName.TERM, self._graces.stop_s))
        return [Notice("info", f"stopping ({why})"), *instructions, *self._finish_if_over()]

    def _timer(self, timer: TimerName) -> list[Instruction]:
        if timer is TimerName.BARRIER:
            return self._remind()
        if timer is TimerName.STOP_REMINDER:
            if self.phase is not Phase.STOPPING or self._stops > 1:
                return []
            alive = listed(node.id for node in self._roster.alive())
            return [Notice("info", f"waiting for {alive} to end; another Ctrl-C ends them at once")]
        if timer is TimerName.TERM:
            if self.phase is not Phase.STOPPING or self._stops > 1:
                return []
            alive = listed(node.id for node in self._roster.alive())
            return [
                Notice("warn", f"{alive} did not end within {self._graces.stop_s:g} s: SIGTERM"),
                *self._signal_all(signal.SIGTERM),
                StartTimer(TimerName.KILL, self._graces.term_s),
            ]
        if timer is TimerName.KILL:
            return self._signal_all(signal.SIGKILL)
        assert_never(timer)

    def _signal_all(self, number: signal.Signals) -> list[Instruction]:
        alive = self._roster.alive()
        for node in alive:
            node.killed = node.killed or number == signal.SIGKILL
        return [SignalNode(node.id, number) for node in alive]

    def _remind(self) -> list[Instruction]:
        awaited = self._roster.awaited()
        if self.phase is not Phase.STARTING or not awaited:
            return []
        self._reminder_s = min(2 * self._reminder_s, _SLOWEST_REMINDER_S)
        return [
            Notice("info", f"waiting for {listed(awaited)} to call `Node()`"),
            StartTimer(TimerName.BARRIER, self._reminder_s),
        ]

    def _finish_if_over(self) -> list[Instruction]:
        ending = self.phase in (Phase.STOPPING, Phase.ABORTING)
        if self._roster.alive() or (not ending and self._roster.held_open()):
            return []
        instructions: list[Instruction] = []
        if not ending:
            instructions += [Tell(node.id, Stop("MANUAL")) for node in self._roster if node.linked]
        self.phase = Phase.ENDED
        return [*instructions, Finish()]

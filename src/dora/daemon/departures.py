"""Who goes: one node's end, asked for or not, and whether another process comes in its place. Pure.

While a node is to be started again its edges stay as they are: what waits for it waits, what it
sent is read, and nobody is told before it is back (NODE_RESTARTED) or gone for good (NODE_FAILED,
INPUT_CLOSED). A part of `daemon.supervisor`; rules of restarts are `wire.restarts`'.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from dora.daemon import lifecycle
from dora.daemon.events import (
    Answered,
    Exited,
    Instruction,
    NodeAsked,
    Notice,
    Retire,
    SignalNode,
    Spawn,
    StartTimer,
    Tell,
    TimerName,
)
from dora.daemon.flow import Phase
from dora.daemon.lifecycle import NodeState, Verdict, exit_verdict
from dora.daemon.report import (
    KILLED_AT_ONCE,
    KILLED_BY_DORA,
    NodeFailure,
    duration_text,
    exit_text,
)
from dora.daemon.roster import Goal
from dora.wire.messages import Stop

if TYPE_CHECKING:
    from dora.daemon.ending import Ending
    from dora.daemon.flow import Flow
    from dora.daemon.roster import NodeRecord

_GOALS = {"restart": Goal.RESTART, "stop": Goal.STOP, "remove": Goal.REMOVE}
_UNDONE = (NodeState.SPAWNING, NodeState.WAITING)


class Departures:
    """Decides about nodes that end."""

    def __init__(self, flow: Flow, ending: Ending) -> None:
        self._flow = flow
        self._roster = flow.roster
        self._book = flow.book
        self._ending = ending

    # ---- asked for ----

    def node_asked(self, event: NodeAsked) -> list[Instruction]:
        """One node is to end, and then to be started again, to stay so, or to be taken out."""
        node = self._roster.get(event.node)
        tickets = [] if event.ticket is None else [event.ticket]
        if node is None:
            return _answers(tickets, error=self._roster.absent(event.node))
        if (problem := self._against(node, event)) is not None:
            if event.ticket is None:  # nobody else would hear of it
                return [Notice("warn", f"node `{node.id}`: no {event.action}: {problem}")]
            return _answers(tickets, error=problem)
        node.tickets += tickets
        told: list[Instruction] = [Notice("info", f"node `{node.id}`: {event.why}")]
        return told + self.end(node, _GOALS[event.action], event.grace_s)

    def _against(self, node: NodeRecord, event: NodeAsked) -> str | None:
        """Why it cannot be done."""
        if self._flow.ending:
            return "the dataflow is ending"
        if node.goal is not Goal.NONE:
            return f"node `{node.id}` is being ended already ({node.goal.name.lower()})"
        if node.successor is not None:
            return f"node `{node.id}` is being replaced"
        if event.action == "restart" and node.dynamic:
            return f"{node.kind} `{node.id}` was not started by dora: start it again yourself"
        if event.action != "remove" and node.state is NodeState.FINISHED:
            return (
                f"node `{node.id}` has ended; `dora node remove {node.id}` and `dora node add` put "
                "another in its place"
            )
        if event.action == "stop" and node.state is NodeState.ABSENT:
            return f"dynamic node `{node.id}` is not there"
        return None

    def end(self, node: NodeRecord, goal: Goal, grace_s: float | None) -> list[Instruction]:
        """End the process of one node, if it has one, for this goal."""
        node.goal = goal
        state = node.state
        if state in (NodeState.FINISHED, NodeState.ABSENT):
            return self._reached(node)
        if state is NodeState.BACKOFF:
            if goal is Goal.RESTART:
                return self._start_again(node)
            node.life.handle(lifecycle.StopRequested())
            return self._over(node, died=True)
        instructions: list[Instruction] = []
        if node.linked and not (node.alive and state in _UNDONE):
            instructions.append(Tell(node.id, Stop("MANUAL", alone=True)))
        elif node.alive:
            instructions.append(SignalNode(node.id, signal.SIGTERM))
        node.life.handle(lifecycle.StopRequested())
        if node.alive:
            first_s = self._flow.graces.node_stop_s if grace_s is None else grace_s
            timers = ((TimerName.NODE_TERM, first_s), (TimerName.NODE_KILL, 1.5 * first_s))
            instructions += [StartTimer(t, s, node.id, node.incarnation) for t, s in timers]
        return instructions

    def kill(self, node: NodeRecord, why: str) -> list[Instruction]:
        """The node does what it must not: end it at once; what follows is its policy's."""
        if not node.alive or node.killed:
            return []
        node.killed, node.killed_why = True, why
        return [
            Notice("error", f"node `{node.id}` (pid {node.pid}) {why}: SIGKILL"),
            SignalNode(node.id, signal.SIGKILL),
        ]

    # ---- timers ----

    def expect(self, node: NodeRecord) -> list[Instruction]:
        """A process was started: see to it that it comes up in time."""
        limit_s = node.plan.startup_timeout_s
        if limit_s is None or not node.plan.spawned:
            return []
        return [StartTimer(TimerName.STARTUP, limit_s, node.id, node.incarnation)]

    def watch_those_that_nothing_feeds(self) -> list[Instruction]:
        """Give nodes whose inputs are all closed a time by which to end."""
        instructions: list[Instruction] = []
        for node in self._roster.alive():
            if not node.watched_to_finish and self._book.all_closed(node.id):
                node.watched_to_finish = True
                limit_s = node.plan.finish_grace_s
                timer = StartTimer(TimerName.FINISH, limit_s, node.id, node.incarnation)
                instructions.append(timer)
        return instructions

    def timer(self, node: NodeRecord, timer: TimerName) -> list[Instruction]:
        """A timer of this node's present process fired."""
        if timer is TimerName.STARTUP:
            if node.state is not NodeState.SPAWNING:
                return []
            why = f"has not called `Node()` within {node.plan.startup_timeout_s:g} s"
            return self.kill(node, f"{why} (`startup_timeout`)")
        if timer is TimerName.BACKOFF:
            return self._start_again(node) if node.state is NodeState.BACKOFF else []
        if timer is TimerName.FINISH:
            return self._end_straggler(node)
        if not node.alive or node.state is not NodeState.STOPPING or self._flow.ending:
            return []
        number = signal.SIGTERM if timer is TimerName.NODE_TERM else signal.SIGKILL
        node.killed = node.killed or number == signal.SIGKILL
        told = f"node `{node.id}` did not end in time: {number.name}"
        return [Notice("warn", told), SignalNode(node.id, number)]

    def _end_straggler(self, node: NodeRecord) -> list[Instruction]:
        node.watched_to_finish = False
        if self._flow.ending or node.goal is not Goal.NONE or not node.alive:
            return []
        if not self._book.all_closed(node.id):
            return []
        at_work = [one for one in self._roster.alive() if one.plan.timers or not one.plan.inputs]
        if at_work:  # something new may still come of them
            return self.watch_those_that_nothing_feeds()
        verb = "is not there again" if node.state is NodeState.BACKOFF else "did not end"
        told = (
            f"node `{node.id}` {verb} within {node.plan.finish_grace_s:g} s after all that "
            "feeds it was done (`finish_grace_secs`): stopping it"
        )
        return [Notice("warn", told), *self.end(node, Goal.STOP, None)]

    # ---- gone ----

    def disconnected(self, node: NodeRecord, *, clean: bool) -> list[Instruction]:
        """A node's control socket has ended, or is of no more use."""
        if not node.linked:
            return []
        node.linked = False
        if not node.dynamic:
            node.life.handle(lifecycle.NodeClosed())
            if (node.may_restart or self._is_watched(node)) and not self._flow.ending:
                return []  # its exit settles whether another follows
            return self._book.close(self._book.written_by(node.id)) + self._book.lose(
                self._book.read_by(node.id), died=False
            )
        node.life.handle(lifecycle.NodeLeft())
        # After a goodbye it may live on and look at values: what it holds is not freed, neither now
        # nor for the processes that come after it, until their senders are started again.
        node.readers_gone = node.readers_gone and not clean
        instructions: list[Instruction] = []
        if clean or node.goal is not Goal.NONE:
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
        return instructions + (self._reached(node) if node.goal is not Goal.NONE else [])

    def spawn_failed(self, node: NodeRecord, error: str) -> list[Instruction]:
        """There is no process."""
        told = f"node `{node.id}` could not be started: {error}"
        first = node.restart_count == 0 and self._flow.phase is Phase.STARTING
        node.life.handle(lifecycle.ExitedForGood())
        if self._flow.phase is Phase.ABORTING:
            return []
        node.failed = True
        failure = NodeFailure(node.id, f"could not be started: {error}")
        self._flow.failures.append(failure)
        if first:
            return self._ending.abort(node, told)
        consumers = self._book.tell_consumers(node.id, failure)
        return [Notice("error", told), *consumers, *self._over(node, died=True, error=told)]

    def exited(self, node: NodeRecord, event: Exited) -> list[Instruction]:
        """The process of a node ended."""
        flow = self._flow
        verdict = exit_verdict(
            event.returncode,
            stopping=flow.ending or node.goal is not Goal.NONE,
            killed_by_dora=node.killed and node.killed_why is None,
        )
        absent = node.gating and not node.joins and not flow.ending
        if absent and node.wired and node.goal is Goal.NONE:
            verdict = Verdict.FAILURE  # others wait for what it will never send
        if flow.phase is Phase.ABORTING:
            verdict = Verdict.SUCCESS  # ended for another's sake: no failure of its own
        cause = self._cause(node, event, verdict, absent=absent)
        told = f"node `{node.id}` (pid {event.pid}) {cause} after {event.after_s:.1f} s"
        in_s, why_not = self._restart_in(node, verdict, event)
        node.linked = node.killed = False
        node.killed_why = None
        failure = NodeFailure(node.id, cause, event.pid, event.after_s, event.stderr)
        if in_s is not None:
            return self._to_backoff(node, told, in_s, verdict)
        if verdict is Verdict.FAILURE and self._may_be_mended(node, event):
            return self._await_its_file(node, told + why_not, failure)
        if node.successor is not None and not flow.ending:
            node.goal = Goal.REPLACE
            node.life.handle(lifecycle.ExitedToRestart())
            node.incarnation = node.new_incarnation()
            return [Notice("warn", f"{told}; its successor, which is loading, is to take over")]
        node.life.handle(lifecycle.ExitedForGood())
        if node.goal in (Goal.STOP, Goal.REMOVE) and verdict is Verdict.KILLED_BY_DORA:
            verdict = Verdict.SUCCESS  # told already, and it is no failure of the dataflow
        instructions: list[Instruction] = []
        if verdict is not Verdict.SUCCESS:
            flow.failures.append(failure)
            node.failed = True
            if flow.phase is Phase.STARTING and node.gating and node.goal is Goal.NONE:
                return self._ending.abort(node, told)
            others = bool(self._roster.alive())
            rest = "; the other nodes go on" if others and not flow.ending else ""
            instructions.append(Notice("error", told + why_not + rest))
            instructions += self._book.tell_consumers(node.id, failure)
        elif absent:
            told = f"node `{node.id}` (pid {event.pid}) exited with status 0 after "
            told += f"{event.after_s:.1f} s and never joined the dataflow (no `Node()`)"
            instructions.append(Notice("warn", told))
        elif why_not:
            instructions.append(Notice("info", told + why_not))
        return instructions + self._over(node, died=True)

    def _cause(self, node: NodeRecord, event: Exited, verdict: Verdict, *, absent: bool) -> str:
        if node.killed_why is not None and event.returncode == -signal.SIGKILL:
            return f"was killed: it {node.killed_why}"
        if verdict is Verdict.KILLED_BY_DORA:
            return KILLED_AT_ONCE if self._flow.forced else KILLED_BY_DORA
        return exit_text(event.returncode) + (
            " without having called `Node()`" if absent and verdict is Verdict.FAILURE else ""
        )

    # ---- started again ----

    def _restart_in(
        self, node: NodeRecord, verdict: Verdict, event: Exited
    ) -> tuple[float | None, str]:
        """In how many seconds it is started again; None, and maybe why, when it is not."""
        if self._flow.ending or node.goal in (Goal.STOP, Goal.REMOVE):
            return None, ""
        if node.goal in (Goal.RESTART, Goal.REPLACE):
            return 0.0, ""
        policy = node.plan.restart.policy
        if policy == "never" or (policy == "on-failure" and verdict is Verdict.SUCCESS):
            return None, ""
        if node.plan.operator_sources and event.returncode >= 0:
            return None, ""  # its operators were started again as often as they may be
        if self._is_at_its_end(node, event):
            return None, "; not restarting it, because all of its inputs are closed"
        in_s = node.restarts.after_failure(event.at_s)
        if in_s is None:
            most = node.plan.restart.max_restarts
            return None, f"; max restarts ({most}) exceeded, giving up"
        return in_s, ""

    def _is_at_its_end(self, node: NodeRecord, event: Exited) -> bool:
        over = self._book.all_closed(node.id) and not self._book.was_detached(node.id)
        return over and not node.plan.timers and not event.unread

    def _is_watched(self, node: NodeRecord) -> bool:
        """Whether it is started again when a file of it is saved."""
        has_files = node.plan.source is not None or bool(node.plan.operator_sources)
        return self._flow.hot_reload and has_files

    def _may_be_mended(self, node: NodeRecord, event: Exited) -> bool:
        """Whether something is left to do for a process that comes when its file is saved."""
        if self._flow.ending or node.goal is not Goal.NONE or node.successor is not None:
            return False
        return self._is_watched(node) and not self._is_at_its_end(node, event)

    def _await_its_file(
        self, node: NodeRecord, told: str, failure: NodeFailure
    ) -> list[Instruction]:
        node.life.handle(lifecycle.ExitedToRestart())
        node.watched_to_finish = False
        node.incarnation = node.new_incarnation()
        node.failed = True
        self._flow.failures.append(failure)
        return [Notice("error", f"{told}; waits for its file to be saved")]

    def _to_backoff(
        self, node: NodeRecord, told: str, in_s: float, verdict: Verdict
    ) -> list[Instruction]:
        node.life.handle(lifecycle.ExitedToRestart())
        node.watched_to_finish = False
        if node.successor is not None and node.successor.pid is not None:
            return []  # it is there, and is let in now
        node.incarnation = node.new_incarnation()
        if node.goal in (Goal.RESTART, Goal.REPLACE):
            return self._start_again(node)
        rules = node.plan.restart
        of = f" of {rules.max_restarts}" if rules.max_restarts else ""
        when = f" in {duration_text(in_s)}" if in_s else ""
        level = "info" if verdict is Verdict.SUCCESS else "warn"
        notice = Notice(level, f"{told}; restart {node.restarts.count}{of}{when}")
        if not in_s:
            return [notice, *self._start_again(node)]
        return [notice, StartTimer(TimerName.BACKOFF, in_s, node.id, node.incarnation)]

    def _start_again(self, node: NodeRecord) -> list[Instruction]:
        goal, node.goal = node.goal, Goal.NONE
        node.life.handle(lifecycle.BackoffOver())
        node.restart_count += 1
        self._flow.forgive(node)
        spawn = Spawn(node.plan, node.incarnation)
        tickets, node.tickets = node.tickets, []
        told = f"node `{node.id}` was started again" if goal is Goal.RESTART else ""
        return [spawn, *self.expect(node), *_answers(tickets, told)]

    # ---- gone for good ----

    def _over(self, node: NodeRecord, *, died: bool, error: str | None = None) -> list[Instruction]:
        """Nothing more comes from this node, and nothing more is read by it."""
        node.linked = False
        instructions = self._book.close(self._book.sent_by(node.id))
        instructions += self._book.lose(self._book.read_by(node.id), died=died)
        return instructions + self._reached(node, error)

    def _reached(self, node: NodeRecord, error: str | None = None) -> list[Instruction]:
        """The node has come to its goal, or will never."""
        goal, node.goal = node.goal, Goal.NONE
        tickets, node.tickets = node.tickets, []
        if goal is Goal.REMOVE:
            over = self._book.close(self._book.sent_by(node.id))
            over += self._book.lose(self._book.read_by(node.id), died=True)
            self._book.take_away(self._book.touching(node.id))
            self._roster.remove(node.id)
            told = f"node `{node.id}` was removed"
            return [*over, Retire(node.id), *_answers(tickets, told, error)]
        return _answers(tickets, f"node `{node.id}` stopped", error)


def _answers(tickets: list[int], text: str = "", error: str | None = None) -> list[Instruction]:
    return [Answered(ticket, text, error) for ticket in tickets]

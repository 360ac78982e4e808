"""The end of a whole dataflow: asked for, its start failed, or all have ended. Pure.

The ladder is STOP, SIGTERM, SIGKILL. A part of `daemon.supervisor`.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from dora.daemon import lifecycle
from dora.daemon.events import (
    Finish,
    Instruction,
    Notice,
    SignalNode,
    StartTimer,
    StopAsked,
    Tell,
    TimerName,
)
from dora.daemon.flow import Phase
from dora.daemon.lifecycle import NodeState
from dora.daemon.report import listed
from dora.wire.messages import Refused, Stop

if TYPE_CHECKING:
    from dora.daemon.flow import Flow
    from dora.daemon.roster import NodeRecord
    from dora.daemon.saved import SavedFlow

_REMINDER_S = 2.0


class Ending:
    """Ends one dataflow."""

    def __init__(self, flow: Flow, saved: SavedFlow | None = None) -> None:
        self._flow = flow
        self._roster = flow.roster
        self.stops = 0 if saved is None else saved.stops
        """How often it was asked to end."""
        self.stop_s = flow.graces.stop_s if saved is None else saved.stop_s
        self.term_s = flow.graces.term_s if saved is None else saved.term_s

    def stop(self, event: StopAsked) -> list[Instruction]:
        """The dataflow is to end; asked again, it hurries."""
        flow = self._flow
        if event.time_is_up and flow.phase is Phase.STARTING:
            flow.never_joined = self._roster.awaited()
        if event.node is not None and flow.phase is not Phase.RUNNING:
            return []
        self.stops += 1
        if event.force:
            flow.forced = True
            told: list[Instruction] = [Notice("info", f"killing all nodes ({event.why})")]
            stopping = [] if flow.ending else self._begin()
            return told + stopping + self._signal_all(signal.SIGKILL)
        if flow.phase is Phase.ABORTING or self.stops > 2:
            return self._signal_all(signal.SIGKILL)
        if flow.phase is Phase.STOPPING:
            return [
                Notice("info", f"{event.why} again: ending the nodes that are left"),
                *self._signal_all(signal.SIGTERM),
                StartTimer(TimerName.KILL, flow.graces.hurry_s),
            ]
        if event.grace_s is not None:
            self.stop_s, self.term_s = event.grace_s, event.grace_s / 2
        return [
            Notice("info", f"stopping ({event.why})"),
            *self._begin(),
            StartTimer(TimerName.STOP_REMINDER, _REMINDER_S),
            StartTimer(TimerName.TERM, self.stop_s),
        ]

    def abort(self, cause: NodeRecord, told: str) -> list[Instruction]:
        """The start failed: end all others at once, and let only the cause count."""
        self._flow.phase = Phase.ABORTING
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
        instructions.append(StartTimer(TimerName.KILL, self._flow.graces.hurry_s))
        return instructions

    def timer(self, timer: TimerName) -> list[Instruction]:
        """A rung of the ladder."""
        waiting = self._flow.phase is Phase.STOPPING and self.stops == 1
        alive = listed(node.id for node in self._roster.alive())
        if timer is TimerName.KILL:
            return self._signal_all(signal.SIGKILL)
        if not waiting:
            return []
        if timer is TimerName.STOP_REMINDER:
            return [Notice("info", f"waiting for {alive} to end; another Ctrl-C ends them at once")]
        return [
            Notice("warn", f"{alive} did not end within {self.stop_s:g} s: SIGTERM"),
            *self._signal_all(signal.SIGTERM),
            StartTimer(TimerName.KILL, self.term_s),
        ]

    def finish_if_over(self) -> list[Instruction]:
        """Say that all is over, when it is."""
        flow = self._flow
        if self._roster.alive() or (not flow.ending and self._roster.held_open()):
            return []
        instructions: list[Instruction] = []
        if not flow.ending:
            instructions += [Tell(node.id, Stop("MANUAL")) for node in self._roster if node.linked]
        flow.phase = Phase.ENDED
        return [*instructions, Finish()]

    def _begin(self) -> list[Instruction]:
        """Tell every node to end, by message if it is connected, else by signal."""
        instructions: list[Instruction] = []
        for node in self._roster:
            state = node.state
            if not node.alive and not node.linked:
                continue
            if node.alive and state in (NodeState.SPAWNING, NodeState.WAITING):
                instructions.append(SignalNode(node.id, signal.SIGTERM))
            elif node.linked and (node.dynamic or state in (NodeState.RUNNING, NodeState.STOPPING)):
                instructions.append(Tell(node.id, Stop("MANUAL")))
            if node.successor is not None:
                sign = SignalNode(node.id, signal.SIGTERM, node.successor.incarnation)
                instructions.append(sign)
            node.life.handle(lifecycle.StopRequested())
        self._flow.phase = Phase.STOPPING
        return instructions

    def _signal_all(self, number: signal.Signals) -> list[Instruction]:
        alive = [node for node in self._roster.alive() if node.state is not NodeState.BACKOFF]
        for node in alive:
            node.killed = node.killed or number == signal.SIGKILL
        return [SignalNode(node.id, number) for node in alive]

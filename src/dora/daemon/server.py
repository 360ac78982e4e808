"""A dataflow at work: the event loop that turns what happens into events and carries out answers.

Everything here runs in callbacks of one asyncio loop, and only they touch the `Supervisor`. Events
are queued, so that an instruction which causes another event (a socket that breaks while it is
written) never enters the supervisor in the middle of a list. An exception in any callback of ours
ends the run: all nodes are killed, and it is raised.

Elsewhere: what to do (`daemon.supervisor`), doing it (`daemon.carrier`), processes (`daemon.crew`),
sockets (`daemon.reception`), visitors' questions (`daemon.desks` and its like), signals of the
terminal (`running.foreground`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from typing import TYPE_CHECKING

from dora.daemon.callbacks import Callbacks
from dora.daemon.carrier import Carrier
from dora.daemon.crew import Crew
from dora.daemon.desks import ChangeDesk, Tickets
from dora.daemon.door import Door
from dora.daemon.drops import DropWatch
from dora.daemon.events import (
    Admit,
    Event,
    Exited,
    Instruction,
    NodeAsked,
    Retire,
    Spawn,
    SpawnFailed,
    StartAllowed,
    StopAsked,
)
from dora.daemon.flow import Graces, Phase
from dora.daemon.guard import Guard
from dora.daemon.hot_reload import HotReload
from dora.daemon.observer import Observers
from dora.daemon.output import LogFolder
from dora.daemon.own_log import OwnLog
from dora.daemon.params import ParamDesk
from dora.daemon.reception import Reception
from dora.daemon.report import Outcome
from dora.daemon.saved import SavedDataflow, saved_listener
from dora.daemon.settings import Settings
from dora.daemon.stacks import Stacks
from dora.daemon.supervisor import Supervisor
from dora.daemon.taps import TapDesk
from dora.daemon.traces import TraceDesk
from dora.daemon.views import StateDesk
from dora.daemon.visitors import StackDesk, Visitors
from dora.daemon.watchers import Watchers
from dora.transport import endpoint
from dora.wire.board import STATE_WAITING
from dora.wire.extensions import Extensions
from dora.wire.messages import Reload
from dora.wire.visits import Dataflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.daemon.launch import Launched
    from dora.daemon.observer import Observer
    from dora.daemon.process import NodeProcess


_WATCHERS_HEAR_WITHIN_S = 5.0


class Server:
    """Serves one dataflow. Takes over what was launched; made inside a running loop.

    Args:
        launched: The dataflow, whose processes have been started.
        observer: Is shown its lines.
        graces: How long nodes may take to end.
        settings: All else.
        save_param: Keeps a parameter that was set, or (None) deleted, for later runs.
    """

    def __init__(
        self,
        launched: Launched,
        observer: Observer,
        graces: Graces | None = None,
        settings: Settings | None = None,
        save_param: Callable[[str, str, bytes | None], None] = lambda _node, _key, _value: None,
        saved: SavedDataflow | None = None,
    ) -> None:
        self._launched = launched
        self._plan = plan = launched.plan
        self._settings = settings = settings or Settings()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = loop = Callbacks(asyncio.get_running_loop(), self._crashed)
        self._events: deque[Event] = deque()
        self._busy = False
        self._saved = saved
        self._started_ns = time.time_ns() if saved is None else saved.started_ns
        self.log_dir = plan.working_dir / "out" / launched.dataflow_id
        self._visitors = Visitors(self.described)
        self._watchers = Watchers(self._visitors)
        self._own_log = OwnLog(self.log_dir)
        self._observer = Observers(observer, self._watchers, self._own_log)
        self._folder = LogFolder(self.log_dir, self._observer)
        before = None if saved is None else saved.flow
        hot = settings.hot_reload
        self._supervisor = Supervisor(plan, graces or settings.graces, before, hot_reload=hot)
        self._flow = flow = self._supervisor.flow
        flow.held = settings.held
        self._extensions = Extensions()
        self._stacks = Stacks(loop, self._has_started)
        self._tickets = Tickets()
        self._reload: HotReload | None = None
        try:
            self._carrier = Carrier(
                loop, launched, self._supervisor, self._observer, self._post, self._finish, saved
            )
        except BaseException:
            launched.end()
            raise
        wiring, notice = self._carrier.wiring, self._observer.notice
        self._drops = DropWatch(loop, flow.book, wiring, lambda: self._carrier.feed, notice)
        hz = settings.trace_hz
        self._traces = TraceDesk(self._visitors, loop, flow, self._carrier.send, hz)
        self._receive()
        self._open_desks(save_param)

    def _receive(self) -> None:
        """Be ready for processes, and for what they say."""
        carrier = self._carrier
        self._crew = Crew(
            self._loop,
            self._folder,
            self._observer,
            lambda: carrier.feed,
            lambda node, incarnation: self._reception.process_ended(node, incarnation),
            self._exited,
        )
        self._reception = Reception(
            self._loop,
            self._launched.dataflow_id,
            self._supervisor,
            carrier,
            self._crew,
            self._visitors,
            self._extensions,
            self._traces,
            self._observer,
            self._post,
        )

    def _open_desks(self, save_param: Callable[[str, str, bytes | None], None]) -> None:
        """Let visitors ask."""
        visitors, carrier, roster = self._visitors, self._carrier, self._flow.roster
        taps = TapDesk(visitors, self._tickets, carrier.wiring, self._post)
        known = self._settings.params
        params = ParamDesk(visitors, self._node_ids, carrier.send, save_param, known)
        StackDesk(visitors, self._stacks, self._node_ids)
        ChangeDesk(visitors, self._tickets, roster, carrier, self._post)
        StateDesk(
            visitors,
            self.described,
            self._plan.descriptor,
            self._flow,
            carrier.wiring,
            self._crew,
            lambda: carrier.feed,
        )
        carrier.connect(self._crew, self._stacks, self._tickets, taps, params, self._traces)

    async def run(self) -> Outcome:
        """Serve until the dataflow is over."""
        try:
            self._begin()
            await self._done
            outcome = self._outcome()
            self._watchers.ended(outcome)
            await self._watchers.all_told(_WATCHERS_HEAR_WITHIN_S)
            return outcome
        finally:
            self._end()

    def ask_stop(self, why: str, grace_s: float | None = None, force: bool = False) -> None:
        """Ask the dataflow to end; again, to hurry."""
        self._post(StopAsked(why, grace_s=grace_s, force=force))

    def allow_start(self) -> None:
        """Let the nodes start, once all have joined, in a dataflow that was held."""
        self._post(StartAllowed())

    def stop_after(self, seconds: float) -> None:
        """Ask the dataflow to end so long after it was launched."""
        left = self._launched.started_s + seconds - time.monotonic()
        event = StopAsked(f"after {seconds:g} s, as asked", time_is_up=True)
        self._loop.call_later(max(0.0, left), self._post, event)

    def described(self) -> Dataflow:
        """What visitors may know of the dataflow when they come."""
        return Dataflow(
            id=self._launched.dataflow_id,
            name=self._settings.name or self._plan.name,
            nodes=self._node_ids(),
            file=str(self._plan.file),
            log_dir=str(self.log_dir),
            started_ns=self._started_ns,
            checkout=endpoint.checkout(),
            background=self._settings.background,
            pid=os.getpid(),
        )

    def awaited(self) -> tuple[int, list[str]] | None:
        """While it starts: how many nodes there are, and which are awaited; None afterwards."""
        if self._flow.phase is not Phase.STARTING:
            return None
        return len(self._flow.roster), self._flow.roster.awaited()

    # ---- begin and end ----

    def _begin(self) -> None:
        launched = self._launched
        plans = {node.id: node for node in self._plan.nodes}
        for node in list(launched.processes):
            self._crew.take_on(plans[node], 0, launched.processes.pop(node))
        self._carrier.warn()
        self._guard = Guard(
            self._loop,
            self._flow.roster,
            self._carrier.wiring.boards,
            self._crew,
            self._stacks,
            self._plan.health_check_interval_s,
            self._post,
        )
        if self._settings.hot_reload:
            self._reload = HotReload(
                self._loop,
                [record.plan for record in self._flow.roster],
                restart=self._restart,
                reload=self._load,
                notice=self._observer.notice,
            )
        self._reception.door = Door(self._loop, launched.listener, self._reception, self._observer)
        if self._saved is not None:
            self._resume(self._saved)
        else:
            self._carrier.carry_out(self._supervisor.start())
        for node, error in launched.errors.items():
            self._post(SpawnFailed(node, 0, error))
        self._drops.look_again()

    def _resume(self, saved: SavedDataflow) -> None:
        """Take over what an earlier program of this process served."""
        self._saved = None
        for process in saved.processes:
            self._crew.resume(process)
        self._crew.spawned = saved.spawned
        self._carrier.resume(saved, self._reception)
        self._extensions.resume(saved.extensions)
        self._drops.resume(saved.told_drops)
        self._observer.notice("info", "the daemon was replaced; all nodes go on")

    def unready(self) -> str | None:
        """Why this cannot be handed over now; None if it can."""
        if self._flow.phase is Phase.ENDED:
            return "it is ending"
        if self._tickets.waiting or any(record.successor for record in self._flow.roster):
            return "a node of it is being exchanged"
        return None

    def send_visitors_away(self) -> None:
        """End the connections of visitors, who may come again to whoever takes over."""
        self._visitors.send_away()

    def saved(self) -> SavedDataflow:
        """All of this as a value, for the program that takes over."""
        carrier, launched = self._carrier, self._launched
        return SavedDataflow(
            dataflow_id=launched.dataflow_id,
            plan=self._plan,
            name=self._settings.name,
            hot_reload=self._settings.hot_reload,
            started_s=launched.started_s,
            started_ns=self._started_ns,
            epoch_ns=carrier.epoch_ns,
            base_env=launched.starter.base,
            listener=saved_listener(launched.listener),
            flow=self._supervisor.saved(),
            wiring=carrier.wiring.saved(),
            processes=self._crew.saved(),
            links=carrier.saved_links(),
            timers=carrier.timers(),
            told_drops=self._drops.told,
            extensions=self._extensions.saved(),
            spawned=self._crew.spawned,
            feed=carrier.fed(),
        )

    def _end(self) -> None:
        """Leave nothing behind, however it ended."""
        self._tickets.close()
        for link in self._visitors.links:
            link.close_when_sent()
            link.close()
        if self._reception.door is not None:
            self._reception.door.close()
        if self._reload is not None:
            self._reload.close()
        self._launched.end()
        self._crew.close()
        self._stacks.close()
        self._carrier.close()
        self._folder.close()
        self._own_log.close()
        self._loop.close()

    def _outcome(self) -> Outcome:
        self._drops.tell()
        return Outcome(
            dataflow_id=self._launched.dataflow_id,
            nodes=self._crew.spawned,
            duration_s=time.monotonic() - self._launched.started_s,
            failures=tuple(self._supervisor.failures),
            never_joined=tuple(self._supervisor.never_joined),
            messages=self._carrier.wiring.boards.messages() + self._drops.log_messages(),
            dropped=self._drops.totals(),
        )

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    def _crashed(self, error: BaseException) -> None:
        if not self._done.done():
            self._done.set_exception(error)

    # ---- what happens ----

    def _post(self, event: Event) -> None:
        self._events.append(event)
        if self._busy or self._done.done():
            return
        self._busy = True
        try:
            while self._events:
                instructions = self._supervisor.handle(self._events.popleft())
                self._carrier.carry_out(instructions)
                self._watch_nodes(instructions)
        finally:
            self._busy = False

    def _watch_nodes(self, instructions: list[Instruction]) -> None:
        """Look after nodes that came, or go by another plan now."""
        for one in instructions:
            if isinstance(one, Retire) and self._reload is not None:
                self._reload.remove(one.node)
            if isinstance(one, Spawn | Admit):
                self._guard.look_again()
                node = self._flow.roster.get(one.node if isinstance(one, Admit) else one.plan.id)
                if self._reload is not None and node is not None:
                    self._reload.add(node.plan)

    def _exited(self, node: str, incarnation: int, process: NodeProcess, after_s: float) -> None:
        if self._flow.roster.get(node) is None:
            return
        if self._flow.roster[node].incarnation == incarnation:
            self._stacks.forget(node)
        unread = sum(self._carrier.wiring.waiting(e.number) for e in self._flow.book.read_by(node))
        self._post(
            Exited(
                node,
                incarnation,
                process.pid,
                process.returncode,
                after_s,
                self._crew.stderr(node, incarnation),
                time.monotonic(),
                unread,
            )
        )

    def _has_started(self, node: str) -> bool:
        board = self._carrier.wiring.boards.of(node)
        return board is not None and board.reader.state != STATE_WAITING

    def _node_ids(self) -> list[str]:
        return [record.id for record in self._flow.roster]

    def _restart(self, node: str, why: str) -> None:
        self._post(NodeAsked("restart", node, why))

    def _load(self, node: str, operator: str, why: str) -> None:
        if self._flow.roster[node].failed:
            self._restart(node, why)  # there is no process that could load it
        else:
            self._carrier.send(node, Reload(operator))

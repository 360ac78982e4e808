"""A dataflow at work: the event loop that turns what happens into events and carries out answers.

Everything here runs in callbacks of one asyncio loop, and only they touch the `Supervisor`. Events
are queued, so that an instruction which causes another event (a socket that breaks while it is
written) never enters the supervisor in the middle of a list. An exception in any callback ends the
run: all nodes are killed, and it is raised.

Elsewhere: what to do (`daemon.supervisor`), how processes start (`daemon.launch`), pipes and memory
(`daemon.wiring`), lines (`daemon.output`), signals of the terminal (`running.foreground`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from dora.daemon import limits
from dora.daemon.door import Door
from dora.daemon.drops import DropWatch
from dora.daemon.edge_closer import EdgeCloser
from dora.daemon.events import (
    Admit,
    CloseEdges,
    Connected,
    Disconnected,
    Event,
    Exited,
    Finish,
    Instruction,
    LoseEdges,
    Notice,
    OpenBarrier,
    OutputsClosed,
    SignalNode,
    SpawnFailed,
    StartTimer,
    StopAsked,
    Tell,
    TimerFired,
)
from dora.daemon.launch import Launched, launch
from dora.daemon.output import LogFolder, NodeOutput
from dora.daemon.report import Outcome
from dora.daemon.stacks import Stacks
from dora.daemon.supervisor import Graces, Supervisor
from dora.daemon.visitors import StackDesk, Visitors
from dora.daemon.wiring import Wiring
from dora.errors import ProtocolError
from dora.wire.board import STATE_WAITING
from dora.wire.extensions import Extensions
from dora.wire.messages import (
    PROTOCOL,
    CloseOutputs,
    ExtensionAsk,
    Goodbye,
    NodeRestarted,
    Refused,
    Register,
    Start,
    StopDataflow,
    decode_from_node,
)
from dora.wire.visits import Dataflow, is_greeting

if TYPE_CHECKING:
    from dora.daemon.link import Link
    from dora.daemon.logfeed import LogFeed
    from dora.daemon.observer import Observer
    from dora.descriptor.plan import Plan

_EXIT_FOLLOWS_WITHIN_S = 1.0
"""A socket that ends without a goodbye mostly tells of an exit, whose own event says more."""


async def run_dataflow(plan: Plan, observer: Observer, graces: Graces | None = None) -> Outcome:
    """Run a whole dataflow, from spawning to the last exit.

    Raises:
        DescriptorLimitError: the dataflow needs more descriptors than are allowed.
    """
    return await Server(launch(plan), observer, graces or Graces()).run()


class Server:
    """Serves one dataflow. Takes over what was launched; made inside a running loop."""

    def __init__(self, launched: Launched, observer: Observer, graces: Graces) -> None:
        self._launched = launched
        self._plan = launched.plan
        self._edges = launched.edges
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._supervisor = Supervisor(self._plan, graces)
        self._events: deque[Event] = deque()
        self._busy = False
        self._links: dict[str, Link] = {}
        self._extensions = Extensions()
        self._stacks = Stacks(self._loop, self._has_started)
        self._visitors = Visitors(self._described)
        StackDesk(self._visitors, self._stacks, lambda: list(self._plans))
        self._door: Door | None = None
        self._outputs: dict[str, NodeOutput] = {}
        self._plans = {node.id: node for node in self._plan.nodes}
        self._feed: LogFeed | None = None
        self._wiring: Wiring | None = None
        self._epoch_ns = 0
        self._closer: EdgeCloser | None = None
        folder = self._plan.working_dir / "out" / launched.dataflow_id
        self._folder = LogFolder(folder, observer)

    async def run(self) -> Outcome:
        """Serve until the dataflow is over."""
        self._loop.set_exception_handler(self._crashed)
        try:
            self._begin()
            await self._done
            return self._outcome()
        finally:
            self._end()

    def ask_stop(self, why: str) -> None:
        """Ask the dataflow to end; again, to hurry."""
        self._post(StopAsked(why))

    def stop_after(self, seconds: float) -> None:
        """Ask the dataflow to end so long after it was launched."""
        left = self._launched.started_s + seconds - time.monotonic()
        event = StopAsked(f"after {seconds:g} s, as asked", time_is_up=True)
        self._loop.call_later(max(0.0, left), self._post, event)

    # ---- begin and end ----

    def _begin(self) -> None:
        launched, observer = self._launched, self._observer
        for node, process in launched.processes.items():
            plan = self._plans[node]
            self._outputs[node] = NodeOutput(
                self._loop, plan, process, self._folder, observer, lambda: self._feed
            )
            self._loop.add_reader(process.pidfd, self._exited, node)
        wiring = self._wiring = Wiring(self._plan, self._edges, launched.dataflow_id)
        self._closer = EdgeCloser(self._loop, wiring, lambda: self._feed)
        for warning in (*launched.warnings, *wiring.warnings):
            observer.notice("warn", warning)
        fed = [(e, wiring.pipes(e.number)) for e in self._edges if e.feed != "node"]
        if fed:
            from dora.daemon.logfeed import LogFeed

            self._feed = LogFeed(*wiring.log_memory(), fed, launched.dataflow_id)
        self._drops = DropWatch(self._edges, wiring, lambda: self._feed)
        self._door = Door(self._loop, launched.listener, self, observer)
        self._carry_out(self._supervisor.start())
        for node, error in launched.errors.items():
            self._post(SpawnFailed(node, error))
        if self._edges:
            self._loop.call_later(1.0, self._watch_drops)

    def _end(self) -> None:
        """Leave nothing behind, however it ended."""
        for link in (*self._links.values(), *self._visitors.links):
            link.close_when_sent()
            link.close()
        if self._door is not None:
            self._door.close()
        else:
            self._launched.listener.close()
        for node, process in self._launched.processes.items():
            if process.pidfd >= 0:
                self._loop.remove_reader(process.pidfd)
                process.signal_group(signal.SIGKILL)
                process.reap()
            if node in self._outputs:
                self._outputs[node].drain()
        self._stacks.close()
        if self._closer is not None:
            self._closer.close()
        if self._feed is not None:
            self._feed.close()
            self._feed = None
        if self._wiring is not None:
            self._wiring.close()
        self._folder.close()

    def _outcome(self) -> Outcome:
        assert self._wiring is not None
        self._tell_drops()
        boards = [board for boards in self._wiring.boards.values() for board in boards]
        return Outcome(
            dataflow_id=self._launched.dataflow_id,
            nodes=len(self._launched.processes),
            duration_s=time.monotonic() - self._launched.started_s,
            failures=tuple(self._supervisor.failures),
            never_joined=tuple(self._supervisor.never_joined),
            messages=sum(board.messages() for board in boards) + self._drops.log_messages(),
            dropped=self._drops.totals(),
        )

    def _crashed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError(context["message"])
        if not self._done.done():
            self._done.set_exception(error)

    # ---- what happens ----

    def _post(self, event: Event) -> None:
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                self._carry_out(self._supervisor.handle(self._events.popleft()))
        finally:
            self._busy = False

    def _exited(self, node: str) -> None:
        process = self._launched.processes[node]
        self._loop.remove_reader(process.pidfd)
        link = self._links.pop(node, None)
        if link is not None:
            link.drain()  # its last words were sent before it ended
            link.close()
        returncode, after_s = process.reap(), time.monotonic() - process.started_s
        self._stacks.forget(node)
        self._extensions.forget(node)
        output = self._outputs[node]
        output.drain()
        self._post(Exited(node, 0, process.pid, returncode, after_s, output.stderr.lines()))

    def on_frame(self, link: Link, body: bytes) -> None:
        """A node, or a client that may become one, said something."""
        try:
            if link.visitor or is_greeting(body):
                assert self._door is not None
                self._door.forget(link)
                link.visitor = True
                self._visitors.hear(link, body)
                return
            message = decode_from_node(body)
        except ProtocolError as exc:
            link.close()
            self.on_end(link, str(exc))
            return
        if link.node is None:
            if isinstance(message, Register):
                self._register(link, message)
            else:
                link.close()
                self.on_end(link, "it did not register first")
        elif isinstance(message, CloseOutputs):
            self._post(OutputsClosed(link.node, link.incarnation, tuple(message.outputs)))
        elif isinstance(message, ExtensionAsk):
            link.send(self._extensions.answer(link.node, message))
        elif isinstance(message, StopDataflow):
            self._post(StopAsked(message.why, node=link.node))
        elif isinstance(message, Goodbye):
            link.goodbye = True
            self._extensions.forget(link.node)
            self._post(Disconnected(link.node, link.incarnation, clean=True))

    def on_end(self, link: Link, problem: str | None) -> None:
        """A connection is over."""
        if self._door is not None:
            self._door.forget(link)
        if problem is not None:
            who = f"node `{link.node}`" if link.node else "a client"
            self._observer.notice("warn", f"{who} was disconnected: {problem}")
        if link.visitor:
            self._visitors.left(link)
        if (node := link.node) is None:
            return
        if self._links.get(node) is link:
            del self._links[node]
            self._extensions.forget(node)
        if link.goodbye:
            return
        event = Disconnected(node, link.incarnation, clean=False)
        if node in self._launched.processes:
            self._loop.call_later(_EXIT_FOLLOWS_WITHIN_S, self._post, event)
        else:
            self._post(event)

    def on_written(self, link: Link) -> None:
        """Let a node that only sends look at its socket."""
        if link.node is not None and self._wiring is not None:
            boards = self._wiring.boards[link.node]
            if boards:
                boards[-1].raise_control()

    def _register(self, link: Link, message: Register) -> None:
        assert self._door is not None
        self._door.forget(link)
        reason = self._refusal(message)
        if reason is not None:
            link.send(Refused(reason))
            link.close_when_sent()
            return
        link.node, link.pid = message.node, message.pid
        link.incarnation = self._supervisor.next_incarnation(message.node)
        self._links[message.node] = link
        self._post(Connected(message.node, link.incarnation, message.pid))

    def _described(self) -> Dataflow:
        """What visitors may know of the dataflow."""
        return Dataflow(self._launched.dataflow_id, self._plan.name, list(self._plans))

    def _has_started(self, node: str) -> bool:
        assert self._wiring is not None
        boards = self._wiring.boards[node]
        return bool(boards) and boards[-1].reader.state != STATE_WAITING

    def _refusal(self, message: Register) -> str | None:
        if message.protocol != PROTOCOL:
            return (
                f"node `{message.node}` (dora {message.version}) speaks control protocol "
                f"{message.protocol}, the daemon speaks {PROTOCOL}; install one version for both"
            )
        here = self._launched.dataflow_id
        if message.dataflow not in (None, here):
            return f"this is dataflow {here}, not {message.dataflow}"
        reason = self._supervisor.refusal(message.node, message.incarnation)
        if reason is not None:
            return reason
        needed = limits.nodes_need(self._edges).get(message.node)
        if needed is not None:
            try:
                limits.provide_for_node(message.pid, needed)
            except (OSError, ValueError) as exc:
                return (
                    f"node `{message.node}` needs {needed} file descriptors and its limit "
                    f"(`ulimit -n`) cannot be raised: {exc}"
                )
        return None

    # ---- what to do ----

    def _carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, Tell):
                self._tell(instruction)
            elif isinstance(instruction, CloseEdges):
                assert self._closer is not None
                for number in instruction.edges:
                    self._closer.close_edge(number)
            elif isinstance(instruction, LoseEdges):
                assert self._closer is not None
                for number in instruction.edges:
                    self._closer.lose_edge(number)
            elif isinstance(instruction, Admit):
                self._admit(instruction)
            elif isinstance(instruction, OpenBarrier):
                self._epoch_ns = self._epoch_ns or time.monotonic_ns()
                for node in instruction.nodes:
                    self._send(node, Start(self._epoch_ns))
            elif isinstance(instruction, SignalNode):
                process = self._launched.processes.get(instruction.node)
                if process is not None:
                    process.signal_group(instruction.signal)
            elif isinstance(instruction, StartTimer):
                event = TimerFired(instruction.timer)
                self._loop.call_later(instruction.after_s, self._post, event)
            elif isinstance(instruction, Notice):
                self._observer.notice(instruction.level, instruction.text)
            elif isinstance(instruction, Finish) and not self._done.done():
                self._done.set_result(None)

    def _send(self, node: str, message: Any, fds: list[int] | None = None) -> None:
        link = self._links.get(node)
        if link is not None:
            link.send(message, fds or ())

    def _tell(self, tell: Tell) -> None:
        if isinstance(tell.message, NodeRestarted):
            assert self._wiring is not None
            self._send(tell.node, *self._wiring.new_arena(tell.message.source))
        self._send(tell.node, tell.message)
        if isinstance(tell.message, Refused) and tell.node in self._links:
            self._links[tell.node].close_when_sent()

    def _admit(self, admit: Admit) -> None:
        assert self._wiring is not None
        link = self._links.get(admit.node)
        if link is None:  # it is gone again; its end is an event behind this one
            return
        node = self._plans[admit.node]
        stack_fd = self._stacks.open(node.id, link.pid)
        message, fds = self._wiring.welcome(node, link.incarnation, admit.without, stack_fd)
        link.send(message, fds)
        os.close(stack_fd)
        self._wiring.welcomed(node)

    def _tell_drops(self) -> None:
        for text in self._drops.news():
            self._observer.notice("warn", text)

    def _watch_drops(self) -> None:
        self._tell_drops()
        if self._drops.watching:
            self._loop.call_later(1.0, self._watch_drops)

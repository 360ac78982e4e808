"""The background daemon: many dataflows on one event loop, and the socket where clients come.

Each dataflow is a server of its own (`daemon.server`) in a task of its own; whatever one of them
raises ends that one. A signal, or a client, ends the daemon: it stops its dataflows first.
Nodes die with it, however it dies (`daemon.process`).

Elsewhere: the questions (`wire.background`), names (`background.runs`), what is kept
(`background.store`), how it is started (`background.spawn`), one dataflow's own socket
(`daemon.visitors`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from dora.background.handover import (
    SavedDaemon,
    SavedRun,
    become,
    check,
    saved_daemon,
)
from dora.background.journal import Journal, Told
from dora.background.runs import Runs
from dora.background.store import Store
from dora.daemon.door import Door
from dora.daemon.launch import Launched, Starter, launch
from dora.daemon.link import Link
from dora.daemon.report import failure_text, summary_text
from dora.daemon.saved import SavedDataflow, saved_listener
from dora.daemon.server import Server
from dora.daemon.settings import Settings
from dora.descriptor.packing import unpack_plan
from dora.errors import DoraError, ProtocolError
from dora.transport import endpoint
from dora.version import VERSION
from dora.wire import background as wire
from dora.wire.messages import PROTOCOL, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_DIED = "the daemon died, and its nodes with it"


class _Flow(msgspec.Struct):
    """A dataflow that runs."""

    run: wire.Run
    server: Server
    packed: wire.PackedPlan
    task: asyncio.Task[None] | None = None


class Daemon:
    """Takes over `listener`; made inside a running loop.

    Args:
        listener: Where clients come.
        store: Keeps what outlives this.
        journal: Is told what nobody else is.
    """

    def __init__(
        self,
        listener: endpoint.Listener,
        store: Store,
        journal: Journal,
        saved: SavedDaemon | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._journal = journal
        self._runs = Runs(store.runs())
        self._flows: dict[str, _Flow] = {}
        self._started_ns = time.time_ns() if saved is None else saved.started_ns
        for run in saved.runs if saved is not None else ():
            self._resume(run)
        for over in self._runs.running():
            if over.id not in self._flows:
                store.end(self._runs.end(over.id, time.time_ns(), _DIED))
        self._project = endpoint.checkout()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._ending = ""
        """Why, once it is."""
        self._greeted: set[Link] = set()
        self._listener = listener
        self._door: Door | None = None
        self._answers: dict[type, Callable[[Link, Any], None]] = {
            wire.StartDataflow: self._start,
            wire.AskRuns: lambda link, _: link.send(wire.Runs(self._runs.all())),
            wire.AskPlan: self._plan,
            wire.Forget: self._forget,
            wire.Shutdown: self._shutdown,
            wire.HandOver: self._hand_over,
        }
        for client in saved.clients if saved is not None else ():
            self._greeted.add(Link.resumed(self._loop, self, client))

    async def serve(self, when_ready: Callable[[], None]) -> None:
        """Serve until it is told to end and no dataflow runs any more."""
        self._loop.set_exception_handler(self._raised)
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self.end, signal.Signals(number).name)
        self._door = Door(self._loop, self._listener, self, Told(self._journal, "daemon"))
        self._journal.say("info", f"dora {VERSION}, pid {os.getpid()}, for `{self._project}`")
        when_ready()
        try:
            await self._over
        finally:
            # Links of clients that wait for the end stay open: the end of the process closes them.
            self._door.close()
            self._journal.say("info", f"ended: {self._ending}")

    def end(self, why: str) -> None:
        """Stop all dataflows, then end; again, to hurry them."""
        self._ending = self._ending or why
        for flow in self._flows.values():
            flow.server.ask_stop(f"the daemon ends ({why})")
        self._end_if_idle()

    def _raised(self, _loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        """A callback of the daemon itself failed: the others go on."""
        error = told.get("exception") or RuntimeError(told["message"])
        self._journal.blame("in a callback:", error)

    def _end_if_idle(self) -> None:
        if self._ending and not self._flows and not self._over.done():
            self._over.set_result(None)

    # ---- connections ----

    def on_frame(self, link: Link, body: bytes) -> None:
        """A client said something."""
        try:
            message = wire.decode_question(body)
        except ProtocolError as exc:
            link.close()
            self.on_end(link, str(exc))
            return
        if isinstance(message, wire.GreetDaemon):
            self._try(self._greet, link, message)
        elif link in self._greeted:
            self._try(self._answers[type(message)], link, message)
        else:
            link.send(Refused("greet first"))

    def on_end(self, link: Link, problem: str | None) -> None:
        """A client is gone."""
        if self._door is not None:
            self._door.forget(link)
        self._greeted.discard(link)
        if problem is not None:
            self._journal.say("warn", f"a client was disconnected: {problem}")

    def on_written(self, link: Link) -> None:
        """Clients look at their sockets by themselves."""

    def _try(self, answer: Callable[[Link, Any], None], link: Link, message: Any) -> None:
        """Answer a client; what goes wrong is told to it and ends nobody's dataflows."""
        try:
            answer(link, message)
        except DoraError as exc:
            link.send(Refused(str(exc)))
        except Exception as exc:
            self._journal.blame(f"while it answered {type(message).__name__}:", exc)
            link.send(Refused(f"the daemon failed at this ({exc}); its log has the traceback"))

    def _greet(self, link: Link, message: wire.GreetDaemon) -> None:
        if message.protocol != PROTOCOL:
            told = f"a client of dora {message.version} speaks protocol {message.protocol}: refused"
            self._journal.say("warn", told)
            raise DoraError(
                f"dora {message.version} speaks control protocol {message.protocol}, the "
                f"background daemon (dora {VERSION}) {PROTOCOL}; end that one "
                f"(`kill {os.getpid()}` stops its dataflows first), then `dora up`"
            )
        if self._ending:
            raise DoraError(f"the background daemon (pid {os.getpid()}) is ending; try again soon")
        assert self._door is not None
        self._door.forget(link)
        self._greeted.add(link)
        link.send(
            wire.Daemon(
                pid=os.getpid(),
                version=VERSION,
                protocol=PROTOCOL,
                started_ns=self._started_ns,
                python=sys.executable,
                checkout=self._project,
                state_file=str(self._store.path),
                running=len(self._flows),
            )
        )

    # ---- questions ----

    def _start(self, link: Link, question: wire.StartDataflow) -> None:
        before = self._flows.get(question.after or "")
        if before is not None and before.task is not None:
            # Its clients may hear of its end before this daemon has put it away.
            self._greeted.discard(link)  # no other program would answer it
            before.task.add_done_callback(lambda _: self._start_later(link, question))
        else:
            self._start_now(link, question)

    def _start_later(self, link: Link, question: wire.StartDataflow) -> None:
        if not link.closed:
            self._greeted.add(link)
        self._try(self._start_now, link, question)

    def _start_now(self, link: Link, question: wire.StartDataflow) -> None:
        if self._ending:
            raise DoraError("the background daemon is ending")
        plan = unpack_plan(question.plan)
        name = self._runs.free_name(question.name, plan.name)
        plan = msgspec.structs.replace(plan, name=name)
        try:
            launched = launch(plan)
        except OSError as exc:
            raise DoraError(_not_started(exc)) from exc
        run = wire.Run(
            id=launched.dataflow_id,
            name=name,
            file=str(plan.file or ""),
            log_dir=str(plan.working_dir / "out" / launched.dataflow_id),
            nodes=len(plan.nodes),
            status="running",
            started_ns=time.time_ns(),
        )
        packed = wire.PackedPlan(question.plan, name, question.hot_reload)
        self._store.forget(self._runs.begin(run))
        self._store.begin(run, question.plan, hot_reload=question.hot_reload)
        if question.after is not None:
            self._store.take_over_params(question.after, run.id)
        try:
            self._serve(launched, run, packed)
        except OSError as exc:
            self._put_away(run, _not_started(exc))
            raise DoraError(_not_started(exc)) from exc
        self._journal.say("info", f"[{name}] started {run.id}, `{run.file}`")
        link.send(wire.Started(run.id, name))

    def _serve(
        self,
        launched: Launched,
        run: wire.Run,
        packed: wire.PackedPlan,
        saved: SavedDataflow | None = None,
    ) -> None:
        server = Server(
            launched,
            Told(self._journal, run.name),
            settings=Settings(run.name, True, packed.hot_reload, self._store.params(run.id)),
            save_param=partial(self._save_param, run.id),
            saved=saved,
        )
        flow = self._flows[run.id] = _Flow(run, server, packed)
        flow.task = self._loop.create_task(self._host(flow))

    def _resume(self, saved: SavedRun) -> None:
        """Serve a dataflow that an earlier program of this process served."""
        flow = saved.dataflow
        listener = flow.listener
        launched = Launched(
            flow.dataflow_id,
            flow.plan,
            endpoint.Listener.resumed(listener.address, listener.fds, listener.inode),
            Starter(flow.dataflow_id, listener.address, flow.base_env),
            flow.started_s,
        )
        if saved.run not in self._runs.running():  # it could not be kept
            self._runs.begin(saved.run)
            self._store.begin(saved.run, saved.packed.plan, hot_reload=saved.packed.hot_reload)
        self._serve(launched, saved.run, saved.packed, flow)
        self._journal.say("info", f"[{saved.run.name}] taken over, {saved.run.id}")

    def _save_param(self, dataflow: str, node: str, key: str, value: bytes | None) -> None:
        if value is None:
            self._store.delete_param(dataflow, node, key)
        else:
            self._store.set_param(dataflow, node, key, value)

    async def _host(self, flow: _Flow) -> None:
        """Run one dataflow to its end, and put it away."""
        name, summary, failure = flow.run.name, "", ""
        try:
            outcome = await flow.server.run()
        except Exception as exc:
            self._journal.blame(f"[{name}] the daemon failed at this dataflow:", exc)
            failure = f"the daemon failed at it ({type(exc).__name__}: {exc}); see its log"
        else:
            summary = summary_text(outcome)
            failure = "" if outcome.ok else failure_text(outcome)
        del self._flows[flow.run.id]
        self._put_away(flow.run, failure, summary)
        self._end_if_idle()

    def _put_away(self, run: wire.Run, failure: str, summary: str = "") -> None:
        """Keep how a dataflow ended."""
        run = self._runs.end(run.id, time.time_ns(), failure, summary)
        self._store.end(run)
        self._journal.say("info", f"[{run.name}] {run.status} {run.id}: {summary or failure}")

    def _plan(self, link: Link, question: wire.AskPlan) -> None:
        flow = self._flows.get(question.id)
        packed = flow.packed if flow is not None else self._store.plan_of(question.id)
        if packed is None:
            raise DoraError(f"the background daemon knows no dataflow {question.id}")
        link.send(packed)

    def _forget(self, link: Link, _question: wire.Forget) -> None:
        over = self._runs.forget()
        self._store.forget(over)
        link.send(wire.Runs(over))

    def _shutdown(self, link: Link, question: wire.Shutdown) -> None:
        del link
        if self._flows and not question.force:
            listed = "".join(f"\n  {run.id}  {run.name}" for run in self._runs.running())
            raise DoraError(
                f"{len(self._flows)} dataflow(s) still running:{listed}\n"
                "stop them first (`dora stop --all`), or `dora down --force` does"
            )
        self.end("dora down")

    def _hand_over(self, link: Link, question: wire.HandOver) -> None:
        for flow in self._flows.values():
            if (told := flow.server.unready()) is not None:
                raise DoraError(f"dataflow `{flow.run.name}`: {told}; try again in a moment")
        if self._ending:
            raise DoraError("the background daemon is ending")
        check(question.argv, question.env, self._saved())
        self._greeted.discard(link)
        for flow in self._flows.values():
            flow.server.send_visitors_away()
        self._journal.say("info", f"becoming `{' '.join(question.argv)}`")
        try:
            become(question.argv, question.env, self._saved(), self._store.close)
        except OSError as exc:
            self._greeted.add(link)
            self._store = Store(self._store.path, lambda text: self._journal.say("warn", text))
            raise DoraError(f"`{question.argv[0]}`: {exc.strerror}; the old one goes on") from exc

    def _saved(self) -> SavedDaemon:
        """All that the next program must know."""
        runs = [SavedRun(f.run, f.packed, f.server.saved()) for f in self._flows.values()]
        clients = [link.saved(-1) for link in self._greeted if not link.closed]
        return saved_daemon(self._started_ns, saved_listener(self._listener), runs, clients)


def _not_started(error: OSError) -> str:
    return (
        f"the dataflow cannot be started: {error.strerror or error}; the daemon's limits are those "
        "of the shell that it was started in (`ulimit -a`)"
    )

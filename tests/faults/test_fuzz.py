"""Whatever a client of this user says: the daemon goes on, and serves the next one.

In this process: real daemons and real links, of which only the sockets are made up. What goes
through real sockets is in `test_hostile`.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fault_rig import LONG, resident_bytes
from hostile import Attacks, of_clients, of_nodes, of_visitors, register, two_nodes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import dora.background.daemon as background_daemon
from dora.background.daemon import Daemon
from dora.background.store import Store
from dora.daemon.flow import Phase
from dora.daemon.launch import Launched, launch
from dora.daemon.link import Link
from dora.daemon.server import Server
from dora.transport import endpoint
from dora.wire import background, messages, visits
from dora.wire.framing import Deframer, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dora.daemon.link import LinkOwner
    from dora.daemon.logs import LogLine
    from dora.descriptor.plan import Plan

INPUTS = 500_000 if LONG else 3_000
EXAMPLES = 2_000 if LONG else 60
SEED = 20_261_125


class Nobody:
    """Observes, and keeps nothing; as a journal, it keeps the bugs."""

    def __init__(self) -> None:
        self.bugs: list[BaseException] = []

    def lines(self, batch: list[LogLine]) -> None:
        pass

    def notice(self, level: str, text: str) -> None:
        pass

    def say(self, level: str, text: str) -> None:
        pass

    def blame(self, what: str, error: BaseException) -> None:
        self.bugs.append(error)


class MadeUpSocket:
    """A connection whose client has said all there is; keeps what it is answered."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces[::-1]
        self.answered = bytearray()
        self.closed = False

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            raise BlockingIOError
        return self._pieces.pop()

    def sendmsg(self, data: list[memoryview], rights: list[Any]) -> int:
        self.answered += data[0]
        return len(data[0])

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        return struct.pack("3i", os.getpid(), os.getuid(), os.getgid())

    def setblocking(self, blocking: bool) -> None:
        pass

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self.closed = True


class NoLoop:
    """Waits for nothing: links are read by hand."""

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        pass

    def remove_reader(self, fd: Any) -> bool:
        return True

    add_writer, remove_writer = add_reader, remove_reader

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()


def attack(owner: LinkOwner, said: bytes, draw: random.Random) -> tuple[Link, MadeUpSocket]:
    """One connection that says this, in pieces."""
    pieces = [said]
    if len(said) > 2 and draw.random() < 0.2:
        at = draw.randrange(1, len(said))
        pieces = [said[:at], said[at:]]
    made_up = MadeUpSocket(pieces)
    link = Link(NoLoop(), made_up, owner)  # type: ignore[arg-type]
    link.drain()
    return link, made_up


def leave(link: Link) -> None:
    """The client hangs up."""
    link._end(None)


def answers(owner: LinkOwner, *asked: Any) -> list[Any]:
    """What an honest client is answered."""
    said = b"".join(frame(messages.encode(one)) for one in asked)
    link, made_up = attack(owner, said, random.Random(0))
    leave(link)
    bodies = Deframer().feed(bytes(made_up.answered))
    decode = visits.decode_answer
    if isinstance(asked[0], background.GreetDaemon):
        decode = background.decode_answer  # type: ignore[assignment]
    if isinstance(asked[0], messages.Register):
        decode = messages.decode_from_daemon  # type: ignore[assignment]
    return [decode(body) for body in bodies]


@pytest.fixture(autouse=True)
def _no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plan that a stranger made names a program that is there."""
    monkeypatch.setenv("PATH", "/no/such/folder")


class DataflowUnderAttack:
    """A dataflow of two dynamic nodes; it is made anew where it was ended as a node may end it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.made = 0
        self.attacks = Attacks(
            [visits.Greet(messages.PROTOCOL, "fuzz"), register("camera"), register("plot")],
            [of_visitors(folder), of_nodes(), of_nodes()],
        )
        self._make()

    def _make(self) -> None:
        self.made += 1
        plan = two_nodes(self._folder)
        self._server = Server(launch(plan), Nobody())
        self._task = asyncio.get_running_loop().create_task(self._server.run())

    async def ready(self) -> LinkOwner:
        """Whom to attack; a bug of the daemon is raised here."""
        await asyncio.sleep(0)
        flow = self._server._flow
        ended = self._task.done() or flow.phase not in (Phase.STARTING, Phase.RUNNING)
        if ended or flow.book.next_number > 2_000:  # wires that are cut stay in its book
            await self.end()
            self._make()
            await asyncio.sleep(0)
        return self._server._reception

    async def end(self) -> None:
        self._server.ask_stop("the test", force=True)
        await asyncio.wait_for(self._task, 50.0)

    async def assert_it_serves(self) -> None:
        owner = await self.ready()
        flow, state = answers(owner, visits.Greet(messages.PROTOCOL, "1"), visits.AskState())
        assert isinstance(flow, visits.Dataflow)
        assert isinstance(state, visits.State)


class DaemonUnderAttack:
    """A background daemon that starts dataflows without processes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = 1
        self.attacks = Attacks(
            [background.GreetDaemon(messages.PROTOCOL, "fuzz")], [of_clients(folder)]
        )
        self._journal = Nobody()

        def launch_here(plan: Plan) -> Launched:
            return launch(replace(plan, working_dir=folder))

        monkeypatch.setattr(background_daemon, "launch", launch_here)
        address = str(folder / "run" / "daemon-user")
        store = Store(folder / "state.sqlite", lambda _text: None)
        self._daemon = Daemon(endpoint.Listener(address), store, self._journal)  # type: ignore[arg-type]
        self._task = asyncio.get_running_loop().create_task(self._daemon.serve(lambda: None))
        self._store = store

    async def ready(self) -> LinkOwner:
        await asyncio.sleep(0)
        if self._journal.bugs:
            raise self._journal.bugs[0]
        if len(self._daemon._flows) > 20:
            for flow in list(self._daemon._flows.values()):
                flow.server.ask_stop("the test", force=True)
            await asyncio.gather(*(flow.task for flow in self._daemon._flows.values() if flow.task))
        return self._daemon

    async def end(self) -> None:
        self._daemon.end("the test")
        self._daemon.end("the test")
        await asyncio.wait_for(self._task, 50.0)
        self._store.close()

    async def assert_it_serves(self) -> None:
        owner = await self.ready()
        greeting = background.GreetDaemon(messages.PROTOCOL, "1")
        who, runs = answers(owner, greeting, background.AskRuns())
        assert isinstance(who, background.Daemon)
        assert isinstance(runs, background.Runs)


Target = DataflowUnderAttack | DaemonUnderAttack


def target(which: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    if which == "dataflow":
        return DataflowUnderAttack(folder)
    return DaemonUnderAttack(folder, monkeypatch)


BOTH = pytest.mark.parametrize("which", ["dataflow", "background daemon"])


@contextmanager
def in_folder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(endpoint.VARIABLE, str(folder / "run"))  # nobody else is to see these
        yield


@BOTH
def test_hostile_bytes_cost_only_the_connection_that_sent_them(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: Callable[..., None]
) -> None:
    async def campaign() -> None:
        victim = target(which, tmp_path, monkeypatch)
        draw = random.Random(SEED)
        began_s, warm = time.monotonic(), 0
        open_links: list[Link] = []
        for number in range(INPUTS):
            owner = await victim.ready()
            said = victim.attacks.draw(draw)
            try:
                open_links.append(attack(owner, said, draw)[0])
                if len(open_links) > 20 or draw.random() < 0.1:
                    while open_links:
                        leave(open_links.pop(draw.randrange(len(open_links))))
                await victim.ready()
            except Exception as exc:
                raise AssertionError(f"input {number}: {said!r}") from exc
            if number == INPUTS // 10:
                warm = resident_bytes(os.getpid())
        for link in open_links:
            leave(link)
        await victim.assert_it_serves()
        grown = resident_bytes(os.getpid()) - warm
        took_s = time.monotonic() - began_s
        await victim.end()
        if LONG:
            assert grown < 64 << 20, f"grew by {grown >> 20} MiB"
        measured(
            f"hostile bytes, in process: {which}",
            f"{INPUTS:,} inputs in {took_s:.0f} s, memory {grown / (1 << 20):+.0f} MiB after the "
            f"first tenth; ended by a valid message and made anew {victim.made - 1} times",
        )

    with in_folder(monkeypatch, tmp_path):
        asyncio.run(campaign())


@BOTH
def test_hypothesis_finds_no_words_that_harm(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: Callable[..., None]
) -> None:
    with in_folder(monkeypatch, tmp_path), asyncio.Runner() as runner:

        async def make() -> Target:
            return target(which, tmp_path, monkeypatch)

        victim = runner.run(make())

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.randoms(use_true_random=False))
        def try_one(draw: random.Random) -> None:
            async def one() -> None:
                owner = await victim.ready()
                leave(attack(owner, victim.attacks.draw(draw), draw)[0])
                await victim.ready()

            runner.run(one())

        try_one()
        runner.run(victim.assert_it_serves())
        runner.run(victim.end())
    measured(f"hostile bytes, by hypothesis: {which}", f"{EXAMPLES:,} examples")

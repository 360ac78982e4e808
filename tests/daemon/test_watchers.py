"""Clients that watch: what they are sent, also when they are slow, early or late."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from dora.daemon import watchers as module
from dora.daemon.link import Link
from dora.daemon.logs import LogLine
from dora.daemon.report import NodeFailure, Outcome
from dora.daemon.visitors import Visitors
from dora.daemon.watchers import Watchers
from dora.wire.framing import Deframer
from dora.wire.messages import encode
from dora.wire.visits import Dataflow, Done, Ended, Shown, Watch, decode_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

OUTCOME = Outcome("id", 1, 2.0)


class Audience:
    """Watchers, and clients of theirs on real sockets."""

    def __init__(self) -> None:
        self.visitors = Visitors(lambda: Dataflow("id", "flow", ["a"]))
        self.watchers = Watchers(self.visitors)
        self.sockets: list[socket.socket] = []

    def watch(self, *, from_start: bool = False) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.sockets.append(theirs)
        link = Link(asyncio.get_running_loop(), ours, self)
        self.visitors.hear(link, encode(Watch(from_start)))
        return theirs

    def on_frame(self, link: Link, body: bytes) -> None:
        raise AssertionError("a client that watches says nothing")

    def on_end(self, link: Link, problem: str | None) -> None:
        self.visitors.left(link)

    def on_written(self, link: Link) -> None: ...


def in_a_loop(test: Callable[[Audience], None]) -> None:
    async def run() -> None:
        audience = Audience()
        try:
            test(audience)
        finally:
            audience.watchers.ended(OUTCOME)
            for one in audience.sockets:
                one.close()
            await asyncio.sleep(0)  # links that still have something to say notice

    asyncio.run(run())


def heard(client: socket.socket) -> list[object]:
    """What has arrived by now."""
    client.setblocking(False)
    deframer = Deframer()
    found: list[object] = []
    try:
        while data := client.recv(1 << 20):
            found += [decode_answer(body) for body in deframer.feed(data)]
    except BlockingIOError:
        pass
    return found


def lines(*texts: str, **fields: object) -> list[LogLine]:
    return [LogLine("a", "stdout", "stdout", text, "now", **fields) for text in texts]  # type: ignore[arg-type]


def messages(answers: list[object]) -> list[str]:
    return [line.message for one in answers if isinstance(one, Shown) for line in one.lines]


def test_lines_words_of_the_daemon_and_the_end_come_in_order() -> None:
    def test(audience: Audience) -> None:
        client = audience.watch()
        audience.watchers.lines(lines("one", "two"))
        audience.watchers.notice("warn", "slow")
        failed = Outcome("id", 1, 2.0, (NodeFailure("a", "exited with code 1"),))
        audience.watchers.ended(failed)
        answers = heard(client)
        assert isinstance(answers[0], Done)
        assert messages(answers) == ["one", "two", "slow"]
        assert isinstance(answers[-1], Ended)
        assert not answers[-1].ok
        assert "Node `a` failed: exited with code 1" in answers[-1].failures
        assert answers[-1].summary == "1 node, 1 failed, 2.0 s, 0 messages, no drops"

    in_a_loop(test)


def test_what_came_first_is_there_for_whoever_asks_for_it() -> None:
    def test(audience: Audience) -> None:
        audience.watchers.lines(lines("first"))
        late, early = audience.watch(), audience.watch(from_start=True)
        audience.watchers.lines(lines("second"))
        assert messages(heard(late)) == ["second"]
        assert messages(heard(early)) == ["first", "second"]

    in_a_loop(test)


@given(st.lists(st.integers(0, 3 << 20), max_size=8), st.integers(0, 1200))
def test_what_is_kept_for_the_first_one_is_bounded_and_the_rest_counted(
    sizes: list[int], short: int
) -> None:
    def test(audience: Audience) -> None:
        for size in sizes:
            audience.watchers.lines(lines("x" * size))
        audience.watchers.lines(lines(*["x"] * short))
        kept = audience.watchers._early
        assert kept is not None
        assert len(kept) + audience.watchers._early_lost == len(sizes) + short
        assert len(kept) <= 1000
        assert sum(len(line.message) for line in kept) <= 4 << 20

    in_a_loop(test)


def test_after_a_moment_nothing_is_kept_for_those_who_come_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_EARLY_S", -1.0)

    def test(audience: Audience) -> None:
        audience.watchers.lines(lines("first"))
        assert audience.watchers._early is None
        assert messages(heard(audience.watch(from_start=True))) == []

    in_a_loop(test)


def test_a_slow_client_loses_lines_and_is_told_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING_BYTES", 1 << 20)

    def test(audience: Audience) -> None:
        slow, quick = audience.watch(), audience.watch()
        seen = 0
        for _ in range(100):
            audience.watchers.lines(lines("x" * 50_000))
            seen += len(messages(heard(quick)))
        assert seen == 100
        (link,) = [one for one, lost in audience.watchers._lost.items() if lost]
        assert link.waiting_bytes < 2 << 20
        got: list[object] = []
        while link.waiting_bytes:
            got += _all_of(slow, link)
        audience.watchers.lines(lines("at last"))
        got += _all_of(slow, link)
        (told,) = [one.lost for one in got if isinstance(one, Shown) and one.lost]
        assert told + len(messages(got)) - 1 == 100

    kept: dict[socket.socket, Deframer] = {}

    def _all_of(client: socket.socket, link: Link) -> list[object]:
        client.setblocking(False)
        deframer = kept.setdefault(client, Deframer())
        found: list[object] = []
        while True:
            try:
                data = client.recv(1 << 20)
            except BlockingIOError:
                return found
            assert data, "the connection was closed"
            found += [decode_answer(body) for body in deframer.feed(data)]
            link._flush()

    in_a_loop(test)


def test_a_slow_client_is_told_the_end_before_its_connection_closes() -> None:
    async def run() -> None:
        audience = Audience()
        client, idle = audience.watch(), audience.watch()
        for _ in range(40):
            audience.watchers.lines(lines("x" * 100_000))
        audience.watchers.ended(OUTCOME)
        told = asyncio.create_task(audience.watchers.all_told(20.0))
        client.setblocking(False)
        deframer = Deframer()
        last: object = None
        while data := await asyncio.get_running_loop().sock_recv(client, 1 << 20):
            for body in deframer.feed(data):
                last = decode_answer(body)
        assert isinstance(last, Ended)
        assert not told.done(), "it waits for the other one too"
        idle.close()
        await told
        client.close()

    asyncio.run(run())


def test_numbers_that_cannot_travel_hurt_nobody() -> None:
    def test(audience: Audience) -> None:
        client = audience.watch()
        audience.watchers.lines(lines("big", fields={"n": 10**30}, line=10**30))
        (shown,) = [one for one in heard(client) if isinstance(one, Shown)]
        assert shown.lines[0].fields == {"n": str(10**30)}

    in_a_loop(test)


def test_one_that_left_is_sent_nothing() -> None:
    def test(audience: Audience) -> None:
        audience.watch().close()
        audience.watchers.lines(lines("one"))
        audience.watchers.lines(lines("two"))
        assert audience.watchers._lost == {}

    in_a_loop(test)

"""Looks that pages share: while anybody listens, and again when a daemon did not answer."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import msgspec
from tests.monitor.states import FLOW, LATER, START

from dora import client
from dora.errors import DoraError
from dora.monitor.figures import figures
from dora.transport import endpoint
from dora.web import watching
from dora.web.watching import FlowList, FlowWatch

if TYPE_CHECKING:
    import pytest


class FakeLooks:
    """Looks that are as they are told to be, one after the other."""

    outcomes: list[Any] = []
    made: list[FakeLooks] = []

    def __init__(self, _flow: str) -> None:
        self.closed = threading.Event()
        self.made.append(self)

    def look(self) -> list[Any]:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return list(outcome)

    def close(self) -> None:
        self.closed.set()


def heard(patch: pytest.MonkeyPatch, outcomes: list[Any], there: bool) -> list[dict[str, Any]]:
    """What a page is told when looks come out so, until the end."""
    patch.setattr(watching, "LOOK_EVERY_S", 0.001)
    patch.setattr(watching, "Looks", FakeLooks)
    patch.setattr(FakeLooks, "outcomes", outcomes)
    patch.setattr(FakeLooks, "made", [])
    patch.setattr(endpoint, "running", lambda: [endpoint.address_of(FLOW.id)] if there else [])
    told: list[dict[str, Any]] = []

    async def run() -> None:
        over = asyncio.Event()

        def listen(frame: str) -> None:
            told.append(msgspec.json.decode(frame))
            if told[-1]["t"] == "ended":
                over.set()

        watch = FlowWatch(FLOW.id)
        watch.join(listen)
        await asyncio.wait_for(over.wait(), 10)
        watch.leave(listen)

    asyncio.run(run())
    assert all(looks.closed.wait(10) for looks in FakeLooks.made)
    return told


SEEN = [figures(START, LATER)]


def test_a_dataflow_is_looked_at_until_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    told = heard(monkeypatch, [SEEN, SEEN, []], True)
    assert [one["t"] for one in told] == ["state", "state", "ended"]


def test_a_daemon_that_does_not_answer_for_a_while_is_told_and_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = heard(monkeypatch, [SEEN, DoraError("no answer within 10 s"), SEEN, []], True)
    assert [one["t"] for one in told] == ["state", "late", "state", "ended"]
    assert told[1]["why"] == "no answer within 10 s"


def test_one_that_is_gone_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told = heard(monkeypatch, [DoraError("it has just ended")], False)
    assert [one["t"] for one in told] == ["ended"]


def test_the_list_is_asked_for_while_somebody_listens_and_not_kept_for_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = [["@a"], ["@a"], ["@b"]]
    flows = [[FLOW], [msgspec.structs.replace(FLOW, id="0190-bb")]]
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(endpoint, "running", lambda: addresses.pop(0) if addresses else ["@b"])
    monkeypatch.setattr(client, "running", lambda: flows.pop(0))

    async def run() -> None:
        listed = FlowList()
        told: list[Any] = []
        both = asyncio.Event()

        def listen(frame: str) -> None:
            told.append([one["id"] for one in msgspec.json.decode(frame)["flows"]])
            if len(told) == 2:
                both.set()

        listed.join(listen)
        await asyncio.wait_for(both.wait(), 10)
        assert told == [["0190-aa"], ["0190-bb"]]
        late: list[str] = []
        listed.join(late.append)
        assert len(late) == 1
        listed.leave(late.append)
        listed.leave(listen)
        assert listed.flows == {}
        assert listed.frame == ""

    asyncio.run(run())

"""Which node begins a trace and when, how tracing goes on and off, which spans are kept."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dora.daemon import traces
from dora.daemon.flow import Flow, Graces
from dora.daemon.traces import TraceDesk, asked_rate, beginners
from dora.daemon.visitors import Visitors
from dora.descriptor.plan import Route, TimerInput
from dora.errors import DoraError
from dora.wire.messages import Refused, encode
from dora.wire.spans import AskTrace, Span, Spans, Trace, Traced
from dora.wire.visits import Dataflow, decode_answer

from .plans import node, plan

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

ON, OFF, BEGIN = Trace(on=True), Trace(on=False), Trace(on=True, begin=True)
NODES = ["camera", "detector", "arm"]


class Loop:
    """Timers that go off when a test lets time pass."""

    def __init__(self) -> None:
        self.now_s = 50.0
        self.due: list[Handle] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Handle:
        self.due.append(Handle(self, self.now_s + delay_s, call))
        return self.due[-1]

    def pass_(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self.due and (first := min(self.due, key=lambda one: one.at_s)).at_s <= end_s:
            self.now_s = first.at_s
            self.due.remove(first)
            first.call()
        self.now_s = end_s


class Handle:
    def __init__(self, loop: Loop, at_s: float, call: Callable[[], None]) -> None:
        self.loop, self.at_s, self.call = loop, at_s, call

    def cancel(self) -> None:
        if self in self.loop.due:
            self.loop.due.remove(self)


class Desk:
    """A desk, its time, and what it tells nodes; answers are read as a client would."""

    closed = False

    def __init__(self, rate_hz: float | None = None) -> None:
        self.loop = Loop()
        self.told: list[tuple[str, Trace]] = []
        self.answers: list[Any] = []
        self._visitors = Visitors(lambda: Dataflow("id", "name", []))
        parts = plan(
            node("camera", outputs=("image",)),
            node("detector", inputs=("image",), outputs=("boxes",)),
            replace(node("arm", inputs=("boxes",)), timers=(TimerInput("tick", 20_000_000),)),
            routes=(
                Route("camera", "image", "detector", "image"),
                Route("detector", "boxes", "arm", "boxes"),
            ),
        )
        self.flow = Flow(parts, Graces())
        for record in self.flow.roster:
            record.linked = True
        self.desk = TraceDesk(
            self._visitors,
            self.loop,  # type: ignore[arg-type]
            self.flow,
            lambda *told: self.told.append(told),
            rate_hz,
        )

    def send(self, message: msgspec.Struct) -> None:
        self.answers.append(decode_answer(encode(message)))

    def ask(self, *args: Any, **options: Any) -> Traced:
        self._visitors.hear(self, encode(AskTrace(*args, **options)))  # type: ignore[arg-type]
        answer = self.answers.pop()
        if isinstance(answer, Refused):
            raise DoraError(answer.reason)
        assert isinstance(answer, Traced)
        return answer

    def news(self) -> list[tuple[str, Trace]]:
        told, self.told = self.told, []
        return told


def span(number: int, input_id: str = "image") -> Span:
    return Span(f"{number:032x}", f"{number:016x}", "", input_id, 0, 1, 2, 3)


# ---- on and off ----


def test_nothing_happens_until_somebody_asks() -> None:
    desk = Desk()
    desk.loop.pass_(100)
    assert desk.ask("look") == Traced([], 0, 0, 0, False, False, traces.DEFAULT_HZ)
    assert desk.news() == []
    assert desk.desk.for_node("camera") == []


def test_switched_on_all_nodes_are_told_and_traces_begin_in_turn_at_the_rate() -> None:
    desk = Desk()
    state = desk.ask("on", rate_hz=4.0)
    assert (state.on, state.was_on, state.rate_hz) == (True, False, 4.0)
    told = desk.news()
    assert told[:3] == [(name, ON) for name in NODES]
    desk.loop.pass_(1.9)
    begun = [*told[3:], *desk.news()]
    assert [message for _, message in begun] == [BEGIN] * 8  # the first at once
    assert {who for who, _ in begun} == {"camera", "arm"}
    assert all(a != b for (a, _), (b, _) in pairwise(begun))


def test_switched_off_all_nodes_are_told_and_no_trace_begins() -> None:
    desk = Desk()
    desk.ask("on")
    desk.news()
    assert desk.ask("off").was_on
    assert desk.news() == [(name, OFF) for name in NODES]
    desk.loop.pass_(100)
    assert desk.news() == []
    assert not desk.ask("off").was_on


def test_on_for_a_while_it_goes_off_unless_somebody_asks_again() -> None:
    desk = Desk()
    desk.ask("on", for_s=60.0)
    desk.loop.pass_(59)
    assert desk.ask("on", for_s=60.0).was_on
    desk.loop.pass_(59)
    assert desk.ask("look").on
    desk.loop.pass_(2)
    assert not desk.ask("look").on
    assert desk.news()[-3:] == [(name, OFF) for name in NODES]


def test_on_without_an_end_it_stays_on_when_somebody_looks_for_a_while() -> None:
    desk = Desk()
    desk.ask("on")
    desk.ask("on", for_s=60.0)
    desk.loop.pass_(1000)
    assert desk.ask("look").on


def test_on_from_the_start_nodes_are_told_when_they_join() -> None:
    desk = Desk(rate_hz=2.0)
    assert desk.desk.for_node("camera") == [ON]
    assert desk.ask("look").rate_hz == 2.0


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, 101.0, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(rate_hz: float) -> None:
    desk = Desk()
    with pytest.raises(DoraError, match="give a number up to 100"):
        desk.ask("on", rate_hz=rate_hz)
    assert not desk.ask("look").on


def test_a_node_that_comes_later_begins_traces_too() -> None:
    desk = Desk()
    desk.flow.roster["camera"].linked = False
    desk.ask("on")
    desk.loop.pass_(1)
    assert "camera" not in {who for who, message in desk.news() if message == BEGIN}
    desk.flow.roster["camera"].linked = True
    desk.loop.pass_(1)
    assert "camera" in {who for who, message in desk.news() if message == BEGIN}


@pytest.mark.parametrize(
    ("text", "rate_hz"), [("", None), ("0", None), ("off", None), ("TRUE", 10.0), ("2.5", 2.5)]
)
def test_the_environment_may_ask_for_it(
    text: str, rate_hz: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_TRACE", text)
    assert asked_rate() == rate_hz


@pytest.mark.parametrize("text", ["yes", "1000", "-1", "nan", "1e999"])
def test_an_environment_that_asks_for_nonsense_is_told(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_TRACE", text)
    with pytest.raises(DoraError, match="number"):
        asked_rate()


# ---- spans ----


def test_spans_are_kept_with_who_told_them_and_what_the_input_reads() -> None:
    desk = Desk()
    desk.desk.heard("detector", Spans([span(1)]))
    desk.desk.heard("arm", Spans([span(2, "tick"), span(3, "none")], lost=5))
    answer = desk.ask("look")
    assert [(one.node, one.source) for one in answer.spans] == [
        ("detector", "camera/image"),
        ("arm", "dora/timer/nanos/20000000"),
        ("arm", ""),
    ]
    assert (answer.last, answer.newest, answer.lost) == (3, 3, 5)


def test_spans_of_a_node_that_is_gone_are_kept() -> None:
    desk = Desk()
    desk.desk.heard("gone", Spans([span(1)]))
    assert [one.node for one in desk.ask("look").spans] == ["gone"]


def test_the_last_4096_spans_are_kept_and_told_a_thousand_at_a_time() -> None:
    desk = Desk()
    for number in range(5000):
        desk.desk.heard("detector", Spans([span(number)]))
    found: list[Span] = []
    after = asked = 0
    while (answer := desk.ask("look", after=after)).spans:
        found += answer.spans
        after = answer.last
        asked += 1
    assert [int(one.trace, 16) for one in found] == list(range(5000 - 4096, 5000))
    assert (asked, after) == (4, 5000)
    assert desk.ask("look", after=1 << 62).spans == []


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 50))
def test_who_asks_again_and_again_gets_each_span_once(batches: list[int], most: int) -> None:
    desk = Desk()
    sent = after = 0
    found: list[int] = []
    for size in batches:
        desk.desk.heard("detector", Spans([span(sent + at) for at in range(size)]))
        sent += size
        if sent % 3 == 0:
            answer = desk.ask("look", after=after)
            after = answer.last
            found += [int(one.trace, 16) for one in answer.spans]
    found += [int(one.trace, 16) for one in desk.ask("look", after=after).spans]
    assert found == list(range(sent))


# ---- where traces begin ----


def test_a_source_begins_traces_and_a_node_that_it_feeds_does_not() -> None:
    assert beginners(["a", "b", "c"], [("a", "b"), ("b", "c")], set()) == ["a"]


def test_a_node_with_a_timer_begins_traces_wherever_it_stands() -> None:
    assert beginners(["a", "b", "c"], [("a", "b"), ("b", "c")], {"c"}) == ["a", "c"]


def test_in_a_circle_that_nobody_feeds_each_node_begins_traces() -> None:
    circle = [("ping", "pong"), ("pong", "ping"), ("pong", "plot")]
    assert beginners(["ping", "pong", "plot"], circle, set()) == ["ping", "pong"]
    assert beginners(["a", "ping", "pong"], [*circle, ("a", "ping")], set()) == ["a"]


_names = st.integers(0, 7).map(str)


@given(st.lists(_names, unique=True), st.lists(st.tuples(_names, _names)), st.sets(_names))
def test_traces_begin_where_all_that_comes_in_comes_back(
    nodes: list[str], edges: list[tuple[str, str]], timers: set[str]
) -> None:
    inner = [(a, b) for a, b in edges if a in nodes and b in nodes]

    def reached(start: str) -> set[str]:
        found = {start}
        while more := {b for a, b in inner if a in found} - found:
            found |= more
        return found

    reach = {one: reached(one) for one in nodes}
    expected = [
        one
        for one in nodes
        if one in timers or all(other in reach[one] for other in nodes if one in reach[other])
    ]
    assert beginners(nodes, edges, timers) == expected

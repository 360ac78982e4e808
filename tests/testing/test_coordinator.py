"""The coordinator against a model that knows the rules and nothing else.

Nodes are played: each follows a script of what it does when it goes on. The model recomputes, from
the log of what was sent and handed out, what every queue must have held.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dora.descriptor.plan import NodePlan, Plan, Route, TimerInput
from dora.errors import SimulationError
from dora.simulation.coordinator import Arrival, Begin, Coordinator, Kill, Sent, Tell
from dora.simulation.part import Part, Wait
from dora.simulation.queues import InputQueue, Parcel, TimerQueue
from dora.wire import simulation as wire
from dora.wire.simulation import START_NS

S = 10**9


def parcel(number: int, *, correlated: bool = False, flush: bool = False) -> Parcel:
    return Parcel(b"", str(number).encode(), b"", 0, correlated, flush)


# ---- one queue ----


class QueueModel:
    """The rules of a queue, as plainly as they can be written."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.held: list[Parcel] = []
        self.dropped = 0

    def push(self, one: Parcel) -> None:
        if one.flush:
            self.held = [held for held in self.held if held.correlated]
        self.held.append(one)
        while len(self.held) > self.size:
            old = [held for held in self.held[:-1] if not held.correlated]
            if not old:
                return
            self.held.remove(old[0])
            self.dropped += 1


@given(
    size=st.integers(1, 4),
    steps=st.lists(st.one_of(st.none(), st.tuples(st.booleans(), st.booleans())), max_size=40),
)
def test_a_queue_keeps_the_newest_and_never_drops_what_is_correlated(
    size: int, steps: list[tuple[bool, bool] | None]
) -> None:
    queue, model = InputQueue("in", size), QueueModel(size)
    for number, step in enumerate(steps):
        if step is None:
            assert queue.is_ready(0) is bool(model.held)
            if model.held:
                assert queue.pop(0) == model.held.pop(0)
        else:
            correlated, flush = step
            one = parcel(number, correlated=correlated, flush=flush)
            queue.push(one)
            model.push(one)
        assert (len(queue), queue.dropped) == (len(model.held), model.dropped)


@given(interval=st.integers(1, 50), looks=st.lists(st.integers(0, 60), max_size=30))
def test_a_timer_ticks_on_its_beat_and_skips_what_was_missed(
    interval: int, looks: list[int]
) -> None:
    timer = TimerQueue("tick", interval)
    now, beat_served = 0, -1
    for later in looks:
        now += later
        beat = now // interval
        assert timer.is_ready(now) is (beat > beat_served)
        if beat > beat_served:
            timer.pop(now)
            beat_served = beat
        assert timer.next_ns(now) == (beat_served + 1) * interval


# ---- a whole simulation ----


class Script:
    """A node without a process: each time it goes on, it sends, and then waits again."""

    def __init__(self, steps: list[tuple[list[str], int | None, bool]]) -> None:
        self.steps = deque(steps)

    def next(self) -> tuple[list[str], int | None, bool]:
        """Outputs to send on, the timeout of the next wait, and whether it waits for events."""
        return self.steps.popleft() if self.steps else ([], None, True)


class Play:
    """Runs a coordinator with scripts for nodes; keeps a log of all that happens."""

    def __init__(self, plan: Plan, scripts: dict[str, Script], arrivals: list[Arrival]) -> None:
        self.sent: list[Sent] = []
        self.coordinator = Coordinator(
            plan, set(scripts), arrivals, until_ns=20 * S, keep=self.sent.append
        )
        self.scripts = scripts
        self.log: list[tuple[Any, ...]] = []
        self.times: list[int] = []
        self.asked = 0
        self.ended: set[str] = set()

    def run(self) -> None:
        for node in self.scripts:
            self.coordinator.hear(node, wire.Join(node))
        for _ in range(5000):
            if self.coordinator.finished:
                return
            assert self.coordinator.settled
            instruction = self.coordinator.step()
            self.times.append(self.coordinator.now_ns)
            match instruction:
                case Kill(node=node):
                    self.coordinator.left(node, None)
                case Begin(node=node):
                    self.log.append((self.coordinator.now_ns, node, "begin"))
                    self.go_on(node)
                case Tell(node=node, word=word):
                    self.hear(node, word)
        raise AssertionError("it never ends")

    def hear(self, node: str, word: wire.Answer) -> None:
        now = self.coordinator.now_ns
        assert word.time_ns == now
        match word:
            case wire.Message(input=name, payload=payload):
                self.log.append((now, node, "message", name, payload))
            case wire.Tick(input=name):
                self.log.append((now, node, "tick", name))
            case wire.Said(event=event):
                self.log.append((now, node, event["type"], event.get("id")))
                if event["type"] == "STOP":
                    self.ended.add(node)
                    self.coordinator.hear(node, wire.Goodbye())
                    return
            case wire.Over():
                self.log.append((now, node, "over"))
        self.go_on(node)

    def go_on(self, node: str) -> None:
        outputs, timeout_ns, receive = self.scripts[node].next()
        for output in outputs:
            self.asked += 1
            payload = f"{node}/{output}/{self.asked}".encode()
            self.log.append((self.coordinator.now_ns, node, "send", output, payload))
            self.coordinator.hear(node, wire.Send(output, b"", payload, b"", False))
        self.asked += 1
        if not receive and timeout_ns is None:
            timeout_ns = S
        self.coordinator.hear(node, wire.Ask(self.asked, receive, timeout_ns))


def make_plan(routes: list[tuple[str, str, int]], timers: dict[str, int]) -> Plan:
    """Nodes a, b, c with one output `out`; routes as (sender, receiver, queue size)."""
    names = ["a", "b", "c"]
    wired = tuple(
        Route(sender, "out", receiver, f"from_{sender}", queue_size=size)
        for sender, receiver, size in routes
    )
    nodes = tuple(
        NodePlan(
            id=name,
            command=None,
            env={},
            outputs=("out",),
            inputs=tuple(route.input for route in wired if route.receiver == name),
            timers=(TimerInput("tick", timers[name]),) if name in timers else (),
        )
        for name in names
    )
    player = NodePlan("player", None, {}, ("out",), (), ())
    return Plan("p", Path(), (*nodes, player), wired, (), False, {})


steps = st.lists(
    st.tuples(
        st.lists(st.just("out"), max_size=3),
        st.one_of(st.none(), st.integers(0, 3 * S)),
        st.booleans(),
    ),
    max_size=8,
)
routes = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "player"]), st.sampled_from("abc"), st.integers(1, 3)
    ),
    max_size=7,
    unique_by=lambda route: route[:2],
)
plays = st.fixed_dictionaries(
    {
        "routes": routes,
        "timers": st.dictionaries(st.sampled_from("abc"), st.integers(S // 2, 3 * S)),
        "scripts": st.fixed_dictionaries({"a": steps, "b": steps, "c": steps}),
        "arrivals": st.lists(st.integers(0, 15 * S), max_size=6).map(sorted),
    }
)


def play(made: dict[str, Any]) -> Play:
    arrivals = [
        Arrival("player", "out", parcel(number), time_ns)
        for number, time_ns in enumerate(made["arrivals"])
    ]
    plan = make_plan(made["routes"], made["timers"])
    played = Play(
        plan, {name: Script(list(given)) for name, given in made["scripts"].items()}, arrivals
    )
    played.run()
    return played


@settings(max_examples=150, deadline=None)
@given(made=plays)
def test_every_queue_hands_out_what_the_rules_say_in_the_order_it_was_sent(
    made: dict[str, Any],
) -> None:
    played = play(made)
    models = {(to, f"from_{who}"): QueueModel(size) for who, to, size in made["routes"]}
    arrivals = deque(enumerate(made["arrivals"]))
    gone: set[str] = set()
    for now, node, kind, *rest in played.log:
        while arrivals and arrivals[0][1] <= now:
            number, _ = arrivals.popleft()
            for (to, name), model in models.items():
                if name == "from_player" and to not in gone:
                    model.push(parcel(number))
        if kind == "send":
            for (to, name), model in models.items():
                if name == f"from_{node}" and to not in gone:
                    model.push(Parcel(b"", rest[1], b"", 0))
        elif kind == "message":
            assert models[node, rest[0]].held.pop(0).payload == rest[1]
        elif kind == "STOP":
            gone.add(node)
    for (to, name), model in models.items():
        assert played.coordinator.parts[to].inputs[name].dropped == model.dropped


@settings(max_examples=100, deadline=None)
@given(made=plays)
def test_time_never_goes_back_and_two_plays_are_the_same(made: dict[str, Any]) -> None:
    first, second = play(made), play(made)
    assert first.times == sorted(first.times)
    assert first.log == second.log
    assert [sent.parcel for sent in first.sent] == [sent.parcel for sent in second.sent]


@settings(max_examples=100, deadline=None)
@given(made=plays)
def test_every_node_is_told_to_stop_once_and_nothing_after_it(made: dict[str, Any]) -> None:
    played = play(made)
    for node in "abc":
        kinds = [entry[2] for entry in played.log if entry[1] == node]
        assert kinds.count("STOP") <= 1
        assert "STOP" not in kinds[:-1]
    assert played.coordinator.now_ns <= 30 * S


# ---- single rules ----


def alone(*arrivals: Arrival, until_ns: int | None = None, size: int = 10) -> Coordinator:
    plan = make_plan([("player", "a", size)], {})
    coordinator = Coordinator(plan, {"a"}, arrivals, until_ns)
    coordinator.hear("a", wire.Join("a"))
    assert coordinator.step() == Begin("a")
    return coordinator


def answer(coordinator: Coordinator, number: int, timeout_ns: int | None = None) -> Any:
    coordinator.hear("a", wire.Ask(number, True, timeout_ns))
    told = coordinator.step()
    assert isinstance(told, Tell)
    return told.word


def test_an_event_that_comes_with_the_timeout_comes_before_it() -> None:
    coordinator = alone(Arrival("player", "out", parcel(1), S))
    word = answer(coordinator, 1, S)
    assert isinstance(word, wire.Message)
    assert (word.time_ns, word.sent_ns) == (S, START_NS + S)


def test_untimed_inputs_come_before_a_timeout() -> None:
    coordinator = alone(*(Arrival("player", "out", parcel(n)) for n in range(2)))
    words = [answer(coordinator, number, S) for number in range(2)]
    assert [type(word) for word in words] == [wire.Message, wire.Message]
    assert coordinator.now_ns == 0


def test_a_cancelled_ask_is_answered_at_once_and_only_once() -> None:
    coordinator = alone(until_ns=S)
    coordinator.hear("a", wire.Ask(1, True, None))
    assert coordinator.hear("a", wire.Cancel(1)) == [Tell("a", wire.Over(1, 0))]
    assert coordinator.hear("a", wire.Cancel(1)) == []
    assert not coordinator.settled


def test_a_node_with_jobs_in_other_threads_waits_only_when_they_do() -> None:
    coordinator = alone(until_ns=S)
    coordinator.hear("a", wire.Ask(1, False, None, busy=1))
    assert not coordinator.settled
    coordinator.hear("a", wire.Ask(2, True, None, busy=1))
    assert coordinator.settled


def test_a_node_that_does_not_end_ten_seconds_after_stop_is_ended() -> None:
    coordinator = alone(until_ns=S)
    coordinator.hear("a", wire.Ask(1, False, 3600 * S))
    assert coordinator.step() == Kill("a")
    coordinator.left("a", None)
    assert coordinator.finished


def test_without_an_end_it_is_refused() -> None:
    plan = make_plan([], {"a": S})
    coordinator = Coordinator(plan, {"a"})
    coordinator.hear("a", wire.Join("a"))
    assert coordinator.step() == Begin("a")
    for number in range(61):
        answer(coordinator, number)
    with pytest.raises(SimulationError, match=r"`a`.*until="):
        answer(coordinator, 61)


def test_of_a_nodes_inputs_the_one_served_longest_ago_is_next() -> None:
    busy, rare = InputQueue("busy", 10), InputQueue("rare", 10)
    part = Part("a", [busy, rare])
    for number in range(4):
        busy.push(parcel(number))
    rare.push(parcel(9))
    order = []
    for number in range(5):
        part.waits[number] = Wait(True, None)
        told = part.answer(0)
        assert isinstance(told, wire.Message)
        order.append(told.input)
    assert order == ["busy", "rare", "busy", "busy", "busy"]


def test_nodes_that_can_go_on_do_so_in_turn() -> None:
    plan = make_plan([("player", "a", 10), ("player", "b", 10)], {})
    arrivals = [Arrival("player", "out", parcel(number), 0) for number in range(3)]
    coordinator = Coordinator(plan, {"a", "b"}, arrivals, S)
    for node in "ab":
        coordinator.hear(node, wire.Join(node))
    order = []
    for number in range(8):
        told = coordinator.step()
        assert not isinstance(told, Kill)
        order.append(told.node)
        coordinator.hear(told.node, wire.Ask(number, True, None))
    assert order == ["a", "b", *"ababab"]


def test_a_node_whose_other_thread_sleeps_is_given_untimed_inputs_and_stopped() -> None:
    coordinator = alone(*(Arrival("player", "out", parcel(n)) for n in range(2)))
    coordinator.hear("a", wire.Ask(0, False, S))
    kinds = []
    for number in range(1, 5):
        word = answer(coordinator, number)
        kinds.append(word.event["type"] if isinstance(word, wire.Said) else type(word).__name__)
    assert kinds == ["Message", "Message", "INPUT_CLOSED", "STOP"]
    assert coordinator.now_ns == 0


@pytest.mark.parametrize("time_ns", [None, 0])
def test_a_node_that_only_sleeps_and_takes_no_input_is_refused_after_a_while(
    time_ns: int | None,
) -> None:
    plan = make_plan([("player", "a", 1)], {})
    lossless = msgspec.structs.replace(plan.routes[0], backpressure=True)
    arrivals = [Arrival("player", "out", parcel(n), time_ns) for n in range(3)]
    coordinator = Coordinator(msgspec.structs.replace(plan, routes=(lossless,)), {"a"}, arrivals)
    coordinator.hear("a", wire.Join("a"))
    assert coordinator.step() == Begin("a")

    def sleep() -> None:
        for number in range(100):
            coordinator.hear("a", wire.Ask(number, False, S))
            coordinator.step()

    with pytest.raises(SimulationError, match=r"`a`.*until="):
        sleep()

"""Traces in one node: what it tells of traced messages, what it gives on, what it leaves alone."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from dora.node import tracing
from dora.wire.spans import CONTEXT, Context, Span, Spans, Trace, parse_context

from .rig import DEADLINE_S

if TYPE_CHECKING:
    import pytest

    from .rig import Rig, Rigs

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FROM_OUTSIDE = Context(TRACE, SPAN)
SECOND_NS = 1_000_000_000


def traced(
    rig: Rig, name: str, data: Any = 1, context: Context = FROM_OUTSIDE, **user: Any
) -> None:
    rig.send(name, data, {CONTEXT: context.text(), **user})


def told(rig: Rig) -> list[Span]:
    """The spans that the node has told of since last asked."""
    return [span for one in rig.heard() if isinstance(one, Spans) for span in one.spans]


def sent(rig: Rig, output: str = "out") -> Context | None:
    """The context of the next message that the node sent."""
    event = rig.take(output)
    assert event is not None
    assert event["type"] == "INPUT"
    return parse_context(event["metadata"].get(CONTEXT))


def handed(rig: Rig) -> Any:
    event = rig.node.next(DEADLINE_S)
    assert event is not None
    assert event["type"] == "INPUT", event
    return event


def ask_again(rig: Rig) -> None:
    """The node asks for an event, and there is none."""
    assert rig.node.try_recv() is None


def is_unhooked(rig: Rig) -> bool:
    host = rig.node._host
    stream: Any = host.stream
    timers = stream.inputs.timers
    return host.sender.marks is None and stream.asks is None and not any(t.traced for t in timers)


# ---- off ----


def test_while_tracing_is_off_a_context_is_metadata_as_any_other(wire: Rigs) -> None:
    rig = wire({"in": 10}, ("out",))
    traced(rig, "in")
    event = handed(rig)
    assert event["metadata"][CONTEXT] == FROM_OUTSIDE.text()
    rig.node.send_output("out", 1)
    rig.node.send_output("out", 1, event["metadata"])
    ask_again(rig)
    assert [sent(rig), sent(rig)] == [None, FROM_OUTSIDE]
    assert told(rig) == []
    assert is_unhooked(rig)


def test_what_is_not_traced_is_left_alone_while_tracing_is_on(wire: Rigs) -> None:
    rig = wire({"in": 10}, ("out",))
    rig.tell(Trace(on=True))
    unsampled = Context(TRACE, SPAN, sampled=False)
    for user in ({}, {CONTEXT: "no context"}, {CONTEXT: 5}, {CONTEXT: unsampled.text()}):
        rig.send("in", 1, user)
        event = handed(rig)
        assert event["metadata"].get(CONTEXT) == user.get(CONTEXT)
        assert is_unhooked(rig)
        rig.node.send_output("out", 1)
        assert sent(rig) is None
    assert told(rig) == []


# ---- one message ----


def test_a_message_is_a_span_and_what_is_sent_meanwhile_its_child(wire: Rigs) -> None:
    rig = wire({"in": 10}, ("out", "more"))
    rig.tell(Trace(on=True))
    ask_again(rig)
    before_ns = time.time_ns()
    traced(rig, "in")
    event = handed(rig)
    for output in ("out", "more"):
        rig.node.send_output(output, 1)
    assert told(rig) == []  # it is not over
    ask_again(rig)
    (span,) = told(rig)
    assert (span.trace, span.parent, span.input) == (TRACE, SPAN, "in")
    assert span.span not in (SPAN, "0" * 16)
    assert [one.output for one in span.sent] == ["out", "more"]
    times = [before_ns, span.sent_ns, span.received_ns]
    times += [*(one.at_ns for one in span.sent), span.done_ns, time.time_ns()]
    assert times == sorted(times)
    own = Context(TRACE, span.span, hops=1)
    assert parse_context(event["metadata"][CONTEXT]) == own
    assert [sent(rig), sent(rig, "more")] == [own, own]
    rig.node.send_output("out", 1)
    assert sent(rig) is None  # it was sent of itself, later
    assert is_unhooked(rig)


def test_the_wait_before_the_node_asked_is_told_apart(wire: Rigs) -> None:
    rig = wire({"in": 10, "other": 10})
    rig.tell(Trace(on=True))
    ask_again(rig)
    traced(rig, "in")
    handed(rig)  # sent first, then asked for

    def send_when_it_waits() -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not rig.board.turn & 1:
            assert time.monotonic() < deadline
        traced(rig, "in")

    sending = threading.Thread(target=send_when_it_waits)
    sending.start()
    handed(rig)  # asked for first, then sent
    sending.join()
    handed_in_turn = [("in", "other"), ("other", "in")]
    for name in ("in", "other"):
        traced(rig, name)
    order = tuple(handed(rig)["id"] for _ in range(2))  # ready at once: the second waited
    assert order in handed_in_turn
    ask_again(rig)
    queued, waited, first, second = sorted(told(rig), key=lambda span: span.received_ns)
    assert queued.asked_ns >= queued.sent_ns
    assert waited.asked_ns <= waited.sent_ns
    assert first.asked_ns < first.received_ns
    assert second.asked_ns == second.received_ns


def test_metadata_that_is_handed_on_names_the_message_that_it_came_with(wire: Rigs) -> None:
    rig = wire({"in": 10}, ("out",))
    rig.tell(Trace(on=True))
    other = Context("a" * 32, "b" * 16)
    traced(rig, "in")
    first = handed(rig)
    traced(rig, "in", context=other)
    handed(rig)
    rig.node.send_output("out", 1, first["metadata"])
    rig.node.send_output("out", 1)
    ask_again(rig)
    one, two = told(rig)
    assert sent(rig) == Context(TRACE, one.span, hops=1)
    assert sent(rig) == Context(other.trace, two.span, hops=1)
    assert [len(span.sent) for span in (one, two)] == [0, 1]


def test_a_context_of_the_users_own_is_kept_and_noted(wire: Rigs) -> None:
    rig = wire({"in": 10}, ("out",))
    rig.tell(Trace(on=True))
    traced(rig, "in")
    event = handed(rig)
    within = Context(TRACE, "c" * 16, hops=1)  # a span that the user made below ours
    elsewhere = Context("a" * 32, "b" * 16)
    for context in (within, elsewhere):
        rig.node.send_output("out", 1, {**event["metadata"], CONTEXT: context.text()})
    rig.node.send_output("out", 1, {CONTEXT: "what is this"})
    ask_again(rig)
    (span,) = told(rig)
    assert [(one.output, one.span) for one in span.sent] == [("out", within.span)]
    assert [sent(rig), sent(rig), sent(rig)] == [within, elsewhere, None]


def test_a_raw_sample_and_other_metadata_go_with_the_context(wire: Rigs) -> None:
    rig = wire({"in": 10}, ("out",))
    rig.tell(Trace(on=True))
    traced(rig, "in")
    handed(rig)
    with rig.node.send_output_raw("out", 4, {"frame": 7, "deep": {"a": [None]}}) as memory:
        memory[:] = b"abcd"
    ask_again(rig)
    event = rig.take("out")
    assert event is not None
    assert event["type"] == "INPUT"
    assert event["metadata"]["frame"] == 7
    assert event["metadata"]["deep"] == {"a": [None]}
    (span,) = told(rig)
    assert parse_context(event["metadata"][CONTEXT]) == Context(TRACE, span.span, hops=1)


def test_a_message_that_is_dropped_for_its_deadline_is_no_span(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_DROP_LATE", "1")
    rig = wire({"in": 10})
    rig.tell(Trace(on=True))
    traced(rig, "in", deadline=0)
    ask_again(rig)
    assert told(rig) == []


def test_several_messages_in_one_go_are_linked(wire: Rigs) -> None:
    rig = wire({"a": 10, "b": 10}, ("out",))
    rig.tell(Trace(on=True))
    for name in ("a", "b"):
        traced(rig, name)
    assert len(rig.node.drain()) == 2
    rig.node.send_output("out", 1)
    ask_again(rig)
    first, last = told(rig)
    assert [first.links, last.links] == [[], [first.span]]
    assert [len(first.sent), len(last.sent)] == [0, 1]


def test_a_trace_that_comes_round_is_not_followed_again(wire: Rigs) -> None:
    rig = wire({"in": 10}, ("out",))
    rig.tell(Trace(on=True))
    traced(rig, "in", context=Context(TRACE, SPAN, hops=2))
    handed(rig)
    rig.node.send_output("out", 1)
    out = sent(rig)
    assert out is not None
    assert out.hops == 3
    traced(rig, "in", context=Context(TRACE, "d" * 16, hops=4))
    event = handed(rig)
    assert CONTEXT not in event["metadata"]
    rig.node.send_output("out", 1, event["metadata"])
    assert sent(rig) is None
    traced(rig, "in", context=Context(TRACE, "e" * 16, hops=2))  # on as long a way as the first
    handed(rig)
    rig.node.send_output("out", 1)
    assert sent(rig) is not None
    ask_again(rig)
    assert [span.parent for span in told(rig)] == [SPAN, "d" * 16, "e" * 16]


# ---- where traces begin ----


def test_a_trace_begins_with_the_next_tick_and_only_with_that(wire: Rigs) -> None:
    rig = wire({}, ("out", "depth"), timers={"tick": SECOND_NS // 500})
    rig.node.next(DEADLINE_S)
    rig.tell(Trace(on=True, begin=True))
    event = handed(rig)
    for output in ("out", "depth"):
        rig.node.send_output(output, 1)
    handed(rig)
    (span,) = told(rig)
    assert (span.parent, span.input, span.sent_ns) == ("", "tick", 0)
    assert [one.output for one in span.sent] == ["out", "depth"]
    own = Context(span.trace, span.span)
    assert parse_context(event["metadata"][CONTEXT]) == own
    assert [sent(rig), sent(rig, "depth")] == [own, own]
    assert is_unhooked(rig)
    rig.node.send_output("out", 1)
    assert sent(rig) is None


def test_a_tick_for_which_nothing_is_sent_is_no_trace(wire: Rigs) -> None:
    rig = wire({}, ("out",), timers={"tick": SECOND_NS // 500})
    rig.tell(Trace(on=True, begin=True))
    handed(rig)
    handed(rig)
    assert told(rig) == []
    assert is_unhooked(rig)


def test_without_timers_a_trace_begins_with_the_next_message(wire: Rigs) -> None:
    rig = wire({"in": 10}, ("out",))
    rig.tell(Trace(on=True, begin=True))
    traced(rig, "in")
    handed(rig)
    rig.node.send_output("out", 1)  # belongs to a trace already
    followed = sent(rig)
    assert followed is not None
    assert followed.trace == TRACE
    ask_again(rig)
    rig.node.send_output("out", 1)
    rig.node.send_output("out", 1)
    first, second = told(rig)
    assert first.trace == TRACE
    assert (second.parent, second.input, second.sent_ns) == ("", "", 0)
    assert [sent(rig), sent(rig)] == [Context(second.trace, second.span), None]
    assert is_unhooked(rig)


# ---- other ways to receive ----


def test_what_another_thread_sends_belongs_to_the_message_that_is_handled(wire: Rigs) -> None:
    rig = wire({"in": 10}, ("out",))
    rig.tell(Trace(on=True))
    traced(rig, "in")
    handed(rig)
    thread = threading.Thread(target=rig.node.send_output, args=("out", 1))
    thread.start()
    thread.join()
    ask_again(rig)
    (span,) = told(rig)
    assert sent(rig) == Context(TRACE, span.span, hops=1)


def test_a_thread_that_ended_handles_nothing_any_more(wire: Rigs) -> None:
    rig = wire({"in": 10}, ("out",))
    rig.tell(Trace(on=True))
    traced(rig, "in")
    thread = threading.Thread(target=handed, args=(rig,))
    thread.start()
    thread.join()
    ask_again(rig)
    assert len(told(rig)) == 1
    assert is_unhooked(rig)
    rig.node.send_output("out", 1)
    assert sent(rig) is None


def test_under_asyncio_tasks_send_for_the_message_that_they_were_started_for(wire: Rigs) -> None:
    rig = wire({"in": 10}, ("out",))
    rig.tell(Trace(on=True))
    others = [Context(f"{n + 1:032x}", SPAN) for n in range(3)]
    for context in others:
        traced(rig, "in", context=context)
    rig.send("in", 1)  # the last one is not traced

    async def main() -> None:
        async def answer(number: int) -> None:
            await go[number].wait()
            rig.node.send_output("out", number)

        go = [asyncio.Event() for _ in range(4)]
        tasks = []
        for number in range(4):
            await rig.node.recv_async(DEADLINE_S)
            tasks.append(asyncio.create_task(answer(number)))
        for number, task in enumerate(tasks):
            go[number].set()
            await task

    asyncio.run(main())
    spans = told(rig)
    assert [span.trace for span in spans] == [context.trace for context in others]
    assert [sent(rig) for _ in range(4)] == [
        *(Context(span.trace, span.span, hops=1) for span in spans),
        None,
    ]


def test_under_asyncio_waiting_is_transport_and_being_busy_is_queue(wire: Rigs) -> None:
    rig = wire({"in": 10})
    rig.tell(Trace(on=True))

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.02, traced, rig, "in")
        await rig.node.recv_async(DEADLINE_S)  # asked for first, then sent
        traced(rig, "in")
        await rig.node.recv_async(DEADLINE_S)
        assert await rig.node.recv_async(0.0) is not None  # the time is over

    asyncio.run(main())
    waited, queued = told(rig)
    assert waited.asked_ns < waited.sent_ns
    assert queued.asked_ns > queued.sent_ns


def test_what_follows_an_answer_belongs_to_the_answer(wire: Rigs) -> None:
    rig = wire({"in": 10, "answer": 10}, ("ask", "out"))
    rig.tell(Trace(on=True))
    traced(rig, "in")
    handed(rig)

    def serve() -> None:
        deadline = time.monotonic() + DEADLINE_S
        while (event := rig.take("ask")) is None:
            assert time.monotonic() < deadline
        assert event["type"] == "INPUT"
        asked.append(event["metadata"])
        context = parse_context(event["metadata"][CONTEXT])
        assert context is not None
        served = Context(context.trace, "f" * 16, hops=context.hops + 1)
        traced(rig, "answer", context=served, request_id=event["metadata"]["request_id"])

    asked: list[Any] = []
    server = threading.Thread(target=serve)
    server.start()
    rig.node.request("ask", 1, timeout=DEADLINE_S, input="answer")
    server.join()
    rig.node.send_output("out", 1)
    ask_again(rig)
    first, answer = told(rig)
    assert parse_context(asked[0][CONTEXT]) == Context(TRACE, first.span, hops=1)
    assert (answer.parent, answer.input, answer.links) == ("f" * 16, "answer", [first.span])
    assert answer.asked_ns < answer.received_ns
    assert [one.output for one in first.sent] == ["ask"]
    assert sent(rig) == Context(TRACE, answer.span, hops=3)


def test_messages_that_are_brought_together_are_handled_together(wire: Rigs) -> None:
    rig = wire({"a": 10, "b": 10}, ("out",))
    rig.tell(Trace(on=True))
    for frame in range(2):
        for name in ("a", "b"):
            traced(rig, name, frame=frame)
    rig.close_input("a")
    rig.close_input("b")
    for _group in rig.node.sync(["a", "b"], mode="exact", key="frame"):
        rig.node.send_output("out", 1)
    spans = told(rig)
    assert sorted(span.input for span in spans) == ["a", "a", "b", "b"]
    for first, last in (spans[:2], spans[2:]):
        assert last.links == [first.span]
        assert [len(first.sent), len(last.sent)] == [0, 1]
        assert sent(rig) == Context(TRACE, last.span, hops=1)


def test_requests_that_are_served_are_handled_one_after_the_other(wire: Rigs) -> None:
    rig = wire({"ask": 10}, ("out",))
    rig.tell(Trace(on=True))
    for number in range(2):
        traced(rig, "ask", number, request_id=f"{number}")
    rig.close_input("ask")
    rig.node.serve({"ask": lambda event: event["value"]})
    spans = told(rig)
    assert [[one.output for one in span.sent] for span in spans] == [["out"], ["out"]]
    assert [sent(rig), sent(rig)] == [Context(TRACE, span.span, hops=1) for span in spans]
    assert spans[0].done_ns <= spans[1].received_ns


# ---- how spans are told ----


def test_more_spans_than_may_be_told_are_dropped_and_counted(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "_MOST_HZ", 2.0)
    clock = [100.0]
    monkeypatch.setattr(tracing.time, "monotonic", lambda: clock[0])
    rig = wire({"in": 10})
    rig.tell(Trace(on=True))
    for _ in range(5):
        traced(rig, "in")
        rig.node.try_recv()
    ask_again(rig)
    assert len(told(rig)) == 2
    clock[0] += 10.0
    traced(rig, "in")
    rig.node.try_recv()
    ask_again(rig)
    (batch,) = [one for one in rig.heard() if isinstance(one, Spans)]
    assert (len(batch.spans), batch.lost) == (1, 3)


def test_a_daemon_that_does_not_read_is_not_waited_for(wire: Rigs) -> None:
    rig = wire({"in": 10})
    rig.tell(Trace(on=True))
    rig.node.try_recv()
    link: Any = rig.node._host.link  # type: ignore[attr-defined]
    while link.try_send(Spans([], 0)):
        pass  # until the socket is full
    traced(rig, "in")
    handed(rig)
    ask_again(rig)
    rig.heard()
    traced(rig, "in")
    handed(rig)
    ask_again(rig)
    (batch,) = [one for one in rig.heard() if isinstance(one, Spans) and one.spans]
    assert (len(batch.spans), batch.lost) == (1, 1)


def test_switched_off_it_tells_what_is_open_and_is_gone(wire: Rigs) -> None:
    rig = wire({"in": 10}, ("out",), timers={"tick": 100 * SECOND_NS})
    rig.node.next(DEADLINE_S)
    rig.tell(Trace(on=True, begin=True))
    traced(rig, "in")
    handed(rig)
    rig.tell(Trace(on=False))
    rig.node.send_output("out", 1)
    assert len(told(rig)) == 1
    assert is_unhooked(rig)
    assert sent(rig) is None
    traced(rig, "in")
    assert handed(rig)["metadata"][CONTEXT] == FROM_OUTSIDE.text()
    rig.tell(Trace(on=True))
    traced(rig, "in")
    handed(rig)
    ask_again(rig)
    assert len(told(rig)) == 1


def test_a_node_that_closes_tells_what_is_open(wire: Rigs) -> None:
    rig = wire({"in": 10})
    rig.tell(Trace(on=True))
    traced(rig, "in")
    handed(rig)
    rig.node.close()
    assert len(told(rig)) == 1


def test_switching_off_what_never_was_on_loads_nothing(wire: Rigs) -> None:
    rig = wire({"in": 10})
    rig.tell(Trace(on=False))
    ask_again(rig)
    assert rig.node._host._tracer is None  # type: ignore[attr-defined]

"""Requests: one answer is waited for, and nothing else is touched."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import uuid
from contextlib import contextmanager
from select import poll
from typing import TYPE_CHECKING, Any

import pytest

from dora.errors import (
    DoraError,
    InputError,
    OutputError,
    RemoteError,
    RequestEndedError,
    RequestTimeoutError,
)

from .rig import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .rig import Rig, Rigs


def asked(rig: Rig, output: str = "ask") -> dict[str, Any]:
    """The next request that the node sends."""
    waiting = poll()
    waiting.register(rig.ports[output].fd)
    assert waiting.poll(DEADLINE_S * 1000), "no request came"
    event = rig.take(output)
    assert event is not None
    assert event["type"] == "INPUT"
    return event


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Another thread does this; an exception in it is raised here."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


def echo(rig: Rig, inputs: tuple[str, ...] = ("reply",), count: int = 1) -> Callable[[], None]:
    """A server that answers with the request's own value."""

    def serve() -> None:
        for _ in range(count):
            event = asked(rig)
            for name in inputs:
                rig.send(name, event["value"].to_pylist(), event["metadata"])

    return serve


def taken(rig: Rig) -> list[Any]:
    """All events that `next()` would hand out now: the value, or the type."""
    return [
        event["value"].to_pylist()[0] if event["type"] == "INPUT" else event["type"]
        for event in rig.node.drain()
    ]


def test_a_request_has_a_uuid7_and_its_response_is_returned(wire: Rigs) -> None:
    rig = wire({"reply": 10}, outputs=("ask",))
    with meanwhile(echo(rig)):
        event = rig.node.request("ask", ["hello"], {"k": 1}, timeout=DEADLINE_S)
    assert (event["id"], event["value"].to_pylist()) == ("reply", ["hello"])
    assert event["metadata"]["k"] == 1
    assert uuid.UUID(event["metadata"]["request_id"]).version == 7
    assert rig.node.is_empty()


def test_the_two_halves_of_dora_rs_work_by_hand(
    wire: Rigs, caplog: pytest.LogCaptureFixture
) -> None:
    rig = wire({"reply": 10}, outputs=("ask",))
    request_id = rig.node.send_service_request("ask", b"x", {"request_id": "overwritten", "k": 2})
    event = asked(rig)
    assert uuid.UUID(request_id).version == 7
    assert (event["metadata"]["request_id"], event["metadata"]["k"]) == (request_id, 2)
    rig.node.send_service_response("ask", b"y", event["metadata"])
    assert asked(rig)["metadata"]["request_id"] == request_id
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        rig.node.send_service_response("ask", b"z", {})
    assert "no `request_id`" in caplog.text
    assert bytes(rig.taken("ask").to_numpy()) == b"z"


def test_other_inputs_stay_in_their_queues_and_others_of_its_own_input_in_order(
    wire: Rigs,
) -> None:
    rig = wire({"reply": 10, "image": 1}, outputs=("ask",))
    node = rig.node

    def serve() -> None:
        event = asked(rig)
        rig.send("image", "old")
        rig.send("reply", "first", {})
        rig.send("reply", "second", {"request_id": "of somebody else"})
        rig.send("image", "new")  # the queue of one holds this alone: nobody read ahead
        rig.send("reply", "answer", event["metadata"])
        rig.send("reply", "third", {})

    with meanwhile(serve):
        event = node.request("ask", b"", timeout=DEADLINE_S, input="reply")
    assert event["value"].to_pylist() == ["answer"]
    rig.send("image", "newest")
    got = taken(rig)
    own = ("first", "second", "third")
    assert tuple(value for value in got if value in own) == own
    assert [value for value in got if value.startswith("new")] == ["newest"]


def test_of_what_is_put_aside_meanwhile_no_more_is_kept_than_the_queue_holds(wire: Rigs) -> None:
    rig = wire({"reply": 2, "image": 1}, outputs=("ask",))

    def serve() -> None:
        event = asked(rig)
        for number in range(20):  # all inputs are the server's, so all are read
            rig.send("image", number)
            rig.send("reply", number)
            rig.send("reply", number, {"request_id": "of somebody else"})
            wait_until_read(rig, "image", "reply")
        rig.send("reply", "answer", event["metadata"])

    with meanwhile(serve):
        assert rig.node.request("ask", b"", timeout=DEADLINE_S)["value"].to_pylist() == ["answer"]
    got = rig.node.drain()
    values = [(event["id"], event["value"].to_pylist()[0]) for event in got]  # type: ignore[typeddict-item]
    assert [value for name, value in values if name == "image"] == [19]
    others = [event for event in got if event["id"] == "reply"]  # type: ignore[typeddict-item]
    plain = [e for e in others if "request_id" not in e["metadata"]]  # type: ignore[typeddict-item]
    assert [event["value"].to_pylist() for event in plain] == [[18], [19]]  # type: ignore[typeddict-item]
    assert len(others) == 2 + 20
    assert [rig.board.input(index).overtaken for index in range(2)] == [18, 19]


def wait_until_read(rig: Rig, *inputs: str) -> None:
    """Until the node has read all that was sent to these inputs."""
    deadline = time.monotonic() + DEADLINE_S
    while any(rig.edges[name].waiting() for name in inputs):
        assert time.monotonic() < deadline
        os.sched_yield()


def test_a_timeout_is_an_error_of_its_own_and_a_late_answer_an_ordinary_event(
    wire: Rigs,
) -> None:
    rig = wire({"reply": 10}, outputs=("ask",))
    with pytest.raises(TimeoutError, match=r"`ask` had no answer within 0.01 s") as told:
        rig.node.request("ask", b"", timeout=0.01)
    assert isinstance(told.value, RequestTimeoutError | RuntimeError)
    echo(rig)()
    event = rig.node.next(DEADLINE_S)
    assert event is not None
    assert event["type"] == "INPUT"
    with pytest.raises(ValueError, match="finite number"):
        rig.node.request("ask", b"", timeout=-1.0)


def test_stop_ends_the_wait_and_is_still_handed_out(wire: Rigs) -> None:
    rig = wire({"reply": 10}, outputs=("ask",))

    def stop() -> None:
        asked(rig)
        rig.stop()

    with meanwhile(stop), pytest.raises(RequestEndedError, match="the dataflow stops") as told:
        rig.node.request("ask", b"")
    assert isinstance(told.value, DoraError)
    event = rig.node.next(DEADLINE_S)
    assert event == {"kind": "dora", "id": "MANUAL", "type": "STOP"}
    with pytest.raises(RequestEndedError):
        rig.node.request("ask", b"")


def test_a_server_that_is_gone_ends_the_wait_and_all_closing_events_follow(wire: Rigs) -> None:
    rig = wire({"reply": 10}, outputs=("ask",))

    def leave() -> None:
        asked(rig)
        rig.close_input("reply")

    with meanwhile(leave), pytest.raises(RequestEndedError, match=r"nothing more .* `reply`"):
        rig.node.request("ask", b"", input="reply")
    assert taken(rig) == ["INPUT_CLOSED", "STOP"]


def test_many_threads_ask_while_another_sits_in_next(wire: Rigs) -> None:
    rig = wire({"reply": 64, "image": 10}, outputs=("ask",), queue_size=64)
    node, threads, each = rig.node, 4, 25
    handed: list[Any] = []

    def receive() -> None:
        while (event := node.next(DEADLINE_S)) is not None and event["type"] == "INPUT":
            handed.append(event["value"].to_pylist()[0])

    def ask(name: int) -> None:
        for number in range(each):
            event = node.request("ask", [f"{name}/{number}"], timeout=DEADLINE_S)
            assert event["value"].to_pylist() == [f"{name}/{number}"]

    def client(name: int) -> Callable[[], None]:
        return lambda: ask(name)

    with meanwhile(receive):
        others = (meanwhile(client(1)), meanwhile(client(2)), meanwhile(client(3)))
        server = meanwhile(echo(rig, count=threads * each))
        with server, meanwhile(client(0)), others[0], others[1], others[2]:
            for number in range(10):
                rig.send("image", number)
        rig.stop()
    assert set(handed) <= set(range(10))


def test_a_thread_in_next_gets_what_comes_while_another_waits_for_an_answer(wire: Rigs) -> None:
    rig = wire({"reply": 10, "image": 10}, outputs=("ask",))
    node = rig.node
    first = threading.Thread(target=lambda: node.request("ask", b"", timeout=DEADLINE_S))
    first.start()
    request = asked(rig)
    rig.send("image", "not held up")
    event = node.next(DEADLINE_S)
    assert event is not None
    assert event["id"] == "image"
    rig.send("reply", 1, request["metadata"])
    first.join(DEADLINE_S)
    assert not first.is_alive()


def test_in_asyncio_requests_run_beside_each_other_and_beside_the_loop_over_events(
    wire: Rigs,
) -> None:
    rig = wire({"reply": 64, "image": 10}, outputs=("ask",), queue_size=64)
    node = rig.node

    async def main() -> tuple[list[Any], list[Any]]:
        async def receive() -> list[Any]:
            return [event["value"].to_pylist()[0] async for event in node if "value" in event]

        receiving = asyncio.create_task(receive())
        answers = await asyncio.gather(
            *(node.request_async("ask", [number], timeout=DEADLINE_S) for number in range(20))
        )
        rig.stop()
        return [event["value"].to_pylist()[0] for event in answers], await receiving

    with meanwhile(echo(rig, count=20)):
        rig.send("image", "seen")
        answers, handed = asyncio.run(main())
    assert answers == list(range(20))
    assert handed == ["seen"]


def test_an_async_request_times_out_too(wire: Rigs) -> None:
    rig = wire({"reply": 10}, outputs=("ask",))
    with pytest.raises(RequestTimeoutError):
        asyncio.run(rig.node.request_async("ask", b"", timeout=0.01))


def test_requests_that_nobody_can_answer_are_errors_at_once(wire: Rigs) -> None:
    rig = wire({"reply": 10}, outputs=("ask",))
    with pytest.raises(OutputError, match="nothing can answer on `other`"):
        rig.node.request("other", b"")
    with pytest.raises(OutputError, match=r"`aks`: it is no output .* did you mean `ask`"):
        rig.node.request("aks", b"")
    with pytest.raises(InputError, match=r"Input `replay` .* did you mean `reply`"):
        rig.node.request("ask", b"", input="replay")


def test_serve_answers_each_request_and_an_exception_goes_to_the_caller(wire: Rigs) -> None:
    rig = wire({"add": 10, "image": 10}, outputs=("sum",))

    def add(event: Any) -> Any:
        left, right = event["value"].to_pylist()
        if right is None:
            raise ValueError("one of them is missing")
        return [left + right]

    rig.send("add", [1, 2], {"request_id": "one", "k": 7})
    rig.send("image", "stays")
    rig.send("add", [1, None], {"request_id": "two"})
    rig.send("add", [3, 4], {"request_id": "three"})
    rig.close_input("add")
    rig.node.serve({"add": add})
    first, second, third = (asked(rig, "sum") for _ in range(3))
    assert first["value"].to_pylist() == [3]
    assert (first["metadata"]["request_id"], first["metadata"]["k"]) == ("one", 7)
    assert second["metadata"]["error"] == "ValueError: one of them is missing"
    assert third["value"].to_pylist() == [7]
    assert taken(rig) == ["stays"]


def test_an_error_at_the_server_is_raised_at_the_caller(wire: Rigs) -> None:
    rig = wire({"reply": 10}, outputs=("ask",))

    def fail() -> None:
        rig.send("reply", b"", {**asked(rig)["metadata"], "error": "ValueError: no"})

    with meanwhile(fail), pytest.raises(RemoteError, match="ValueError: no"):
        rig.node.request("ask", b"", timeout=DEADLINE_S)


def test_serve_ends_at_stop_which_is_left_for_next(wire: Rigs) -> None:
    rig = wire({"add": 10}, outputs=("sum",))
    rig.stop()
    rig.node.serve({"add": lambda _event: b""})
    assert taken(rig) == ["STOP"]


def test_serve_hands_other_events_to_who_asks_for_them(wire: Rigs) -> None:
    rig = wire({"add": 10, "image": 10}, outputs=("sum",))
    others: list[str] = []
    rig.send("image", 1)
    rig.send("add", [1, 2], {"request_id": "one"})
    with meanwhile(lambda: (asked(rig, "sum"), rig.stop())):
        rig.node.serve(
            {"add": lambda _event: b"done"}, others=lambda event: others.append(event["type"])
        )
    assert others == ["INPUT", "STOP"]


def test_serve_needs_inputs_that_exist_functions_and_one_output(wire: Rigs) -> None:
    rig = wire({"add": 10}, outputs=("a", "b"))

    async def handler(_event: Any) -> bytes:
        return b""

    with pytest.raises(InputError, match=r"Input `ad` .* did you mean `add`"):
        rig.node.serve({"ad": lambda _event: b""}, "a")
    with pytest.raises(OutputError, match=r"name the output .* this node has 2 \(a, b\)"):
        rig.node.serve({"add": lambda _event: b""})
    with pytest.raises(InputError, match="`async`"):
        rig.node.serve({"add": handler}, "a")


def test_an_answer_costs_one_round_trip_and_no_polling(wire: Rigs) -> None:
    rig = wire({"reply": 10}, outputs=("ask",))
    with meanwhile(echo(rig, count=50)):
        start = time.process_time()
        for _ in range(50):
            rig.node.request("ask", b"", timeout=DEADLINE_S)
    assert time.process_time() - start < DEADLINE_S / 4

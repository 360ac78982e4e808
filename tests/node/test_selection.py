"""Reading some inputs apart, beside whoever reads the rest: threads, tasks, the end of the node."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from dora.errors import InputError, NodeClosedError, OutputError, RequestEndedError

from .rig import DEADLINE_S
from .test_services import asked, meanwhile, taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.node.node import Node

    from .rig import Rig, Rigs


def stamped(rig: Rig, *names: str) -> None:
    for name in names:
        rig.send(name, [name], {"stamp": 1})


def asleep_in(thread: threading.Thread) -> None:
    """Wait until a thread sleeps in the kernel."""
    deadline = threading.Event()
    for _ in range(int(DEADLINE_S * 1000)):
        with open(f"/proc/self/task/{thread.native_id}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "S":
                return
        deadline.wait(0.001)
    raise AssertionError("the thread does not sleep")


@pytest.mark.parametrize("in_asyncio", [False, True])
def test_what_is_synchronised_comes_also_while_another_thread_sits_in_next(
    wire: Rigs, in_asyncio: bool
) -> None:
    rig = wire({"camera": 10, "lidar": 10, "other": 10})
    groups: list[Any] = []
    one = threading.Event()

    def synchronise() -> None:
        for group in rig.node.sync(["camera", "lidar"], mode="exact", key="stamp"):
            groups.append(set(group))
            one.set()

    async def synchronise_in_asyncio() -> None:
        async for group in rig.node.sync(["camera", "lidar"], mode="exact", key="stamp"):
            groups.append(set(group))
            one.set()

    def work() -> None:
        asyncio.run(synchronise_in_asyncio()) if in_asyncio else synchronise()

    handed: list[Any] = []
    apart, receiver = (
        threading.Thread(target=work),
        threading.Thread(target=lambda: handed.extend(rig.node)),
    )
    apart.start()
    asleep_in(apart)
    receiver.start()
    asleep_in(receiver)
    stamped(rig, "camera", "lidar")
    assert one.wait(DEADLINE_S), "the group did not come"
    rig.stop()
    for thread in (apart, receiver):
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    assert groups == [{"camera", "lidar"}]
    assert [event["type"] for event in handed] == ["STOP"]


def test_a_goal_at_work_sees_its_cancellation_while_another_thread_sits_in_next(wire: Rigs) -> None:
    rig = wire({"goal": 10, "cancel": 10}, outputs=("feedback", "result"))
    receiver = threading.Thread(target=lambda: list(rig.node))

    def work(goal: Any) -> None:
        receiver.start()
        asleep_in(receiver)
        rig.send("cancel", b"", {"goal_id": goal.id})
        end = time.monotonic() + DEADLINE_S
        while not goal.cancel_requested:
            assert time.monotonic() < end
        goal.cancel()

    rig.send("goal", b"", {"goal_id": "one"})
    rig.close_input("goal")
    rig.node.serve_goals("goal", work)
    assert asked(rig, "result")["metadata"]["goal_status"] == "canceled"
    rig.stop()
    receiver.join(DEADLINE_S)
    assert not receiver.is_alive()


def test_an_input_is_read_by_one_pattern_at_a_time(wire: Rigs) -> None:
    rig = wire({"audio": 10, "other": 10})
    keys = {"session_id": "s", "segment_id": 0}
    rig.send("audio", ["first"], {**keys, "seq": 0})
    rig.send("audio", ["second"], {**keys, "seq": 1})
    chunks = iter(rig.node.stream_reader("audio"))
    next(chunks)
    with pytest.raises(InputError, match="`audio` is already read by another"):
        next(iter(rig.node.stream_reader("audio")))
    chunks.close()  # type: ignore[attr-defined]
    assert next(iter(rig.node.stream_reader("audio"))).value.to_pylist() == ["second"]


@pytest.mark.parametrize("look", ["is_empty", "request"])
def test_an_input_that_was_closed_by_another_reader_is_not_read_again(
    wire: Rigs, look: str
) -> None:
    rig = wire({"image": 10, "reply": 10}, outputs=("ask",))
    rig.close_input("reply")
    assert not rig.node.is_empty()  # now it is known to be ready
    if look == "request":
        with pytest.raises(RequestEndedError):
            rig.node.request("ask", b"", input="reply")
    assert taken(rig) == ["INPUT_CLOSED"]
    rig.send("image", "goes on")
    event = rig.node.next(DEADLINE_S)
    assert event is not None
    assert event["type"] == "INPUT"


PATTERNS: dict[str, Callable[[Node], object]] = {
    "request": lambda node: node.request("ask", b""),
    "send_goal": lambda node: node.send_goal("ask", b""),
    "sync": lambda node: list(node.sync(["reply", "b"], mode="exact")),
    "serve": lambda node: node.serve({"reply": print}),
    "serve_goals": lambda node: node.serve_goals("reply", print),
    "stream_reader": lambda node: list(node.stream_reader("reply")),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_closed_node_says_so_to_every_pattern(wire: Rigs, pattern: str) -> None:
    rig = wire({"reply": 10, "b": 10}, outputs=("ask",))
    rig.node.close()
    with pytest.raises(NodeClosedError, match="it was closed"):
        PATTERNS[pattern](rig.node)


def test_a_forked_child_takes_no_message_from_its_parent(wire: Rigs) -> None:
    rig = wire({"reply": 10, "b": 10}, outputs=("ask",))
    rig.send("reply", "stays")
    child = os.fork()
    if child == 0:
        try:
            list(rig.node.stream_reader("reply"))
        except NodeClosedError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert taken(rig) == ["stays"]


def test_closing_the_node_ends_a_request_in_another_thread(wire: Rigs) -> None:
    rig = wire({"reply": 10}, outputs=("ask",))

    def ask() -> None:
        with pytest.raises(RequestEndedError):
            rig.node.request("ask", b"")

    with meanwhile(ask):
        asked(rig)
        rig.node.close()


def test_a_request_ends_when_its_server_does_though_another_thread_sits_in_next(wire: Rigs) -> None:
    rig = wire({"reply": 10, "other": 10}, outputs=("ask",))
    handed: list[Any] = []
    ended = threading.Event()

    def ask() -> None:
        with pytest.raises(RequestEndedError, match="nothing more comes on `reply`"):
            rig.node.request("ask", b"", input="reply")
        ended.set()

    with meanwhile(ask):
        asked(rig)
        with meanwhile(lambda: handed.extend(rig.node)):
            rig.close_input("reply")
            assert ended.wait(DEADLINE_S)
            rig.stop()
    assert [event["type"] for event in handed] == ["INPUT_CLOSED", "STOP"]


def test_a_request_that_would_not_be_sent_is_an_error_at_once(wire: Rigs) -> None:
    rig = wire({"reply": 10}, outputs=("ask",))
    with pytest.raises(OutputError, match=r"`aks`: it is no output .* did you mean `ask`"):
        rig.node.request("aks", b"", input="reply")
    rig.node.close_outputs("ask")
    with pytest.raises(OutputError, match="this node has closed it"):
        rig.node.request("ask", b"", input="reply")


def test_a_very_long_timeout_is_no_error(wire: Rigs) -> None:
    rig = wire({"reply": 10}, outputs=("ask",))
    answers: list[Any] = []
    client = threading.Thread(
        target=lambda: answers.append(rig.node.request("ask", b"", timeout=1e10))
    )
    client.start()
    request = asked(rig)
    asleep_in(client)
    rig.send("reply", 1, request["metadata"])
    client.join(DEADLINE_S)
    assert [event["value"].to_pylist() for event in answers] == [[1]]


@pytest.mark.parametrize("in_asyncio", [False, True])
def test_one_may_wait_for_the_result_while_another_loops_over_the_feedback(
    wire: Rigs, in_asyncio: bool
) -> None:
    rig = wire({"feedback": 10, "result": 10}, outputs=("goal", "cancel"))
    goal = rig.node.send_goal("goal", b"")
    keys = {"goal_id": goal.id}
    feedback: list[Any] = []
    first = threading.Event()

    def note(event: Any) -> None:
        feedback.append(event["value"].to_pylist()[0])
        first.set()

    def loop() -> None:
        for event in goal:
            note(event)

    async def main() -> None:
        async def loop() -> None:
            async for event in goal:
                note(event)

        await asyncio.wait_for(asyncio.gather(loop(), goal.result_async()), DEADLINE_S)

    def serve() -> None:
        rig.send("feedback", 1, keys)
        assert first.wait(DEADLINE_S)
        rig.send("feedback", 2, keys)
        rig.send("result", 3, {**keys, "goal_status": "succeeded"})

    with meanwhile(serve):
        if in_asyncio:
            asyncio.run(main())
        else:
            with meanwhile(loop):
                assert goal.result(DEADLINE_S)["value"].to_pylist() == [3]
    assert feedback == [1, 2]


def test_what_a_handler_returns_and_cannot_be_sent_is_an_error_at_the_caller(wire: Rigs) -> None:
    rig = wire({"add": 10, "goal": 10}, outputs=("sum", "feedback", "result"))
    rig.send("add", 1, {"request_id": "one"})
    rig.send("goal", 1, {"goal_id": "two"})
    rig.close_input("add")
    rig.close_input("goal")
    rig.node.serve({"add": lambda _event: object()}, "sum")
    assert asked(rig, "sum")["metadata"]["error"].startswith("PayloadTypeError")
    rig.node.serve_goals("goal", lambda _goal: object())
    result = asked(rig, "result")["metadata"]
    assert result["error"].startswith("PayloadTypeError")
    assert result["goal_status"] == "aborted"


def test_a_handler_that_returns_nothing_answers_with_an_empty_message(wire: Rigs) -> None:
    rig = wire({"set": 10}, outputs=("done",))
    rig.send("set", 1, {"request_id": "one"})
    rig.close_input("set")
    rig.node.serve({"set": lambda _event: None})
    answer = asked(rig, "done")
    assert len(answer["value"]) == 0
    assert "error" not in answer["metadata"]


def test_others_is_refused_where_it_would_not_be_called(wire: Rigs) -> None:
    rig = wire({"camera": 10, "lidar": 10})

    async def main() -> None:
        async for _group in rig.node.sync(["camera", "lidar"], mode="exact", others=print):
            pass

    with pytest.raises(ValueError, match="`others` is for a plain `for`"):
        asyncio.run(main())

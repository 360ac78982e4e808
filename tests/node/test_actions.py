"""Actions: a goal with its feedback, its result, its cancellation; both sides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from dora.errors import InputError, RemoteError, RequestEndedError, RequestTimeoutError

from .rig import DEADLINE_S
from .test_services import asked, meanwhile, taken

if TYPE_CHECKING:
    from dora.node.actions import ServedGoal

    from .rig import Rig, Rigs

CLIENT: dict[str, Any] = {"feedback": 10, "result": 10}


def client(wire: Rigs) -> Rig:
    return wire(CLIENT, outputs=("goal", "cancel"))


def finish(rig: Rig, goal: dict[str, Any], status: str = "succeeded", **more: Any) -> None:
    metadata = {"goal_id": goal["metadata"]["goal_id"], "goal_status": status, **more}
    rig.send("result", [status], metadata)


def test_feedback_is_looped_over_and_the_result_waited_for(wire: Rigs) -> None:
    rig = client(wire)

    def serve() -> None:
        goal = asked(rig, "goal")
        for number in range(3):
            rig.send("feedback", [number], {"goal_id": goal["metadata"]["goal_id"]})
        rig.send("feedback", ["of another"], {"goal_id": "another"})
        finish(rig, goal)

    goal = rig.node.send_goal("goal", [10], {"k": 1})
    assert goal.status is None
    with meanwhile(serve):
        assert goal.result(DEADLINE_S)["value"].to_pylist() == ["succeeded"]
    assert [event["value"].to_pylist() for event in goal] == [[0], [1], [2]]
    goal.close()
    assert goal.status == "succeeded"
    assert taken(rig) == ["of another"]


def test_a_goal_is_cancelled_by_its_id_and_says_so(wire: Rigs) -> None:
    rig = client(wire)
    with rig.node.send_goal("goal", b"") as goal:
        request = asked(rig, "goal")
        goal.cancel()
        assert asked(rig, "cancel")["metadata"]["goal_id"] == request["metadata"]["goal_id"]
        finish(rig, request, "canceled")
        assert goal.status == "canceled"
        assert goal.result()["value"].to_pylist() == ["canceled"]
        goal.cancel()  # too late: nothing is sent
        assert rig.take("cancel") is None


def test_a_result_that_does_not_come_is_an_error_by_its_reason(wire: Rigs) -> None:
    rig = client(wire)
    goal = rig.node.send_goal("goal", b"")
    with pytest.raises(RequestTimeoutError, match="the goal on `goal`"):
        goal.result(0.01)
    finish(rig, asked(rig, "goal"), "aborted", error="ValueError: too far")
    with pytest.raises(RemoteError, match="ValueError: too far"):
        goal.result(DEADLINE_S)
    assert goal.status == "aborted"
    stopped = rig.node.send_goal("goal", b"")
    rig.stop()
    with pytest.raises(RequestEndedError, match="the dataflow stops"):
        stopped.result()
    with pytest.raises(RequestEndedError):
        list(stopped)


def test_what_comes_for_a_closed_goal_is_handed_out_by_next(wire: Rigs) -> None:
    rig = client(wire)
    goal = rig.node.send_goal("goal", b"")
    request = asked(rig, "goal")
    goal.close()
    finish(rig, request)
    assert taken(rig) == ["succeeded"]


def test_two_goals_at_once_in_asyncio(wire: Rigs) -> None:
    rig = client(wire)

    def serve() -> None:
        requests = [asked(rig, "goal"), asked(rig, "goal")]
        for request in reversed(requests):
            rig.send("feedback", request["value"].to_pylist(), request["metadata"])
            finish(rig, request)

    async def run(name: str) -> Any:
        goal = rig.node.send_goal("goal", [name])
        feedback = [event["value"].to_pylist() async for event in goal]
        return feedback, (await goal.result_async(DEADLINE_S))["metadata"]["goal_status"]

    async def main() -> Any:
        return await asyncio.gather(run("a"), run("b"))

    with meanwhile(serve):
        assert asyncio.run(main()) == [([["a"]], "succeeded"), ([["b"]], "succeeded")]


def server(wire: Rigs) -> Rig:
    return wire({"goal": 10, "cancel": 10}, outputs=("feedback", "result"))


def test_the_server_sends_feedback_and_results_with_their_status(wire: Rigs) -> None:
    rig = server(wire)

    def work(goal: ServedGoal) -> Any:
        match goal.value.to_pylist()[0]:
            case "count":
                goal.feedback([1], {"k": 2})
                return ["counted"]
            case "fail":
                raise ValueError("too far")
            case "abort":
                goal.abort(["cannot"])
            case "cancel":
                return goal.cancel(["gave up"])
        return None

    for name in ("count", "fail", "abort", "cancel"):
        rig.send("goal", [name], {"goal_id": name})
    rig.close_input("goal")
    rig.node.serve_goals("goal", work)
    feedback = asked(rig, "feedback")
    assert feedback["metadata"]["goal_id"] == "count"
    assert feedback["metadata"]["k"] == 2
    results = [asked(rig, "result") for _ in range(4)]
    assert [(r["metadata"]["goal_id"], r["metadata"]["goal_status"]) for r in results] == [
        ("count", "succeeded"),
        ("fail", "aborted"),
        ("abort", "aborted"),
        ("cancel", "canceled"),
    ]
    assert results[0]["value"].to_pylist() == ["counted"]
    assert results[1]["metadata"]["error"] == "ValueError: too far"
    assert rig.take("result") is None


def test_a_goal_at_work_sees_its_cancellation_and_one_that_waits_too(wire: Rigs) -> None:
    rig = server(wire)
    seen = []

    def work(goal: ServedGoal) -> Any:
        if goal.id == "first":
            assert not goal.cancel_requested
            rig.send("cancel", b"", {"goal_id": "second"})
            rig.send("cancel", b"", {"goal_id": "first"})
        seen.append((goal.id, goal.cancel_requested))
        goal.cancel()

    for name in ("first", "second", "third"):
        rig.send("goal", b"", {"goal_id": name})
    rig.close_input("goal")
    rig.node.serve_goals("goal", work)
    assert seen == [("first", True), ("second", True), ("third", False)]


def test_a_goal_at_work_sees_that_the_dataflow_stops_even_if_nobody_can_cancel(wire: Rigs) -> None:
    rig = server(wire)
    seen = []

    def work(goal: ServedGoal) -> None:
        rig.close_input("cancel")
        seen.append(goal.cancel_requested)
        rig.stop()
        seen.append(goal.cancel_requested)

    rig.send("goal", b"", {"goal_id": "first"})
    rig.send("goal", b"", {"goal_id": "is not begun"})
    rig.node.serve_goals("goal", work)
    assert seen == [False, True]
    assert taken(rig)[-1] == "STOP"


def test_a_goal_has_one_result_and_needs_an_input(wire: Rigs) -> None:
    rig = server(wire)

    def work(goal: ServedGoal) -> None:
        goal.succeed(b"")
        with pytest.raises(RuntimeError, match="was sent already"):
            goal.abort()

    rig.send("goal", b"", {"goal_id": "first"})
    rig.close_input("goal")
    rig.node.serve_goals("goal", work)
    assert asked(rig, "result")["metadata"]["goal_status"] == "succeeded"
    with pytest.raises(InputError, match="did you mean `goal`"):
        rig.node.serve_goals("gaol", work)

"""What the page is told of a dataflow, and which edges want to be looked at."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.monitor.states import EDGE, FLOW, LATER, START, delays, later

from dora.monitor.figures import figures
from dora.web.snapshot import listed, snapshot

replace = msgspec.structs.replace


def edge_after(**fields: Any) -> dict[str, Any]:
    """The edge of the dataflow, two seconds in which this happened."""
    (edge,) = snapshot(figures(START, later(START, 2.0, fields)))["edges"]
    return dict(edge)


def test_everything_that_the_page_shows_is_told_as_plain_json() -> None:
    told = msgspec.json.decode(msgspec.json.encode(snapshot(figures(START, LATER))))
    assert (told["flow"], told["name"], told["phase"]) == ("0190-aa", "robot", "running")
    camera = told["nodes"][0]
    assert (camera["id"], camera["status"], camera["cpu"]) == ("camera", "Running", 150.0)
    assert camera["inputs"] == [{"id": "tick", "source": "dora/timer/millis/33"}]
    assert told["outputs"][0] == {
        "node": "camera",
        "output": "image",
        "hz": 50.0,
        "bytes_s": 27_500_000.0,
        "sent": 100,
    }
    edge = told["edges"][0]
    assert (edge["from"], edge["output"], edge["to"], edge["input"]) == (
        "camera",
        "image",
        "plot",
        "image",
    )
    assert (edge["hz"], edge["dropped_hz"], edge["queue"]) == (45.0, 2.0, 6)


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        ({"received": 60, "latency": delays(k16=60)}, ""),
        ({"received": 60, "dropped": 1, "latency": delays(k16=60)}, "drops"),
        ({"received": 60, "latency": delays(k28=60)}, "slow"),  # 134 to 268 ms
        ({"received": 200, "latency": delays(k24=200)}, "slow"),  # 8 to 17 ms, at 100 a second
        ({"received": 20, "latency": delays(k24=20)}, ""),  # the same, at 10 a second
        ({"received": 20000, "latency": delays(k20=20000)}, ""),  # a millisecond is not slow
        ({"broken": True, "dropped": 5}, "silent"),
        ({}, ""),
    ],
)
def test_an_edge_that_loses_or_delays_messages_stands_out(
    happened: dict[str, Any], told: str
) -> None:
    assert edge_after(**happened)["trouble"] == told


def test_what_was_slow_before_and_is_idle_now_is_not_slow() -> None:
    slow = later(START, 2.0, {"received": 60, "latency": delays(k28=60)})
    idle = replace(slow, now_ns=slow.now_ns + 10**9)
    assert snapshot(figures(slow, idle))["edges"][0]["trouble"] == ""


def test_closed_edges_are_told_unless_they_were_wired_anew_and_log_edges_never() -> None:
    closed, anew = replace(EDGE, open=False), replace(EDGE, number=1)
    log = replace(EDGE, number=2, sender="dora", output="logs")
    for edges, numbers in (([closed, log], [0]), ([closed, anew], [1]), ([EDGE, anew], [0, 1])):
        told = snapshot(figures(None, replace(START, edges=edges)))
        assert [edge["id"] for edge in told["edges"]] == numbers


def test_the_list_of_dataflows_is_short() -> None:
    (told,) = listed([FLOW])
    assert (told["id"], told["name"], told["nodes"]) == ("0190-aa", "robot", 3)

"""`MockNode` is a node that is given its inputs, and whose outputs a test can see."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dora.errors import PayloadTypeError
from dora.node.node import Node
from dora.testing import MockNode


def test_inputs_come_in_order_and_stop_comes_last() -> None:
    with MockNode([("a", 1), ("b", pa.array([2]))]) as node:
        assert [(event["type"], event.get("id")) for event in node] == [
            ("INPUT", "a"),
            ("INPUT", "b"),
            ("STOP", "ALL_INPUTS_CLOSED"),
        ]
        assert node.next() is None
        assert isinstance(node, Node)


def test_event_dicts_are_handed_on_as_they_are_and_their_stop_is_the_stop() -> None:
    marker = object()
    given: list[Any] = [
        {"type": "INPUT_CLOSED", "id": "image"},
        {"type": "PARAM_UPDATE", "id": "gain", "value": marker},
        {"type": "STOP", "id": "MANUAL"},
    ]
    node = MockNode(given)
    found: list[Any] = list(node)
    assert [event["type"] for event in found] == ["INPUT_CLOSED", "PARAM_UPDATE", "STOP"]
    assert found[1]["value"] is marker
    assert found[2]["id"] == "MANUAL"


def test_metadata_goes_along_with_each_input_as_a_copy() -> None:
    node = MockNode([("a", 1), ("b", 2, {"own": True})], {"encoding": "rgb8"})
    first, second, _ = node
    assert first["type"] == second["type"] == "INPUT"
    first["metadata"]["encoding"] = "changed"
    assert second["metadata"]["own"] is True
    assert "encoding" not in second["metadata"]
    assert isinstance(first["metadata"]["timestamp"], datetime)
    assert first["metadata"]["type_info"] == "int64"


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (np.zeros((2, 3), np.float32), np.ndarray),
        (pa.array(["x"]), pa.StringArray),
        (b"raw", pa.UInt8Array),
        ({"k": 1}, pa.StructArray),
    ],
)
def test_values_are_those_of_a_dataflow_in_both_directions(value: Any, arrives: type) -> None:
    node = MockNode([("in", value)])
    event = node.next()
    assert event is not None
    assert event["type"] == "INPUT"
    assert type(event["value"]) is arrives
    node.send_output("out", value, {"n": 1})
    (kept,) = node.outputs["out"]
    assert type(kept) is arrives
    if isinstance(value, np.ndarray):
        assert (kept.shape, kept.dtype) == (value.shape, value.dtype)
    assert node.sent[0]["metadata"]["n"] == 1


def test_what_is_sent_is_kept_as_it_was_then() -> None:
    node = MockNode([])
    image = np.zeros(3)
    node.send_output("out", image)
    image[:] = 1
    assert node.outputs["out"][0].tolist() == [0, 0, 0]


def test_loans_and_raw_samples_are_kept_too() -> None:
    node = MockNode([])
    lent = node.loan((2, 2))
    lent[:] = 3
    node.send_output("lent", lent)
    with node.send_output_raw("raw", 2) as buffer:
        buffer[:] = b"hi"
    assert node.outputs["lent"][0].tolist() == [[3, 3], [3, 3]]
    assert bytes(node.outputs["raw"][0].to_numpy()) == b"hi"


def test_what_cannot_be_sent_fails_in_the_test() -> None:
    with pytest.raises(PayloadTypeError):
        MockNode([]).send_output("out", object())


def test_every_way_to_receive_works_and_none_waits() -> None:
    async def receive() -> list[str]:
        node = MockNode([("a", 1), ("b", 2)])
        first = await node.recv_async(timeout=5)
        assert first is not None
        return [str(first["type"]), *[str(event["type"]) async for event in node]]

    assert asyncio.run(receive()) == ["INPUT", "INPUT", "STOP"]
    node = MockNode([("a", 1), ("b", 2), ("c", 3)])
    assert not node.is_empty()
    first, second = node.next(timeout=0), node.try_recv()
    assert first is not None
    assert second is not None
    assert [first.get("id"), second.get("id")] == ["a", "b"]
    assert [event["type"] for event in node.drain()] == ["INPUT", "STOP"]
    assert node.is_empty()
    assert node.next() is None


def test_requests_are_noted_and_answered_before_the_stop() -> None:
    node = MockNode([("go", 1)], service_responses={"ask": [pa.array([7])]})
    seen: list[Any] = []
    for event in node:
        if event["type"] == "INPUT" and event["id"] == "go":
            request_id = node.send_service_request("ask", pa.array([1]), {"x": 1})
            unanswered = node.send_service_request("ask", pa.array([2]))
        seen.append(event)
    assert [event["type"] for event in seen] == ["INPUT", "INPUT", "STOP"]
    assert seen[1]["id"] == "ask"
    assert seen[1]["metadata"]["request_id"] == request_id != unanswered
    assert seen[1]["value"].to_pylist() == [7]
    assert [request["request_id"] for request in node.service_requests] == [request_id, unanswered]
    assert node.service_requests[0]["output_id"] == "ask"
    assert node.service_requests[0]["metadata"] == {"x": 1}
    node.send_service_response("answer", pa.array([3]), {"request_id": "r"})
    assert node.service_responses_sent[0]["request_id"] == "r"
    assert node.service_responses_sent[0]["data"].to_pylist() == [3]


def test_log_lines_are_kept_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    node = MockNode([])
    node.log("info", "hello", target="arm", fields={"joint": "1"})
    node.log_error("oh")
    assert node.logs == [
        {"level": "info", "message": "hello", "target": "arm", "fields": {"joint": "1"}},
        {"level": "error", "message": "oh", "target": None, "fields": {}},
    ]
    assert capfd.readouterr() == ("", "")


def test_facts_are_those_given_and_empty_otherwise() -> None:
    node = MockNode([])
    facts = (node.dataflow_id(), node.node_config(), node.dataflow_descriptor())
    assert facts == ("", {}, {})
    assert (node.is_restart(), node.restart_count()) == (False, 0)
    node = MockNode(
        [],
        dataflow_descriptor={"nodes": []},
        dataflow_id="d",
        node_config={"inputs": {}},
        is_restart=True,
        restart_count=2,
    )
    facts = (node.dataflow_id(), node.node_config(), node.dataflow_descriptor())
    assert facts == ("d", {"inputs": {}}, {"nodes": []})
    assert (node.is_restart(), node.restart_count()) == (True, 2)


def test_a_pair_may_be_a_list_as_in_dora_rs() -> None:
    event = MockNode([["a", pa.array([1])]]).next()
    assert event is not None
    assert event["type"] == "INPUT"
    assert (event["id"], event["value"].to_pylist()) == ("a", [1])


@pytest.mark.parametrize("wrong", ["image", ("image",), (1, 2), {"id": "image"}, 5])
def test_a_wrong_input_is_named(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"inputs\[1\]"):
        MockNode([("a", 1), wrong])


def test_a_process_that_mocks_keeps_its_own_logging() -> None:
    code = (
        "import logging, sys\nbefore = sys.exit\nfrom dora.testing import MockNode\n"
        "MockNode([]).close()\n"
        "print(logging.getLogger().handlers, logging.root.level, sys.exit is before)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[] 30 True"

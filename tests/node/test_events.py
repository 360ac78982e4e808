"""What a node is handed, in which order, and when its stream ends."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dora.wire import messages

from .rig import DEADLINE_S, Rig, Rigs


def kinds(rig: Rig) -> list[str]:
    """The types (and ids) of all events until the stream ends."""
    return [f"{event['type']} {event.get('id', '')}".strip() for event in rig.node]


def error_of(event: Any) -> str:
    assert event["type"] == "ERROR"
    return str(event["error"])


def test_an_input_event_is_a_plain_dict_with_the_keys_of_dora_rs(wire: Rigs) -> None:
    rig = wire({"image": 10})
    before = datetime.now(UTC)
    rig.send("image", np.zeros((2, 3), np.uint8), {"encoding": "rgb8", "seq": 5})
    event = rig.node.next(timeout=DEADLINE_S)
    after = datetime.now(UTC)
    assert type(event) is dict
    assert list(event) == ["kind", "id", "metadata", "type", "value"]
    assert (event["kind"], event["id"], event["type"]) == ("dora", "image", "INPUT")
    assert event["value"].shape == (2, 3)
    metadata = event["metadata"]
    assert type(metadata) is dict
    assert metadata["encoding"] == "rgb8"
    assert metadata["seq"] == 5
    assert metadata["type_info"] == "uint8[2, 3]"
    assert metadata["timestamp"].tzinfo is UTC
    assert before <= metadata["timestamp"] <= after
    assert set(metadata) == {"encoding", "seq", "timestamp", "type_info"}


def test_other_events_are_plain_dicts_with_the_keys_of_dora_rs(wire: Rigs) -> None:
    rig = wire({"a": 10, "b": 10})
    rig.tell(messages.NodeFailed("camera", "exited with status 1", ["a"]))
    rig.tell(messages.NodeRestarted("camera"))
    assert rig.node.next(DEADLINE_S) == {
        "kind": "dora",
        "id": "camera",
        "type": "NODE_FAILED",
        "value": {
            "source_node_id": "camera",
            "error": "exited with status 1",
            "affected_input_ids": ["a"],
        },
    }
    assert rig.node.next(DEADLINE_S) == {"kind": "dora", "id": "camera", "type": "NODE_RESTARTED"}
    rig.close_input("a")
    assert rig.node.next(DEADLINE_S) == {"kind": "dora", "id": "a", "type": "INPUT_CLOSED"}
    late = rig.node.next(0.0)
    assert late is not None
    assert list(late) == ["kind", "type", "error"]
    rig.stop()
    assert rig.node.next(DEADLINE_S) == {"kind": "dora", "id": "MANUAL", "type": "STOP"}


@pytest.mark.parametrize("timeout", [0, 0.0, 0.001, 0.05])
def test_a_timeout_is_an_error_event_and_never_none(wire: Rigs, timeout: float) -> None:
    rig = wire({"a": 10})
    event = rig.node.next(timeout=timeout)
    assert "Timeout event stream error: Receiver timed out" in error_of(event)
    rig.send("a", 1)
    event = rig.node.next(timeout=timeout)
    assert event is not None
    assert event["type"] == "INPUT"


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("inf"), float("-inf")])
def test_a_timeout_that_is_no_span_of_time_is_a_value_error(wire: Rigs, timeout: float) -> None:
    rig = wire({"a": 10})
    with pytest.raises(ValueError, match="timeout"):
        rig.node.next(timeout=timeout)


@pytest.mark.parametrize("timeout", [1e6, 1e8, 1e12, 1e300])
def test_a_timeout_may_be_longer_than_any_clock(wire: Rigs, timeout: float) -> None:
    rig = wire({"a": 10})
    timer = threading.Timer(0.05, rig.send, ("a", 1))
    timer.start()
    event = rig.node.next(timeout=timeout)
    timer.join()
    assert event is not None
    assert event["type"] == "INPUT"


def test_try_recv_gives_none_when_empty_and_when_ended_and_never_raises(wire: Rigs) -> None:
    rig = wire({"a": 10})
    assert rig.node.try_recv() is None
    rig.send("a", 1)
    event = rig.node.try_recv()
    assert event is not None
    assert event["type"] == "INPUT"
    assert rig.node.try_recv() is None
    rig.close_input("a")
    assert [rig.node.try_recv() for _ in range(2)] == [
        {"kind": "dora", "id": "a", "type": "INPUT_CLOSED"},
        {"kind": "dora", "id": "ALL_INPUTS_CLOSED", "type": "STOP"},
    ]
    assert [rig.node.try_recv() for _ in range(100)] == [None] * 100
    rig.node.close()
    assert rig.node.try_recv() is None


def test_stop_is_reached_by_try_recv_in_a_node_without_inputs(wire: Rigs) -> None:
    rig = wire()
    assert rig.node.try_recv() is None
    rig.stop()
    assert rig.node.try_recv() == {"kind": "dora", "id": "MANUAL", "type": "STOP"}
    assert rig.node.try_recv() is None


def test_after_stop_the_stream_has_ended_for_every_way_of_receiving(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.stop()
    assert kinds(rig) == ["STOP MANUAL"]
    rig.send("a", 1)
    assert rig.node.next() is None
    assert rig.node.next(timeout=1) is None
    assert rig.node.try_recv() is None
    assert list(rig.node) == []


def test_all_inputs_closed_comes_once_and_after_all_data(wire: Rigs) -> None:
    rig = wire({"a": 10, "b": 10})
    for number in range(5):
        rig.send("a", number)
        rig.send("b", number)
    rig.close_input("a")
    rig.close_input("b")
    seen = kinds(rig)
    assert seen[-1] == "STOP ALL_INPUTS_CLOSED"
    for name in "ab":
        assert [kind for kind in seen if kind.endswith(f" {name}")] == [
            *[f"INPUT {name}"] * 5,
            f"INPUT_CLOSED {name}",
        ]


def test_input_closed_never_overtakes_a_message(wire: Rigs) -> None:
    rig = wire({"a": 100})
    for number in range(100):
        rig.send("a", np.full(5000, number))
    rig.close_input("a")
    events = list(rig.node)
    assert [e["value"][0] for e in events if e["type"] == "INPUT"] == list(range(100))
    assert [e["type"] for e in events[100:]] == ["INPUT_CLOSED", "STOP"]


def test_one_open_input_keeps_the_stream_open(wire: Rigs) -> None:
    rig = wire({"a": 10, "b": 10})
    rig.close_input("a")
    event = rig.node.next(DEADLINE_S)
    assert event is not None
    assert event["type"] == "INPUT_CLOSED"
    assert "timed out" in error_of(rig.node.next(0))
    rig.send("b", 1)
    assert rig.node.next(DEADLINE_S)["id"] == "b"  # type: ignore[index,typeddict-item]


def test_log_inputs_and_timers_keep_the_stream_open(wire: Rigs) -> None:
    rig = wire({"a": 10, "logs": 10}, timers={"tick": 10**12}, log_inputs=("logs",))
    rig.close_input("a")
    seen = [rig.node.next(DEADLINE_S) for _ in range(2)]
    assert sorted(event["type"] for event in seen if event) == ["INPUT", "INPUT_CLOSED"]
    assert "timed out" in error_of(rig.node.next(0))


def test_timers_do_not_keep_it_open_when_the_dataflow_ends_with_its_nodes(wire: Rigs) -> None:
    rig = wire(
        {"a": 10, "logs": 10},
        timers={"tick": 10**12},
        log_inputs=("logs",),
        end_without_timers=True,
    )
    rig.close_input("a")
    assert kinds(rig)[-1] == "STOP ALL_INPUTS_CLOSED"


def test_a_stop_comes_before_messages_that_wait(wire: Rigs) -> None:
    rig = wire({"a": 10})
    for number in range(10):
        rig.send("a", number)
    rig.stop()
    assert kinds(rig)[0] == "STOP MANUAL"


def test_inputs_that_are_ready_take_turns(wire: Rigs) -> None:
    rig = wire({"a": 50, "b": 50, "c": 50})
    for number in range(30):
        for name in "abc":
            rig.send(name, number)
    order = "".join(rig.node.next(DEADLINE_S)["id"] for _ in range(90))  # type: ignore[index,typeddict-item]
    for at in range(0, 90, 3):
        assert set(order[at : at + 3]) == set("abc")


def test_a_busy_input_does_not_starve_one_that_was_quiet(wire: Rigs) -> None:
    rig = wire({"busy": 100, "quiet": 10})
    for number in range(50):
        rig.send("busy", number)
    for _ in range(10):
        rig.node.next(DEADLINE_S)
    rig.send("quiet", 1)
    soon = [rig.node.next(DEADLINE_S)["id"] for _ in range(2)]  # type: ignore[index,typeddict-item]
    assert "quiet" in soon


def test_a_producer_that_vanished_without_a_word_closes_its_input(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.send("a", 1)
    rig.hang_up("a")
    assert kinds(rig) == ["INPUT a", "INPUT_CLOSED a", "STOP ALL_INPUTS_CLOSED"]


def test_a_daemon_that_is_gone_is_an_error_event_and_then_stop(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.daemon.close()
    assert "daemon" in error_of(rig.node.next(DEADLINE_S))
    assert kinds(rig) == ["STOP MANUAL"]


def test_an_input_that_is_silent_too_long_closes_and_comes_back(wire: Rigs) -> None:
    rig = wire({"a": 10}, timeouts_s={"a": 0.05})
    rig.send("a", 1)
    seen = [rig.node.next(DEADLINE_S) for _ in range(2)]
    assert [event["type"] for event in seen if event] == ["INPUT", "INPUT_CLOSED"]
    assert "timed out" in error_of(rig.node.next(0.2))
    rig.send("a", 2)
    seen = [rig.node.next(DEADLINE_S) for _ in range(2)]
    assert [event["type"] for event in seen if event] == ["INPUT_RECOVERED", "INPUT"]


def test_an_input_that_closes_while_it_is_silent_still_ends_the_stream(wire: Rigs) -> None:
    rig = wire({"a": 10}, timeouts_s={"a": 0.05})
    rig.send("a", 1)
    seen = [rig.node.next(DEADLINE_S) for _ in range(2)]
    assert [event["type"] for event in seen if event] == ["INPUT", "INPUT_CLOSED"]
    rig.close_input("a")
    assert kinds(rig)[-1] == "STOP ALL_INPUTS_CLOSED"


def test_the_first_tick_comes_at_once_and_carries_an_empty_null_array(wire: Rigs) -> None:
    rig = wire(timers={"tick": 3600 * 10**9})
    event = rig.node.next(timeout=DEADLINE_S)
    assert event is not None
    assert event["type"] == "INPUT"
    assert list(event) == ["kind", "id", "metadata", "type", "value"]
    assert isinstance(event["value"], pa.NullArray)
    assert len(event["value"]) == 0
    assert event["metadata"]["type_info"] == "null"
    assert event["metadata"]["timestamp"].tzinfo is UTC
    assert "timed out" in error_of(rig.node.next(0.01))


def test_ticks_missed_while_the_node_was_busy_are_skipped(wire: Rigs) -> None:
    rig = wire(timers={"tick": 100_000_000})
    assert rig.node.next(DEADLINE_S) is not None
    assert not threading.Event().wait(0.65)  # six ticks pass
    ticks = 0
    while (event := rig.node.try_recv()) is not None:
        assert event["type"] == "INPUT"
        ticks += 1
    assert ticks in (1, 2, 3)


def test_ticks_go_on_and_keep_their_beat(wire: Rigs) -> None:
    rig = wire(timers={"tick": 10_000_000})
    times = []
    for _ in range(20):
        event = rig.node.next(DEADLINE_S)
        assert event is not None
        assert event["type"] == "INPUT"
        times.append(event["metadata"]["timestamp"].timestamp())
    assert times == sorted(times)
    assert times[-1] - times[0] > 0.17


def test_two_timers_of_one_interval_tick_together(wire: Rigs) -> None:
    rig = wire(timers={"one": 20_000_000, "two": 20_000_000})
    ids = [rig.node.next(DEADLINE_S)["id"] for _ in range(10)]  # type: ignore[index,typeddict-item]
    for at in range(0, 10, 2):
        assert set(ids[at : at + 2]) == {"one", "two"}


def test_a_message_that_cannot_be_read_is_an_error_and_the_next_one_arrives(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = wire({"a": 10})
    rig._sender.send("a", (b"p" + b"no_such_type", 8, b"8 bytes!"))
    rig._sender.send("a", (b"a" + b"list<item: int64>", 8, b"8 bytes!"))
    rig.send("a", 1)
    assert "`a`" in error_of(rig.node.next(DEADLINE_S))
    assert "`a`" in error_of(rig.node.next(DEADLINE_S))
    event = rig.node.next(DEADLINE_S)
    assert event is not None
    assert event["type"] == "INPUT"


def test_metadata_handed_straight_back_arrives_again(wire: Rigs) -> None:
    rig = wire({"a": 10}, ("out",))
    sent = {"encoding": "rgb8", "at": datetime(2026, 1, 1), "pose": {"xyz": [1.0, 2.0]}, "n": None}
    rig.send("a", 1, sent)
    event = rig.node.next(DEADLINE_S)
    assert event is not None
    assert event["type"] == "INPUT"
    rig.node.send_output("out", event["value"], event["metadata"])
    back = rig.take("out")
    assert back is not None
    assert back["type"] == "INPUT"
    assert {key: back["metadata"][key] for key in sent} == sent
    assert set(back["metadata"]) == {*sent, "timestamp", "type_info"}
    assert back["metadata"]["timestamp"] >= event["metadata"]["timestamp"]


def test_metadata_that_does_not_fit_into_the_ticket_arrives(wire: Rigs) -> None:
    rig = wire({"a": 10})
    for size, data in ((3, b""), (600, 1), (600, np.zeros(5)), (100_000, np.zeros(50_000))):
        rig.send("a", data, {"text": "x" * size})
        event = rig.node.next(DEADLINE_S)
        assert event is not None
        assert event["type"] == "INPUT"
        assert len(event["metadata"]["text"]) == size


def test_the_board_counts_what_was_received_and_sent(wire: Rigs) -> None:
    rig = wire({"a": 10}, ("out",))
    for _ in range(3):
        rig.send("a", np.zeros(100))
        rig.node.next(DEADLINE_S)
    rig.node.send_output("out", b"12345")
    seen = rig.board.input(0)
    assert (seen.received, seen.bytes, sum(seen.latency)) == (3, 2400, 3)
    assert rig.board.output(0) == (1, 5)
    assert rig.board.route(0) == (1, 0)

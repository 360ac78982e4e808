"""`drain`, `is_empty`, watermarks and deadlines: what is there, and when it came."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from dora.errors import DoraError, StreamEndedError
from dora.node.inputs import dropped_when_late

if TYPE_CHECKING:
    from collections.abc import Callable

    from .rig import Rig, Rigs

NEXT_S = 10.0


def ids(events: list) -> list[str]:
    return [event["id"] for event in events]


def test_drain_gives_all_that_is_there_in_order_and_then_nothing(wire: Rigs) -> None:
    rig = wire({"a": 10, "b": 10})
    assert rig.node.drain() == []
    for number in range(3):
        rig.send("a", number)
    rig.send("b", "x")
    events = rig.node.drain()
    assert sorted(ids(events)) == ["a", "a", "a", "b"]
    values = [event["value"].to_pylist()[0] for event in events if event["id"] == "a"]
    assert values == [0, 1, 2]
    assert rig.node.drain() == []


def test_all_that_came_before_the_first_call_is_there_up_to_the_queue_size(wire: Rigs) -> None:
    rig = wire({"a": 100})
    for number in range(120):
        rig.send("a", number)
    values = [event["value"].to_pylist()[0] for event in rig.node.drain()]
    assert values == list(range(20, 120))


def test_drain_ends_with_stop_and_is_an_error_afterwards(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.send("a", 1)
    rig.close_input("a")
    assert [event["type"] for event in rig.node.drain()] == ["INPUT", "INPUT_CLOSED", "STOP"]
    with pytest.raises(RuntimeError, match=r"^Could not drain events\. Channel is closed$") as told:
        rig.node.drain()
    assert isinstance(told.value, StreamEndedError)
    assert isinstance(told.value, DoraError)


def test_drain_includes_ticks(wire: Rigs) -> None:
    rig = wire({"a": 10}, timers={"tick": 10**12})
    rig.send("a", 1)
    assert set(ids(rig.node.drain())) == {"a", "tick"}


def test_is_empty_reads_nothing_so_that_the_queue_still_drops_the_oldest(wire: Rigs) -> None:
    rig = wire({"a": 1})
    assert rig.node.is_empty()
    rig.send("a", "old")
    assert not rig.node.is_empty()
    rig.send("a", "new")
    event = rig.node.next(NEXT_S)
    assert event is not None
    assert event["value"].to_pylist() == ["new"]
    assert rig.node.is_empty()


def test_a_stop_that_waits_is_an_event_and_after_it_the_node_is_empty(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.stop()
    assert not rig.node.is_empty()
    event = rig.node.next(NEXT_S)
    assert event is not None
    assert event["type"] == "STOP"
    assert rig.node.is_empty()


def test_a_closed_node_is_empty_and_cannot_be_drained(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.node.close()
    assert rig.node.is_empty()
    with pytest.raises(StreamEndedError):
        rig.node.drain()


def received(rig: Rig) -> dict:
    event = rig.node.next(NEXT_S)
    assert event is not None
    assert event["type"] == "INPUT", event
    return event["metadata"]


def test_a_message_past_its_deadline_is_late_and_one_in_time_is_not(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = wire({"a": 10})
    rig.send("a", 1, {"deadline": 5000, "watermark": 1000})
    metadata = received(rig)
    assert (metadata["deadline"], metadata["watermark"]) == (5000, 1000)
    assert "late" not in metadata
    rig.send("a", 1, {"deadline": 5000})
    forward(monkeypatch, 6.0)
    metadata = received(rig)
    assert metadata["late"] is True
    assert 1000 <= metadata["late_ms"] < 60_000
    counters = rig.board.input(0)
    assert (counters.received, counters.late, counters.late_dropped) == (2, 1, 0)


def forward(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the receiver's clock be later."""
    now: Callable[[], int] = time.time_ns
    patch.setattr("dora.node.inputs.time.time_ns", lambda: now() + round(seconds * 1e9))


def test_late_messages_are_dropped_and_counted_where_the_environment_says_so(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_DROP_LATE", "true")
    rig = wire({"a": 10})
    rig.send("a", "late", {"deadline": 1})
    rig.send("a", "a request is never dropped", {"deadline": 1, "request_id": "r"})
    rig.send("a", "in time", {"deadline": 3_600_000})
    forward(monkeypatch, 5.0)
    assert received(rig)["late"] is True
    assert "late" not in received(rig)
    assert rig.node.try_recv() is None
    counters = rig.board.input(0)
    assert (counters.received, counters.late, counters.late_dropped) == (3, 2, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("", None),
        ("0", None),
        ("false", None),
        ("1", frozenset()),
        ("True", frozenset()),
        ("image, pose", frozenset({"image", "pose"})),
    ],
)
def test_which_inputs_drop_late_messages(
    text: str | None, expected: frozenset[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DORA_DROP_LATE", raising=False)
    if text is not None:
        monkeypatch.setenv("DORA_DROP_LATE", text)
    assert dropped_when_late() == expected


def test_lateness_is_not_handed_on_with_the_metadata(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = wire({"a": 10}, outputs=("out",))
    rig.send("a", 1, {"deadline": 1000})
    forward(monkeypatch, 5.0)
    metadata = received(rig)
    monkeypatch.undo()
    rig.node.send_output("out", 1, metadata)
    event = rig.take("out")
    assert event is not None
    assert event["type"] == "INPUT"
    assert set(event["metadata"]) == {"timestamp", "type_info", "deadline"}


def test_a_watermark_never_goes_back_and_a_nodes_is_that_of_its_slowest_input(wire: Rigs) -> None:
    rig = wire({"a": 10, "b": 10})
    assert rig.node.watermark() is None
    for name, mark in (("a", 1000), ("a", 500), ("b", 700), ("b", 600)):
        rig.send(name, 1, {"watermark": mark})
    seen = [received(rig)["watermark"] for _ in range(4)]
    assert sorted(seen) == [500, 600, 700, 1000]
    assert (rig.node.watermark("a"), rig.node.watermark("b")) == (1000, 700)
    assert rig.node.watermark() == 700

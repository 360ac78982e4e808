"""Events of the user's own beside those of the dataflow."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import TYPE_CHECKING, Any

import pytest

from dora.node.external import MOST_WAITING

from .rig import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .rig import Rig, Rigs


def nexts(rig: Rig, count: int) -> list[dict[str, Any]]:
    found = [rig.node.next(DEADLINE_S) for _ in range(count)]
    assert all(event is not None and event["type"] != "ERROR" for event in found), found
    return found  # type: ignore[return-value]


def test_values_of_an_iterator_are_events_of_kind_external(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.node.merge_external_events(iter([1, {"k": 2}]))
    assert nexts(rig, 2) == [
        {"kind": "external", "type": "EXTERNAL", "value": 1},
        {"kind": "external", "type": "EXTERNAL", "value": {"k": 2}},
    ]
    rig.send("a", 1)
    assert nexts(rig, 1)[0]["id"] == "a"


def test_an_async_iterator_runs_in_a_loop_of_its_own_and_is_closed_with_the_node(
    wire: Rigs,
) -> None:
    rig = wire({"a": 10})
    finished = threading.Event()

    async def count() -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                await asyncio.sleep(0)
                yield number
        finally:
            finished.set()

    rig.node.merge_external_events(count())
    assert [event["value"] for event in nexts(rig, 200)] == list(range(200))
    rig.node.close()
    assert finished.wait(DEADLINE_S)


def test_a_subscription_like_that_of_ros_ends_with_none(wire: Rigs) -> None:
    class Subscription:
        def __init__(self) -> None:
            self.left = [1, 2]

        def next(self) -> int | None:
            return self.left.pop(0) if self.left else None

    rig = wire({"a": 10})
    rig.node.merge_external_events(Subscription())
    assert [event["value"] for event in nexts(rig, 2)] == [1, 2]


def test_timeouts_and_try_recv_and_drain_and_is_empty_go_on_working(wire: Rigs) -> None:
    rig = wire({"a": 10})
    gate, asked = threading.Semaphore(0), threading.Semaphore(0)

    def slow() -> Iterator[int]:
        for number in range(3):
            asked.release()
            gate.acquire()
            yield number

    rig.node.merge_external_events(slow())
    event = rig.node.next(0.01)
    assert event is not None
    assert event["type"] == "ERROR"
    assert rig.node.try_recv() is None
    assert rig.node.is_empty()
    assert rig.node.drain() == []
    for _ in range(2):
        gate.release()
    for _ in range(3):  # the third is asked for when two were put in
        assert asked.acquire(timeout=DEADLINE_S)
    assert not rig.node.is_empty()
    assert [event["value"] for event in rig.node.drain()] == [0, 1]  # type: ignore[typeddict-item]
    gate.release()


def test_an_iterator_that_raises_brings_an_error_and_the_node_goes_on(wire: Rigs) -> None:
    rig = wire({"a": 10})

    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("unplugged")

    rig.node.merge_external_events(broken())
    assert nexts(rig, 1)[0]["value"] == 1
    event = rig.node.next(DEADLINE_S)
    assert event == {
        "kind": "dora",
        "type": "ERROR",
        "error": "merged external events failed: ValueError: unplugged",
    }
    rig.send("a", 1)
    assert nexts(rig, 1)[0]["id"] == "a"


def test_a_fast_iterator_is_not_read_ahead_of_the_node_and_holds_up_no_input(wire: Rigs) -> None:
    rig = wire({"a": 10})
    given: list[int] = []

    def fast() -> Iterator[int]:
        for number in itertools.count():
            given.append(number)
            yield number

    rig.node.merge_external_events(fast())
    nexts(rig, 1)
    rig.send("a", 1)
    assert "a" in [event.get("id") for event in nexts(rig, 3)]
    assert len(given) <= 4 + MOST_WAITING + 2


def test_stop_ends_the_stream_with_merged_events_too(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.node.merge_external_events(itertools.repeat(1))
    rig.stop()
    assert [event["type"] for event in rig.node][-1] == "STOP"
    assert rig.node.next() is None


def test_what_cannot_be_merged_is_a_type_error(wire: Rigs) -> None:
    rig = wire({"a": 10})
    with pytest.raises(TypeError, match="`int` cannot be merged"):
        rig.node.merge_external_events(5)

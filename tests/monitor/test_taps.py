"""Reading outputs from outside: nothing is lost or damaged, whatever happens to the sender."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dora.errors import DoraError
from dora.monitor.taps import Taps
from dora.wire import visits

from .tapped import DATAFLOW

if TYPE_CHECKING:
    from .tapped import TappedDaemon

DEADLINE_S = 20.0


def test_values_arrive_as_a_node_would_get_them_and_their_memory_goes_back(
    flow: TappedDaemon,
) -> None:
    with Taps(DATAFLOW) as taps:
        taps.add("cam", "image", 10)
        for number in range(3):
            flow.send("image", np.full((100, 100), number, "u2"), {"number": number})
        found: list[Any] = [taps.receive(DEADLINE_S) for _ in range(3)]
        assert [event["id"] for event in found] == ["cam/image"] * 3
        assert [event["metadata"]["number"] for event in found] == [0, 1, 2]
        for number, event in enumerate(found):
            assert event["value"].dtype == np.uint16
            assert (event["value"] == number).all()
        assert taps.receive(0) is None
        del event
        found.clear()
        gc.collect()
        flow.sender._collect()
        assert flow.sender.arena.held == 0


def test_a_slow_tap_loses_its_oldest_messages_and_a_busy_output_hides_no_other(
    flow: TappedDaemon,
) -> None:
    with Taps(DATAFLOW) as taps:
        taps.add("cam", "image", 4)
        taps.add("cam", "pose", 4)
        for number in range(10):
            flow.send("image", number)
        flow.send("pose", 0)
        found: list[Any] = [taps.receive(DEADLINE_S) for _ in range(5)]
        images = [e["value"].to_pylist()[0] for e in found if e["id"] == "cam/image"]
        assert images == [6, 7, 8, 9]
        assert "cam/pose" in [event["id"] for event in found[:2]]


def test_a_sender_that_comes_back_with_new_memory_is_read_on(flow: TappedDaemon) -> None:
    with Taps(DATAFLOW) as taps:
        taps.add("cam", "image", 10)
        flow.send("image", np.full(5000, 1))
        flow.restart()
        flow.send("image", np.full(5000, 2))
        found: list[Any] = [taps.receive(DEADLINE_S) for _ in range(2)]
        assert [int(event["value"][0]) for event in found] == [1, 2]


def test_a_sender_that_comes_back_again_and_again_leaves_none_of_its_memory_with_a_tap(
    flow: TappedDaemon,
) -> None:
    def mapped() -> int:
        gc.collect()
        maps = Path("/proc/self/maps").read_text().splitlines()
        return sum(" r--s " in line and "memfd:tapped" in line for line in maps)

    with Taps(DATAFLOW) as taps:
        taps.add("cam", "image", 10)
        for number in range(20):
            flow.send("image", np.full(5000, number))
            flow.restart()
            event: Any = taps.receive(DEADLINE_S)
            assert event["value"][0] == number
            del event
            assert mapped() <= 3, "the present one, and what was not passed twice"


def test_closed_outputs_and_the_end_of_the_dataflow_come_behind_all_that_was_sent(
    flow: TappedDaemon,
) -> None:
    with Taps(DATAFLOW) as taps:
        taps.add("cam", "image", 10)
        taps.add("cam", "pose", 10)
        flow.send("image", 1)
        flow.close_output("image")
        found: list[Any] = [taps.receive(DEADLINE_S) for _ in range(2)]
        assert [event["type"] for event in found] == ["INPUT", "INPUT_CLOSED"]
        assert not taps.over
        flow.send("pose", np.zeros(5000))
        flow.close()
        kinds = []
        while (event := taps.receive(DEADLINE_S)) is not None:
            kinds.append((event["type"], event["id"]))  # type: ignore[typeddict-item]
        assert kinds in (
            [("INPUT", "cam/pose")],
            [("INPUT", "cam/pose"), ("INPUT_CLOSED", "cam/pose")],
        )
        assert taps.over


def test_what_the_daemon_refuses_is_an_error_with_its_words(flow: TappedDaemon) -> None:
    with Taps(DATAFLOW) as taps:
        with pytest.raises(DoraError, match="not here"):
            taps.add("nobody", "image", 1)
        flow.close()
        with pytest.raises(DoraError, match="ended"):
            taps.ask(visits.AskState())

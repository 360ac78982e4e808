from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.monitor.intervals import HEADER, Intervals, live_table, spread_of, tsv_line

times = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=50)


@given(times)
def test_the_spread_is_what_statistics_says(intervals: list[float]) -> None:
    spread = spread_of(intervals)
    assert spread is not None
    assert spread.mean_ms == pytest.approx(statistics.fmean(intervals))
    assert spread.std_ms == pytest.approx(statistics.pstdev(intervals), rel=1e-6, abs=1e-6)
    assert (spread.min_ms, spread.max_ms) == (min(intervals), max(intervals))
    assert 0 <= spread.jitter_ms <= spread.max_ms - spread.min_ms + 1e-9
    assert spread.hz == pytest.approx(1000 / spread.mean_ms)


def test_jitter_tells_of_neighbours_which_the_deviation_does_not() -> None:
    drifting, shaking = spread_of([1, 1, 3, 3]), spread_of([1, 3, 1, 3])
    assert drifting is not None
    assert shaking is not None
    assert drifting.std_ms == shaking.std_ms == 1
    assert drifting.jitter_ms == pytest.approx(2 / 3)
    assert shaking.jitter_ms == 2


@given(st.floats(0.5, 20), st.lists(st.floats(0, 100), max_size=60).map(sorted))
def test_only_messages_of_the_window_count(window_s: float, arrivals: list[float]) -> None:
    seen = Intervals(window_s)
    for at in arrivals:
        seen.add(at, at)
    assert seen.count == sum(arrivals[-1] - at <= window_s for at in arrivals) if arrivals else True
    seen.forget_before(1e6)
    assert seen.count == 0
    assert seen.spread() is None


def test_messages_of_several_outputs_are_measured_in_the_order_they_were_sent() -> None:
    seen = Intervals(10)
    for sent in (1.0, 3.0, 2.0, 2.0):
        seen.add(sent, 5.0)
    spread = seen.spread()
    assert spread is not None
    assert (spread.mean_ms, spread.std_ms) == (1000.0, 0.0)


def test_the_report_is_dora_rss_and_the_live_table_has_jitter_too() -> None:
    seen = Intervals(10)
    for number in range(5):
        seen.add(number * 0.02, number * 0.02)
    assert tsv_line("cam/image", seen) == "cam/image\t20.00\t50.00\t20.00\t20.00\t0.00\t5"
    assert tsv_line("ALL", Intervals(1)) == "ALL\t-\t-\t-\t-\t-\t0"
    assert len(HEADER.split("\t")) == len(tsv_line("x", seen).split("\t"))
    head, row, empty = live_table([("cam/image", seen), ("b", Intervals(1))])
    assert len(head) == len(row) == len(empty)
    assert "jitter" in head
    assert row.split() == ["cam/image", "50.0", "20.00", "20.00", "20.00", "0.00", "0.00", "5"]
    assert empty.split() == ["b", *"------", "0"]

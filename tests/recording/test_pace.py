"""When a replayed message is due."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.recording.pace import LEAD_NS, Pace, Tally, summary
from dora.recording.replay_node import Orders, orders_of

SECOND = 10**9


@given(
    times=st.lists(st.integers(0, 10**13), min_size=2, max_size=20).map(sorted),
    speed=st.floats(0.01, 100),
)
def test_recorded_gaps_are_kept_at_any_speed(times: list[int], speed: float) -> None:
    pace = Pace(speed, times[0])
    due = [pace.due_ns(time) for time in times]
    assert due[0] == LEAD_NS
    for (a, b), (x, y) in zip(pairwise(times), pairwise(due), strict=True):
        assert y - x == pytest.approx((b - a) / speed, rel=1e-6, abs=2)


def test_however_low_the_speed_a_message_is_due_when_a_timer_can_tell() -> None:
    pace = Pace(5e-324, 0)
    assert 0 < pace.due_ns(10 * SECOND) < 2**62


def test_each_round_of_a_loop_follows_the_one_before() -> None:
    pace = Pace(2.0, 100 * SECOND, period_ns=10 * SECOND)
    assert pace.due_ns(104 * SECOND, 3) - LEAD_NS == (3 * 10 + 4) * SECOND // 2


def test_what_was_done_is_told_in_one_line() -> None:
    tally = Tally()
    for number in range(100):
        at_ns = number * 10_000_000
        tally.count(1000, at_ns + (50_000 if number else 2_000_000), at_ns)
    told = summary([tally.report(), tally.report()])
    assert told.startswith("replayed 200 messages, 0.2 MB, as 2 nodes in 1.0 s; ")
    assert "0.05 ms (p50)" in told
    assert "2.00 ms (p99)" in told


def test_without_a_pace_the_rate_is_told() -> None:
    tally = Tally()
    for number in range(11):
        tally.count(100_000_000, number * SECOND // 10, None)
    assert summary([tally.report()]).endswith("as 1 node in 1.0 s: 1,100 MB/s")


@given(
    file=st.text(st.characters(exclude_categories=["C"]), min_size=1).filter(
        lambda text: not text.startswith("-")
    ),
    speed=st.floats(0, 1e6),
    zero_ns=st.integers(0, 2**62),
    period_ns=st.integers(0, 2**62),
    until_ns=st.none() | st.integers(0, 2**62),
    step=st.booleans(),
    conductor=st.none() | st.just("@dora-replay-0/x"),
)
def test_a_node_reads_its_orders_back_from_its_command_line(
    file: str,
    speed: float,
    zero_ns: int,
    period_ns: int,
    until_ns: int | None,
    step: bool,
    conductor: str | None,
) -> None:
    plays = {"a/x": "x", "b/op/y": "op/y"}
    orders = Orders(file, plays, Pace(speed, zero_ns, period_ns), until_ns, step, conductor)
    assert orders_of(orders.words) == orders

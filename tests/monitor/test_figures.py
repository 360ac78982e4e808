"""Rates, losses and delays out of two looks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.monitor.states import FLOW, LATER, START, delays, later

from dora.monitor.figures import figures, quantile_ns
from dora.wire.board import LATENCY_BUCKETS

histograms = st.lists(
    st.integers(0, 10**9), min_size=LATENCY_BUCKETS, max_size=LATENCY_BUCKETS
) | st.dictionaries(st.integers(0, LATENCY_BUCKETS - 1), st.integers(1, 10**9)).map(
    lambda few: [few.get(bucket, 0) for bucket in range(LATENCY_BUCKETS)]
)


def test_rates_are_what_the_counters_grew_by_over_the_time_in_between() -> None:
    measured = figures(START, LATER)
    assert measured.over_s == 2.0
    (edge,) = measured.edges
    assert (edge.sent_hz, edge.rate_hz, edge.dropped_hz) == (50.0, 45.0, 2.0)
    assert edge.bytes_s == 27_500_000
    assert measured.outputs[0].rate_hz == 50.0
    camera = measured.nodes[0]
    assert camera.cpu_percent == pytest.approx(150.0)
    assert (camera.disk_read_bytes_s, camera.disk_write_bytes_s) == (0.0, 2_000_000)


def test_what_waits_is_pending_at_the_receiver() -> None:
    assert [node.pending for node in figures(START, LATER).nodes] == [0, 6, 0]


def test_delays_are_those_of_messages_received_in_between() -> None:
    slow = later(LATER, 1.0, {"received": 100, "latency": delays(k18=80, k20=20)})
    edge = figures(LATER, slow).edges[0]
    assert edge.p50_ns is not None
    assert 2**19 <= edge.p50_ns < 2**20
    assert figures(slow, later(slow, 1.0, {})).edges[0].p50_ns is None


def test_one_look_has_no_rates_but_delays_and_cpu_since_the_start() -> None:
    measured = figures(None, LATER)
    assert measured.edges[0].rate_hz is None
    assert measured.outputs[0].rate_hz is None
    assert measured.edges[0].p50_ns is not None
    assert measured.nodes[0].cpu_percent == pytest.approx(100 * 8 / 12)


def test_a_look_at_another_dataflow_is_no_earlier_look() -> None:
    other = replace(START, dataflow=replace(FLOW, id="0190-bb"))
    assert figures(other, LATER) == figures(None, LATER)


def test_a_node_that_restarted_in_between_is_measured_since_it_started() -> None:
    again = later(LATER, 2.0, {}, pid=99, cpu_s=0.5, uptime_s=1.0, disk_write_bytes=100)
    node = figures(LATER, again).nodes[0]
    assert node.cpu_percent == pytest.approx(50.0)
    assert node.disk_write_bytes_s == 100


def test_counters_of_messages_that_fell_were_started_anew() -> None:
    fresh = {"sent": 10, "received": 6, "dropped": 0, "bytes": 100, "latency": delays(k10=6)}
    edge = figures(LATER, later(LATER, 2.0, fresh)).edges[0]
    assert (edge.sent_hz, edge.rate_hz, edge.bytes_s) == (5.0, 3.0, 50.0)
    assert edge.p50_ns is not None
    assert edge.p50_ns < 2**10


def test_cpu_time_that_fell_as_a_child_left_is_no_negative_percentage() -> None:
    assert figures(START, later(START, 1.0, {}, cpu_s=4.0)).nodes[0].cpu_percent == 0.0


def test_an_edge_that_was_wired_in_between_counts_from_zero() -> None:
    assert figures(replace(START, edges=[]), LATER).edges[0].sent_hz == 50.0


def test_what_is_not_known_stays_unknown() -> None:
    node = figures(START, later(START, 1.0, {}, cpu_s=None, disk_read_bytes=None)).nodes[0]
    assert node.cpu_percent is None
    assert node.disk_read_bytes_s is None
    assert figures(START, START).edges[0].rate_hz is None


@given(histograms, st.floats(1e-6, 1.0))
def test_a_quantile_lies_in_the_bucket_of_the_message_it_is_about(
    counts: list[int], share: float
) -> None:
    value = quantile_ns(counts, share)
    if not sum(counts):
        assert value is None
        return
    assert value is not None
    bucket = min(int(value).bit_length(), LATENCY_BUCKETS - 1)
    below, upto = sum(counts[:bucket]), sum(counts[: bucket + 1])
    assert below < max(1.0, share * sum(counts)) + 1e-3
    assert share * sum(counts) <= upto
    assert counts[bucket]


@given(histograms.filter(any), st.floats(1e-6, 1.0), st.floats(1e-6, 1.0))
def test_a_larger_share_takes_no_less_time(counts: list[int], one: float, other: float) -> None:
    small, large = (quantile_ns(counts, share) for share in sorted((one, other)))
    assert small is not None
    assert large is not None
    assert small <= large


def test_messages_of_one_bucket_are_spread_over_it_evenly_by_logarithm() -> None:
    assert quantile_ns(delays(k11=1), 0.5) == pytest.approx(1024 * 2**0.5)
    assert quantile_ns(delays(k11=100), 0.99) == pytest.approx(1024 * 2**0.985)


def test_the_first_bucket_is_no_delay_and_the_last_its_beginning() -> None:
    assert quantile_ns(delays(k0=3), 0.5) == 0.0
    assert quantile_ns(delays(k39=3), 0.99) == 2.0**38

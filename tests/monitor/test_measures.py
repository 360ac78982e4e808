"""Figures as measures: each series once, counters that only grow, buckets that hold all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dora.monitor.figures import figures
from dora.monitor.measures import BOUNDS_S, Kind, Measure, bucketed, measures
from dora.wire.board import LATENCY_BUCKETS

from .states import EDGE, FLOW, LATER, START, delays


def measured(*states: object, before: object = None) -> dict[str, Measure]:
    found = measures([figures(before, state) for state in states])  # type: ignore[arg-type]
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


def values(measure: Measure) -> dict[tuple[str, ...], float]:
    found = {point.labels: point.value for point in measure.points}
    assert len(found) == len(measure.points), "a series is there twice"
    assert all(len(labels) == len(measure.labels) for labels in found)
    return found


def test_what_dora_top_shows_is_there_with_labels() -> None:
    found = measured(LATER, before=START)
    edge = ("robot", "camera", "image", "plot", "image")
    assert values(found["dora_edge_received_messages"]) == {edge: 90}
    assert values(found["dora_edge_dropped_messages"]) == {edge: 4}
    assert values(found["dora_edge_queue_messages"]) == {edge: 6}
    assert values(found["dora_node_restarts"])["robot", "camera"] == 2
    assert values(found["dora_node_cpu_cores"])["robot", "camera"] == 1.5
    assert values(found["dora_output_payload"])["robot", "camera", "image"] == 55_000_000
    assert values(found["dora_dataflows"]) == {(): 1}
    assert [found[f"dora_node_{name}"].kind for name in ("memory", "cpu")] == [
        Kind.GAUGE,
        Kind.COUNTER,
    ]


def test_a_node_is_in_one_state() -> None:
    states = values(measured(LATER)["dora_node_state"])
    for node, state in (("camera", "running"), ("viewer", "absent")):
        assert [key[2] for key, on in states.items() if on and key[1] == node] == [state]


def test_what_is_not_known_is_left_out() -> None:
    unknown = replace(START.nodes[0], cpu_s=None, memory_bytes=None)
    found = measured(replace(START, nodes=[unknown]))
    assert values(found["dora_node_cpu"]) == values(found["dora_node_memory"]) == {}


def test_an_edge_that_was_wired_again_is_one_series() -> None:
    old = replace(EDGE, number=7, open=False, sent=5, received=5, latency=delays(k12=5))
    state = replace(LATER, edges=[*LATER.edges, old])
    found = measured(state)
    assert list(values(found["dora_edge_received_messages"]).values()) == [95]
    assert list(values(found["dora_edge_open"]).values()) == [1]
    (point,) = found["dora_edge_latency"].points
    assert point.value == sum(point.counts) == 95


def test_dataflows_of_one_name_are_told_apart_by_id() -> None:
    other = replace(LATER, dataflow=replace(FLOW, id="0190-bb"))
    alone = replace(LATER, dataflow=replace(FLOW, id="0190-cc", name="arm"))
    found = measured(LATER, other, alone)
    assert [labels[0] for labels in values(found["dora_dataflow_start_time"])] == [
        "robot 0190-aa",
        "robot 0190-bb",
        "arm",
    ]


@given(st.lists(st.integers(0, 1000), min_size=LATENCY_BUCKETS, max_size=LATENCY_BUCKETS))
def test_buckets_hold_every_message_below_their_bound(counts: list[int]) -> None:
    found = bucketed(counts)
    assert len(found) == len(BOUNDS_S) + 1
    assert sum(found) == sum(counts)
    for place, bound_s in enumerate(BOUNDS_S):
        # Bucket k of a board holds delays below 2^k ns.
        below = sum(count for k, count in enumerate(counts) if 2**k <= bound_s * 1e9)
        assert sum(found[: place + 1]) == below

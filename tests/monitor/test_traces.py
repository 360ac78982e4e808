"""Spans put together: the tree, the parts of a wait, and where all of the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dora.monitor.trace_json import told
from dora.monitor.traces import (
    Tree,
    by_input,
    by_way,
    compute_of,
    settled,
    spread,
    start_of,
    trees,
    wait_of,
)
from dora.wire.spans import Sent, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

TRACE = "a" * 32


def span(name: str, parent: str = "", *times: int, **more: Any) -> Span:
    """Times: sent, asked, received, done; of a root: received, done."""
    node, _, port = name.partition("/")
    if not parent:
        times = (0, times[0], *times)
    return Span(more.pop("trace", TRACE), node, parent, port, *times, node=node, **more)


CAMERA = span("camera/tick", "", 1000, 1300, sent=[Sent("image", 1100)])
DETECTOR = span("detector/image", "camera", 1100, 1150, 1200, 5000, sent=[Sent("boxes", 4000)])
ARM = span("arm/boxes", "detector", 4010, 3000, 4100, 6000)
PLOT = span("plot/image", "camera", 1100, 1400, 1500, 1600)
FRAME = [ARM, PLOT, CAMERA, DETECTOR]  # as they come in: not in order


def drawn(tree: Tree) -> list[str]:
    return [f"{twig}{branch.name}" for twig, branch in tree.lines()]


def test_the_tree_is_right_in_whatever_order_spans_come() -> None:
    for spans in (FRAME, FRAME[::-1]):
        (tree,) = trees(spans)
        assert drawn(tree) == [
            "camera/tick",
            "├─ detector/image",
            "│  └─ arm/boxes",
            "└─ plot/image",
        ]
        assert (tree.name, tree.count) == ("camera/tick", 4)
        assert (tree.start_ns, tree.end_ns) == (1000, 6000)


def test_the_way_leads_to_the_node_that_was_done_last_and_has_all_of_the_time() -> None:
    way = Tree(TRACE, FRAME).way()
    assert [tuple(part) for part in way] == [
        ("camera", "camera/tick", 0, 0, 100),
        ("detector", "detector/image", 50, 50, 2810),
        ("arm", "arm/boxes", 0, 90, 1900),
    ]
    assert sum(part.total_ns for part in way) == 6000 - 1000


def test_a_wait_is_queue_until_the_node_asked_and_transport_from_then_on() -> None:
    assert wait_of(DETECTOR) == (50, 50)  # it was busy when the message was sent
    assert wait_of(ARM) == (0, 90)  # it waited already
    assert wait_of(CAMERA) == (0, 0)
    assert compute_of(DETECTOR) == 3800


@given(st.tuples(st.integers(1, 10**19), *[st.integers(0, 10**19)] * 3))
def test_phases_are_never_negative_also_where_a_clock_was_set(times: tuple[int, ...]) -> None:
    one = span("a/b", "parent", *times)
    queue_ns, transport_ns = wait_of(one)
    assert min(queue_ns, transport_ns, compute_of(one)) >= 0
    sent_ns, asked_ns, received_ns, _ = times
    if sent_ns <= received_ns and asked_ns <= received_ns:
        assert queue_ns + transport_ns == received_ns - sent_ns


def test_a_trace_whose_beginning_is_not_known_has_the_known_parts() -> None:
    tree = Tree(TRACE, [ARM, PLOT])
    assert drawn(tree) == ["plot/image", "arm/boxes"]
    assert tree.start_ns == PLOT.sent_ns
    assert [part.name for part in tree.way()] == ["arm/boxes"]


def test_a_span_of_the_users_own_between_two_nodes_does_not_cut_the_tree() -> None:
    detector = span(
        "detector/image", "camera", 1100, 0, 1200, 5000, sent=[Sent("boxes", 4000, "own")]
    )
    arm = span("arm/boxes", "own", 4010, 0, 4100, 6000)
    assert drawn(Tree(TRACE, [CAMERA, detector, arm])) == [
        "camera/tick",
        "└─ detector/image",
        "   └─ arm/boxes",
    ]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_whatever_parents_spans_name_each_is_drawn_once(pairs: list[tuple[int, int]]) -> None:
    spans = {own: span(f"n/{own}", f"{above}", 1, 1, 1, 2) for own, above in pairs}
    made = [replace(one, span=f"{own}") for own, one in spans.items()]
    tree = Tree(TRACE, made)
    assert sorted(branch.span.span for _, branch in tree.lines()) == sorted(map(str, spans))
    assert tree.way()


def test_the_rest_of_a_trace_that_began_before_is_told_apart() -> None:
    rest, begun = Tree(TRACE, [ARM]), Tree(TRACE, FRAME)
    assert rest.is_rest_of_before(ARM.sent_ns)
    assert not rest.is_rest_of_before(ARM.sent_ns - 10**9)
    assert not begun.is_rest_of_before(ARM.sent_ns)


def test_what_a_node_sends_of_itself_is_named_by_its_output() -> None:
    assert Tree(TRACE, [span("camera", "", 1, 2, sent=[Sent("image", 1)])]).name == "camera/image"


@st.composite
def forests(draw: st.DrawFn) -> list[Span]:
    """Traces as nodes make them: each span begins with what an earlier one sent."""
    spans: list[Span] = []
    for number in range(draw(st.integers(1, 25))):
        parent = draw(st.none() | st.sampled_from(spans)) if spans else None
        if parent is None:
            begin = draw(st.integers(1, 10**6))
            trace, above, times = f"{number:032x}", "", (0, begin, begin)
        else:
            sent = draw(st.integers(parent.received_ns, parent.done_ns))
            asked = draw(st.integers(0, 10**6))
            received = sent + draw(st.integers(0, 1000))
            trace, above, times = parent.trace, parent.span, (sent, min(asked, received), received)
        done = times[2] + draw(st.integers(0, 1000))
        spans.append(Span(trace, f"{number:016x}", above, "in", *times, done, node=f"n{number}"))
    return draw(st.permutations(spans))


@given(forests())
def test_every_span_is_in_its_tree_once_and_a_way_adds_up(spans: Sequence[Span]) -> None:
    found = trees(spans)
    assert [tree.start_ns for tree in found] == sorted(tree.start_ns for tree in found)
    listed = [branch.span.span for tree in found for _, branch in tree.lines()]
    assert sorted(listed) == sorted(one.span for one in spans)
    for tree in found:
        (root,) = tree.roots
        way = tree.way()
        assert way[0].name == root.name
        leaves = [branch.span for _, branch in tree.lines() if not branch.children]
        last = max(leaves, key=lambda one: one.done_ns)
        assert sum(part.total_ns for part in way) == last.done_ns - start_of(root.span)


@given(st.lists(st.integers(0, 10**9), min_size=1))
def test_a_share_of_all_times_is_within_its_spread(times: list[int]) -> None:
    found = spread(times)
    for share, bound in ((0.5, found.p50_ns), (0.99, found.p99_ns)):
        assert bound in times
        assert sum(one <= bound for one in times) >= share * len(times)
        assert sum(one < bound for one in times) < share * len(times)


def test_inputs_and_ways_are_summed_up() -> None:
    second = [
        span("camera/tick", "", 2000, 2001, trace="b" * 32),
        span("detector/image", "camera", 2001, 2001, 2003, 2010, trace="b" * 32),
    ]
    inputs = {one.node: one for one in by_input([*FRAME, *second])}
    assert (set(inputs), next(iter(inputs))) == ({one.node for one in FRAME}, "camera")
    assert (inputs["detector"].spans, inputs["detector"].compute.p50_ns) == (2, 7)
    assert inputs["detector"].compute.p99_ns == 3800
    ways = {(one.begin, one.end): one for one in by_way(trees([*FRAME, *second]))}
    assert ways["camera/tick", "arm/boxes"].total.p50_ns == 5000
    assert ways["camera/tick", "detector/image"].total.p50_ns == 10


def test_a_trace_that_has_just_begun_is_not_taken_to_be_over() -> None:
    late = span("camera/tick", "", 2 * 10**9, 2 * 10**9 + 1, trace="b" * 32)
    assert [tree.trace for tree in settled(trees([*FRAME, late]))] == [TRACE]


def test_json_has_the_tree_in_milliseconds() -> None:
    value = told(Tree(TRACE, FRAME))
    assert [one["node"] for one in value["tree"]] == ["camera", "detector", "arm", "plot"]
    camera, detector, *_ = value["tree"]
    assert (camera["parent_id"], camera["queue_ms"]) == (None, None)
    assert detector == {
        "span_id": "detector",
        "parent_id": "camera",
        "node": "detector",
        "input": "image",
        "source": None,
        "at_ms": 0.0001,
        "queue_ms": 0.00005,
        "transport_ms": 0.00005,
        "compute_ms": 0.0038,
        "sent": [{"output": "boxes", "at_ms": 0.003}],
        "links": [],
    }
    assert value["way_ms"] == value["duration_ms"] == 0.005

"""Rates, losses and delays of a running dataflow, out of two looks at its counters. Pure.

Counters that fell were started anew in between, and count from zero. Of a process that was not
there at the earlier look, CPU and disk are averages since it started; else there are no rates
without an earlier look, and delays are those since the start.

Elsewhere: the counters (`wire.visits`, `wire.board`), looking (`monitor.looks`), how figures are
shown (`monitor.node_json`, `cli.top`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import msgspec

from dora.wire.board import LATENCY_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dora.wire.visits import Dataflow, EdgeView, NodeView, OutputView, State

_Number = TypeVar("_Number", int, float)


class NodeFigures(msgspec.Struct, frozen=True):
    """One node; None: not known."""

    view: NodeView
    pending: int
    """Messages that wait in the queues of its inputs."""
    cpu_percent: float | None
    """100 is one core."""
    disk_read_bytes_s: float | None
    disk_write_bytes_s: float | None


class OutputFigures(msgspec.Struct, frozen=True):
    """One output."""

    view: OutputView
    rate_hz: float | None
    """Messages sent."""
    bytes_s: float | None


class EdgeFigures(msgspec.Struct, frozen=True):
    """One output to one input."""

    view: EdgeView
    sent_hz: float | None
    rate_hz: float | None
    """Messages received."""
    bytes_s: float | None
    """Received."""
    dropped_hz: float | None
    p50_ns: float | None
    """From send to receive, of the messages received in between; None: there were none."""
    p99_ns: float | None


class Figures(msgspec.Struct, frozen=True):
    """A dataflow, measured between two looks."""

    dataflow: Dataflow
    phase: str
    over_s: float
    """Between the looks; 0 if there was but one."""
    nodes: list[NodeFigures]
    outputs: list[OutputFigures]
    edges: list[EdgeFigures]


def figures(before: State | None, after: State) -> Figures:
    """Measure what happened between two looks at one dataflow."""
    if before is not None and before.dataflow.id != after.dataflow.id:
        before = None
    over_s = 0.0 if before is None else (after.now_ns - before.now_ns) / 1e9
    span_s = over_s if over_s > 0 else None
    nodes = {} if before is None else {node.id: node for node in before.nodes}
    outputs = {} if before is None else {(one.node, one.output): one for one in before.outputs}
    edges = {} if before is None else {edge.number: edge for edge in before.edges}
    pending = dict.fromkeys((node.id for node in after.nodes), 0)
    for edge in after.edges:
        if edge.receiver in pending:
            pending[edge.receiver] += edge.waiting
    return Figures(
        after.dataflow,
        after.phase,
        over_s,
        [_node(nodes.get(node.id), node, pending[node.id], span_s) for node in after.nodes],
        [_output(outputs.get((one.node, one.output)), one, span_s) for one in after.outputs],
        [_edge(edges.get(edge.number), edge, span_s) for edge in after.edges],
    )


def quantile_ns(counts: Sequence[int], share: float) -> float | None:
    """The delay that this share of messages stayed within, out of counts by power of two.

    Bucket `k` holds delays of 2^(k-1) <= ns < 2^k. Within a bucket, messages are taken to lie
    evenly on a logarithmic scale: of `n`, number `i` (from 1) is at 2^(k-1) * 2^((i - 0.5) / n).
    So the result is in the same bucket as the true one, and at most a factor of two off.
    The last bucket has no end: what falls into it is given as its beginning.

    Args:
        counts: Messages in each bucket.
        share: Above 0, at most 1: 0.5 for the median.

    Returns:
        Nanoseconds; None if there is no message.
    """
    total = sum(counts)
    if not total:
        return None
    rank = max(1, math.ceil(share * total))
    bucket = 0
    while rank > counts[bucket]:
        rank -= counts[bucket]
        bucket += 1
    if bucket == 0:
        return 0.0
    start = math.ldexp(0.5, bucket)
    if bucket == LATENCY_BUCKETS - 1:
        return start
    return start * math.exp2((rank - 0.5) / counts[bucket])


def _node(
    before: NodeView | None, after: NodeView, pending: int, span_s: float | None
) -> NodeFigures:
    if before is not None and before.pid == after.pid:
        cpu = _rate(before.cpu_s, after.cpu_s, span_s)
        read = _rate(before.disk_read_bytes, after.disk_read_bytes, span_s)
        written = _rate(before.disk_write_bytes, after.disk_write_bytes, span_s)
    else:  # started since, if there was a look before
        since_s = after.uptime_s or None
        cpu = _rate(0.0, after.cpu_s, since_s)
        read = _rate(0, after.disk_read_bytes, since_s)
        written = _rate(0, after.disk_write_bytes, since_s)
    return NodeFigures(after, pending, None if cpu is None else cpu * 100, read, written)


def _output(before: OutputView | None, after: OutputView, span_s: float | None) -> OutputFigures:
    return OutputFigures(
        after,
        _rate(0 if before is None else before.messages, after.messages, span_s, anew=True),
        _rate(0 if before is None else before.bytes, after.bytes, span_s, anew=True),
    )


def _edge(before: EdgeView | None, after: EdgeView, span_s: float | None) -> EdgeFigures:
    def rate(counter: str) -> float | None:
        earlier = 0 if before is None else getattr(before, counter)
        return _rate(earlier, getattr(after, counter), span_s, anew=True)

    latency = after.latency
    if before is not None and before.received <= after.received and before.latency:
        latency = [max(0, now - then) for then, now in zip(before.latency, latency, strict=True)]
    return EdgeFigures(
        after,
        sent_hz=rate("sent"),
        rate_hz=rate("received"),
        bytes_s=rate("bytes"),
        dropped_hz=rate("dropped"),
        p50_ns=quantile_ns(latency, 0.5),
        p99_ns=quantile_ns(latency, 0.99),
    )


def _rate(
    before: _Number | None, after: _Number | None, span_s: float | None, *, anew: bool = False
) -> float | None:
    """Per second; of a counter that fell, 0, or all it has if it was started `anew`."""
    if before is None or after is None or span_s is None:
        return None
    grown = after - before
    if grown < 0:
        grown = after if anew else 0
    return grown / span_s

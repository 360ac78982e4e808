"""Traces as JSON for programs; every key is described in `docs/commands.md`. Pure.

Elsewhere: traces (`monitor.traces`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dora.monitor.traces import by_input, by_way, compute_of, start_of, wait_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dora.monitor.traces import Branch, Spread, Tree
    from dora.wire.spans import Span


def listed(tree: Tree) -> dict[str, Any]:
    """One trace in a list."""
    return {
        "trace_id": tree.trace,
        "root_span": tree.name,
        "spans": tree.count,
        "started": datetime.fromtimestamp(tree.start_ns / 1e9, UTC).isoformat(),
        "started_ns": tree.start_ns,
        "duration_ms": _ms(tree.end_ns - tree.start_ns),
    }


def told(tree: Tree) -> dict[str, Any]:
    """All of one trace."""
    way = tree.way()
    return {
        **listed(tree),
        "tree": [_span_told(branch, tree.start_ns) for _, branch in tree.lines()],
        "way": [
            {
                "node": part.node,
                "span": part.name,
                "queue_ms": _ms(part.queue_ns),
                "transport_ms": _ms(part.transport_ns),
                "compute_ms": _ms(part.compute_ns),
            }
            for part in way
        ],
        "way_ms": _ms(sum(part.total_ns for part in way)),
    }


def _span_told(branch: Branch, start_ns: int) -> dict[str, Any]:
    span = branch.span
    queue_ns, transport_ns = wait_of(span)
    return {
        "span_id": span.span,
        "parent_id": span.parent or None,
        "node": span.node,
        "input": span.input or None,
        "source": span.source or None,
        "at_ms": _ms(start_of(span) - start_ns),
        "queue_ms": _ms(queue_ns) if span.sent_ns else None,
        "transport_ms": _ms(transport_ns) if span.sent_ns else None,
        "compute_ms": _ms(compute_of(span)),
        "sent": [
            {"output": sent.output, "at_ms": _ms(sent.at_ns - start_ns)} for sent in span.sent
        ],
        "links": span.links,
    }


def summed(spans: Sequence[Span], whole: Iterable[Tree], lost: int) -> dict[str, Any]:
    """What many traces say together; ways only of those that are whole."""
    return {
        "traces": len({span.trace for span in spans}),
        "spans": len(spans),
        "lost": lost,
        "inputs": [
            {
                "node": one.node,
                "input": one.input or None,
                "source": one.source or None,
                "spans": one.spans,
                "queue_ms": _spread_told(one.queue),
                "transport_ms": _spread_told(one.transport),
                "compute_ms": _spread_told(one.compute),
            }
            for one in by_input(spans)
        ],
        "ways": [
            {
                "from": way.begin,
                "to": way.end,
                "traces": way.traces,
                "total_ms": _spread_told(way.total),
            }
            for way in by_way(whole)
        ],
    }


def _spread_told(times: Spread) -> dict[str, float]:
    return {"p50": _ms(times.p50_ns), "p99": _ms(times.p99_ns)}


def _ms(time_ns: int) -> float:
    return round(time_ns / 1e6, 6)

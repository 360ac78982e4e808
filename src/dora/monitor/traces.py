"""Traces: spans put together, and where the time of a message went. Pure.

The wait of a message has two parts: it was in the **queue** until the node asked for an event, then
in **transport** until the node had it, which is what waking and reading take. Then the node
**computes**, until it sends, and in the end until it asks for the next event. The **way** of a
trace leads from its beginning to the node that was done last; its parts are the whole time.

Elsewhere: spans (`wire.spans`), asking for them (`monitor.trace_feed`), showing them
(`cli.traces`, `monitor.trace_json`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dora.wire.spans import Span

SETTLED_NS = 1_000_000_000
"""A trace that began so long before the newest span is taken to be over."""


class Branch:
    """A span, and those that came of it, in the order of time."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.children: list[Branch] = []

    @property
    def name(self) -> str:
        """`node/input`; of a trace that began with a send, `node/output`."""
        return name_of(self.span)


class Part(NamedTuple):
    """A part of a way."""

    node: str
    name: str
    """Of the span."""
    queue_ns: int
    transport_ns: int
    compute_ns: int
    """Until it sent what the way goes on with; in the end, until it was done."""

    @property
    def total_ns(self) -> int:
        """All of it."""
        return self.queue_ns + self.transport_ns + self.compute_ns


class Tree:
    """One trace. Of one that began outside of what is known, the known parts are its roots."""

    def __init__(self, trace: str, spans: Sequence[Span]) -> None:
        self.trace = trace
        branches = {span.span: Branch(span) for span in spans}
        self.count = len(branches)
        senders = {
            sent.span: branch
            for branch in branches.values()
            for sent in branch.span.sent
            if sent.span
        }
        self.roots: list[Branch] = []
        for branch in sorted(branches.values(), key=lambda one: one.span.received_ns):
            parent = branches.get(branch.span.parent) or senders.get(branch.span.parent)
            if parent is None or parent is branch:
                self.roots.append(branch)
            else:
                parent.children.append(branch)
        self._open_circles(branches)
        self.start_ns = min(start_of(root.span) for root in self.roots)
        self.end_ns = max(branch.span.done_ns for branch in branches.values())

    def _open_circles(self, branches: Mapping[str, Branch]) -> None:
        """Spans that name each other as parents, which no node of ours makes, are roots too."""
        reached = {branch.span.span for _, branch in self.lines()}
        for branch in branches.values():
            if branch.span.span not in reached:
                for other in branches.values():
                    other.children = [child for child in other.children if child is not branch]
                self.roots.append(branch)
                reached |= {below.span.span for _, below in self.lines()}

    @property
    def name(self) -> str:
        """Of its beginning."""
        return self.roots[0].name

    def is_rest_of_before(self, time_ns: int) -> bool:
        """Whether it may have begun before this time, though its first spans are missing."""
        return bool(self.roots[0].span.parent) and self.start_ns < time_ns + SETTLED_NS

    def lines(self) -> list[tuple[str, Branch]]:
        """All spans in the order of the tree, each behind the twigs that lead to it."""
        found: list[tuple[str, Branch]] = []
        waiting = [("", "", root) for root in reversed(self.roots)]
        while waiting:
            own, below, branch = waiting.pop()
            found.append((own, branch))
            for child in reversed(branch.children):
                last = child is branch.children[-1]
                twig, under = ("└─ ", "   ") if last else ("├─ ", "│  ")
                waiting.append((below + twig, below + under, child))
        return found

    def way(self) -> list[Part]:
        """From the beginning to the node that was done last."""
        above: dict[str, Branch] = {}
        last: Branch | None = None
        for _, branch in self.lines():
            above |= {child.span.span: branch for child in branch.children}
            if not branch.children and (last is None or branch.span.done_ns > last.span.done_ns):
                last = branch
        parts: list[Part] = []
        until_ns = 0 if last is None else last.span.done_ns
        while last is not None:
            span = last.span
            queue_ns, transport_ns = wait_of(span)
            compute_ns = max(0, until_ns - span.received_ns)
            parts.append(Part(span.node, last.name, queue_ns, transport_ns, compute_ns))
            until_ns, last = span.sent_ns, above.get(span.span)
        return parts[::-1]


class Spread(NamedTuple):
    """How long something took, of all times that it was seen; ns."""

    p50_ns: int
    p99_ns: int


class InputSummary(NamedTuple):
    """What all spans of one input say."""

    node: str
    input: str
    source: str
    spans: int
    queue: Spread
    transport: Spread
    compute: Spread


class WaySummary(NamedTuple):
    """What all traces from one beginning to one end say."""

    begin: str
    end: str
    traces: int
    total: Spread


def name_of(span: Span) -> str:
    """See `Branch.name`."""
    port = span.input or (span.sent[0].output if span.sent else "")
    return f"{span.node}/{port}" if port else span.node


def start_of(span: Span) -> int:
    """When it began to wait, ns since the epoch; where it did not wait, when it began."""
    return span.sent_ns or span.received_ns


def wait_of(span: Span) -> tuple[int, int]:
    """How long its message was in the queue, and in transport; 0 where there was none."""
    if not span.sent_ns:
        return 0, 0
    ready_ns = min(max(span.sent_ns, span.asked_ns), max(span.sent_ns, span.received_ns))
    return ready_ns - span.sent_ns, max(0, span.received_ns - ready_ns)


def compute_of(span: Span) -> int:
    """How long the node was busy with it."""
    return max(0, span.done_ns - span.received_ns)


def trees(spans: Iterable[Span]) -> list[Tree]:
    """The traces of these spans, the oldest first."""
    traces: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        traces[span.trace].append(span)
    found = [Tree(trace, parts) for trace, parts in traces.items()]
    return sorted(found, key=lambda tree: tree.start_ns)


def settled(found: Sequence[Tree]) -> list[Tree]:
    """Those that are over, as far as can be known."""
    newest_ns = max((tree.end_ns for tree in found), default=0)
    return [tree for tree in found if newest_ns - tree.start_ns >= SETTLED_NS]


def by_input(spans: Iterable[Span]) -> list[InputSummary]:
    """What took how long at each input; in the order of the nodes' first spans."""
    groups: dict[tuple[str, str, str], list[Span]] = defaultdict(list)
    for span in sorted(spans, key=start_of):
        groups[span.node, span.input, span.source].append(span)
    return [
        InputSummary(
            *place,
            len(group),
            spread([wait_of(span)[0] for span in group]),
            spread([wait_of(span)[1] for span in group]),
            spread([compute_of(span) for span in group]),
        )
        for place, group in groups.items()
    ]


def by_way(found: Iterable[Tree]) -> list[WaySummary]:
    """How long traces took from beginning to end; the most frequent first."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for tree in found:
        way = tree.way()
        groups[tree.name, way[-1].name].append(sum(part.total_ns for part in way))
    ways = [WaySummary(*ends, len(times), spread(times)) for ends, times in groups.items()]
    return sorted(ways, key=lambda way: -way.traces)


def spread(times_ns: Sequence[int]) -> Spread:
    """The smallest time that this share of all stayed within: nearest rank."""
    ranked = sorted(times_ns)
    p50_ns, p99_ns = (ranked[math.ceil(share * len(ranked)) - 1] for share in (0.5, 0.99))
    return Spread(p50_ns, p99_ns)

"""The figures of `dora top` as measures: what monitoring systems count, with labels. Pure.

A counter counts from the start of its dataflow; who stores it makes the rates. Two edges between
the same ports, of which one was taken away, are one series. A dataflow's label is its name; of
several with one name, each has the beginning of its id behind it.

Elsewhere: the figures (`monitor.figures`), how they are told to Prometheus (`monitor.exposition`)
and by OTLP (`monitor.otlp`).
"""

from __future__ import annotations

from collections import Counter
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from dora.version import VERSION
from dora.wire.board import LATENCY_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dora.monitor.figures import EdgeFigures, Figures, NodeFigures

_FIRST_BUCKET, _LAST_BUCKET = 10, 36
"""Delays up to 2^10 ns (1 us) are one bucket, those above 2^36 ns (69 s) another."""

BOUNDS_S = tuple(2**bucket / 1e9 for bucket in range(_FIRST_BUCKET, _LAST_BUCKET + 1))
"""Upper bounds of a delay's buckets but the last, which has none; seconds."""

STATES = ("spawning", "waiting", "running", "closed", "stopping", "backoff", "finished", "absent")

Labels = tuple[str, ...]


class Kind(Enum):
    """What may be made of a measure."""

    COUNTER = auto()  # only grows; falls to 0 when what it counts is started anew
    GAUGE = auto()  # stands as it stands now
    HISTOGRAM = auto()  # counts by bucket, all of which only grow


class Point(NamedTuple):
    """One series, now."""

    labels: Labels
    value: float
    """Of a histogram: how many were counted."""
    counts: tuple[int, ...] = ()
    """Of a histogram: in each bucket, not summed up."""
    since_ns: int = 0
    """When its dataflow began, ns since the epoch."""


class Measure(NamedTuple):
    """What is measured, for all that has it."""

    name: str
    """Without unit: `dora_node_memory`."""
    unit: str
    """`seconds`, `bytes`, or empty."""
    kind: Kind
    told: str
    """What it means, in a sentence."""
    labels: Labels
    points: list[Point]


_NODE = ("dataflow", "node")
_OUTPUT = ("dataflow", "node", "output")
_EDGE = ("dataflow", "sender", "output", "receiver", "input")


def measures(flows: Sequence[Figures]) -> list[Measure]:
    """All there is to measure, in the order in which it is told."""
    named = _named(flows)
    return [*_dataflows(named), *_nodes(named), *_outputs(named), *_edges(named)]


def bucketed(latency: Sequence[int]) -> tuple[int, ...]:
    """Counts by power of two of ns as counts of the buckets that `BOUNDS_S` ends."""
    first, last = _FIRST_BUCKET + 1, _LAST_BUCKET + 1
    return (sum(latency[:first]), *latency[first:last], sum(latency[last:LATENCY_BUCKETS]))


_Named = list[tuple[str, "Figures"]]


def _named(flows: Sequence[Figures]) -> _Named:
    often = Counter(flow.dataflow.name for flow in flows)
    return [
        (one.name if often[one.name] == 1 else f"{one.name} {one.id}", flow)
        for flow in flows
        for one in (flow.dataflow,)
    ]


def _dataflows(named: _Named) -> list[Measure]:
    def measure(
        name: str, unit: str, told: str, labels: Labels, values: list[tuple[Labels, float]]
    ) -> Measure:
        return Measure(name, unit, Kind.GAUGE, told, labels, [Point(*one) for one in values])

    return [
        measure(
            "dora_build_info",
            "",
            "The version of dora that measures.",
            ("version",),
            [((VERSION,), 1)],
        ),
        measure("dora_dataflows", "", "Dataflows that run.", (), [((), len(named))]),
        measure(
            "dora_dataflow_info",
            "",
            "A dataflow that runs: its id, its phase.",
            ("dataflow", "id", "phase"),
            [((name, flow.dataflow.id, flow.phase), 1) for name, flow in named],
        ),
        measure(
            "dora_dataflow_start_time",
            "seconds",
            "When the dataflow was started, since the epoch.",
            ("dataflow",),
            [((name,), flow.dataflow.started_ns / 1e9) for name, flow in named],
        ),
    ]


def _nodes(named: _Named) -> list[Measure]:
    def measure(
        name: str, unit: str, kind: Kind, told: str, of: Callable[[NodeFigures], float | None]
    ) -> Measure:
        points = [
            Point((label, node.view.id), value, since_ns=flow.dataflow.started_ns)
            for label, flow in named
            for node in flow.nodes
            if (value := of(node)) is not None
        ]
        return Measure(f"dora_node_{name}", unit, kind, told, _NODE, points)

    def cores(node: NodeFigures) -> float | None:
        return None if node.cpu_percent is None else node.cpu_percent / 100

    states = [
        Point((label, node.view.id, state), int(node.view.state == state))
        for label, flow in named
        for node in flow.nodes
        for state in STATES
    ]
    gauge, counter = Kind.GAUGE, Kind.COUNTER
    return [
        Measure(
            "dora_node_state", "", gauge, "1 for the state it is in.", (*_NODE, "state"), states
        ),
        measure(
            "failed", "", gauge, "1 if it ended for good, and badly.", lambda n: int(n.view.failed)
        ),
        measure(
            "restarts", "", counter, "Processes it had after the first.", lambda n: n.view.restarts
        ),
        measure("uptime", "seconds", gauge, "Of its process.", lambda n: n.view.uptime_s),
        measure("cpu", "seconds", counter, "CPU time of its processes.", lambda n: n.view.cpu_s),
        measure("cpu_cores", "", gauge, "Cores in use since it was last measured.", cores),
        measure("memory", "bytes", gauge, "Resident.", lambda n: n.view.memory_bytes),
        measure("disk_read", "bytes", counter, "Of the disk.", lambda n: n.view.disk_read_bytes),
        measure(
            "disk_written", "bytes", counter, "To the disk.", lambda n: n.view.disk_write_bytes
        ),
        measure("pending_messages", "", gauge, "In the queues of its inputs.", lambda n: n.pending),
    ]


def _outputs(named: _Named) -> list[Measure]:
    def measure(name: str, unit: str, told: str) -> Measure:
        points = [
            Point(
                (label, one.view.node, one.view.output),
                one.view.bytes if unit else one.view.messages,
                since_ns=flow.dataflow.started_ns,
            )
            for label, flow in named
            for one in flow.outputs
        ]
        return Measure(f"dora_output_{name}", unit, Kind.COUNTER, told, _OUTPUT, points)

    return [
        measure("messages", "", "Messages sent."),
        measure("payload", "bytes", "Bytes of messages sent."),
    ]


def _edges(named: _Named) -> list[Measure]:
    series: dict[Labels, list[EdgeFigures]] = {}
    since: dict[Labels, int] = {}
    for label, flow in named:
        for edge in flow.edges:
            view = edge.view
            labels: Labels = (label, view.sender, view.output, view.receiver, view.input)
            series.setdefault(labels, []).append(edge)
            since[labels] = flow.dataflow.started_ns

    def measure(name: str, unit: str, kind: Kind, told: str, field: str) -> Measure:
        points = [
            Point(labels, sum(getattr(e.view, field) for e in edges), since_ns=since[labels])
            for labels, edges in series.items()
        ]
        return Measure(f"dora_edge_{name}", unit, kind, told, _EDGE, points)

    gauge, counter = Kind.GAUGE, Kind.COUNTER
    delays = []
    for labels, edges in series.items():
        latency = [sum(counts) for counts in zip(*(e.view.latency for e in edges), strict=True)]
        counts = bucketed(latency)
        delays.append(Point(labels, sum(counts), counts, since[labels]))
    return [
        measure("open", "", gauge, "1 as long as it carries messages.", "open"),
        measure("broken", "", gauge, "1 if nothing came within its input_timeout.", "broken"),
        measure("sent_messages", "", counter, "Put into the queue, the dropped too.", "sent"),
        measure("received_messages", "", counter, "Taken by the receiver.", "received"),
        measure("received", "bytes", counter, "Bytes of messages taken by the receiver.", "bytes"),
        measure("dropped_messages", "", counter, "Dropped for newer ones.", "dropped"),
        measure("flushed_messages", "", counter, "Discarded by a later one.", "flushed"),
        measure("late_messages", "", counter, "Received past their deadline.", "late"),
        measure("queue_messages", "", gauge, "In the queue now.", "waiting"),
        measure("queue_size", "", gauge, "Room in the queue, messages.", "queue_size"),
        Measure(
            "dora_edge_latency",
            "seconds",
            Kind.HISTOGRAM,
            "From send to receive.",
            _EDGE,
            delays,
        ),
    ]

"""What the columns of `dora top` hold: nodes and edges as rows, in order, filtered. Pure.

Used by the plain tables (`cli.top`) and the full screen (`cli.top_screen`). Elsewhere: the figures
(`monitor.figures`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from dora.monitor.node_json import status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dora.monitor.figures import EdgeFigures, Figures, NodeFigures

UNKNOWN = "-"
_Row = TypeVar("_Row")


class Column(NamedTuple, Generic[_Row]):
    """One column: its title, its cells, and what it is sorted by."""

    title: str
    text: Callable[[_Row], str]
    value: Callable[[_Row], float | str | None]
    """None stands behind all others, whichever way it is sorted."""
    number: bool = True
    """Aligned on the right; sorted the largest first, unless asked otherwise."""


class NodeRow(NamedTuple):
    """One node, and what all its outputs sent and all its inputs received."""

    node: NodeFigures
    sent_hz: float | None
    received_hz: float | None

    @property
    def name(self) -> str:
        """Its id, which no other row has."""
        return self.node.view.id


class EdgeRow(NamedTuple):
    """One edge, or an output that nobody reads."""

    source: str
    target: str
    sent_hz: float | None
    bytes_s: float | None
    edge: EdgeFigures | None

    @property
    def name(self) -> str:
        """What no other row has; a wire that was taken away and laid again is two edges."""
        return self.source if self.edge is None else str(self.edge.view.number)


class Order(NamedTuple):
    """How rows are sorted: by the column of this title; None: as the dataflow file has them."""

    title: str | None = None
    falling: bool = False


def node_rows(flow: Figures) -> list[NodeRow]:
    """The nodes of a dataflow."""
    sent: dict[str, float] = {}
    received: dict[str, float] = {}
    for output in flow.outputs:
        if output.rate_hz is not None:
            sent[output.view.node] = sent.get(output.view.node, 0.0) + output.rate_hz
    for edge in flow.edges:
        if edge.rate_hz is not None:
            received[edge.view.receiver] = received.get(edge.view.receiver, 0.0) + edge.rate_hz
    return [
        NodeRow(node, sent.get(node.view.id), received.get(node.view.id)) for node in flow.nodes
    ]


def edge_rows(flow: Figures) -> list[EdgeRow]:
    """The edges of a dataflow, then the outputs that nobody reads."""
    rows = [
        EdgeRow(
            f"{edge.view.sender}/{edge.view.output}",
            f"{edge.view.receiver}/{edge.view.input}",
            edge.sent_hz,
            edge.bytes_s,
            edge,
        )
        for edge in flow.edges
    ]
    read = {row.source for row in rows}
    for one in flow.outputs:
        source = f"{one.view.node}/{one.view.output}"
        if source not in read:
            rows.append(EdgeRow(source, UNKNOWN, one.rate_hz, one.bytes_s, None))
    return rows


def arranged(rows: Iterable[_Row], columns: Sequence[Column[_Row]], order: Order) -> list[_Row]:
    """Rows in this order; equal ones stay as they are, unknown ones come last."""
    column = next((one for one in columns if one.title == order.title), None)
    if column is None:
        return list(rows)
    rows = list(rows)
    known = [row for row in rows if column.value(row) is not None]
    unknown = [row for row in rows if column.value(row) is None]

    def key(row: _Row) -> float | str:
        value = column.value(row)
        return value.casefold() if isinstance(value, str) else value or 0.0

    return sorted(known, key=key, reverse=order.falling) + unknown


def has_text(pattern: str, *texts: str) -> bool:
    """Whether one of the texts has this in it, in upper or lower case."""
    return any(pattern.casefold() in text.casefold() for text in texts)


def shortened(name: str, most: int) -> str:
    """A name in so many columns, its middle left out: both ends tell what it is."""
    if len(name) <= most:
        return name
    tail = (most - 1) // 2
    return f"{name[: most - 1 - tail]}…{name[len(name) - tail :]}"


def number(value: float | None, unit: float = 1.0) -> str:
    """Three digits, as many of them behind the point as it takes."""
    if value is None:
        return UNKNOWN
    value /= unit
    digits = 0 if value >= 100 else 1 if value >= 10 or not value else 2
    return f"{value:.{digits}f}"


def delay(delay_ns: float | None) -> str:
    """A delay in the unit that suits it."""
    if delay_ns is None:
        return UNKNOWN
    for unit, size in (("s", 1e9), ("ms", 1e6)):
        if delay_ns >= size:
            return f"{number(delay_ns, size)} {unit}"
    return f"{delay_ns / 1e3:.0f} us"


def _status(row: NodeRow) -> str:
    return status_of(row.node.view)


def _cpu(row: NodeRow) -> float | None:
    return None if row.node.view.pid is None else row.node.cpu_percent


def _memory(row: NodeRow) -> float | None:
    return None if row.node.view.pid is None else row.node.view.memory_bytes


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f}%"


def _megabytes(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value / 1e6:.0f} MB"


def _rate(title: str, value: Callable[[_Row], float | None], unit: float = 1.0) -> Column[_Row]:
    return Column(title, lambda row: number(value(row), unit), value)


def _of_edge(
    title: str, value: Callable[[EdgeFigures], float | None], text: Callable[[float | None], str]
) -> Column[EdgeRow]:
    """A figure of an edge; nothing where nobody reads."""
    return Column(
        title,
        lambda row: "" if row.edge is None else text(value(row.edge)),
        lambda row: None if row.edge is None else value(row.edge),
    )


def _count(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f}"


def _queue(row: EdgeRow) -> str:
    if row.edge is None:
        return ""
    view = row.edge.view
    return f"{view.waiting}/{view.queue_size}" if view.open else "closed"


NODE = Column[NodeRow]("NODE", lambda row: row.name, lambda row: row.name, number=False)
STATUS = Column[NodeRow](
    "STATUS",
    lambda row: status_of(row.node.view),
    lambda row: status_of(row.node.view),
    number=False,
)
PID = Column[NodeRow](
    "PID", lambda row: str(row.node.view.pid or UNKNOWN), lambda row: row.node.view.pid
)
CPU = Column[NodeRow]("CPU", lambda row: _percent(_cpu(row)), _cpu)
MEMORY = Column[NodeRow]("MEMORY", lambda row: _megabytes(_memory(row)), _memory)
RESTARTS = Column[NodeRow](
    "RESTARTS", lambda row: str(row.node.view.restarts), lambda row: row.node.view.restarts
)
NODE_COLUMNS: tuple[Column[NodeRow], ...] = (
    NODE,
    STATUS,
    CPU,
    MEMORY,
    RESTARTS,
    _rate("SENT/S", lambda row: row.sent_hz),
    _rate("RECV/S", lambda row: row.received_hz),
    Column("PENDING", lambda row: str(row.node.pending), lambda row: row.node.pending),
    PID,
    _rate("READ MB/S", lambda row: row.node.disk_read_bytes_s, 1e6),
    _rate("WRITE MB/S", lambda row: row.node.disk_write_bytes_s, 1e6),
)
"""The most telling first: a narrow screen shows those."""
EDGE_COLUMNS: tuple[Column[EdgeRow], ...] = (
    Column("OUTPUT", lambda row: row.source, lambda row: row.source, number=False),
    Column("INPUT", lambda row: row.target, lambda row: row.target, number=False),
    _of_edge("RECV/S", lambda edge: edge.rate_hz, number),
    _of_edge("P50", lambda edge: edge.p50_ns, delay),
    _of_edge("P99", lambda edge: edge.p99_ns, delay),
    Column("QUEUE", _queue, lambda row: None if row.edge is None else row.edge.view.waiting),
    _of_edge("DROPPED", lambda edge: edge.view.dropped, _count),
    _of_edge("DROPPED/S", lambda edge: edge.dropped_hz, number),
    _rate("SENT/S", lambda row: row.sent_hz),
    _rate("MB/S", lambda row: row.bytes_s, 1e6),
    _of_edge("LATE", lambda edge: edge.view.late, _count),
)

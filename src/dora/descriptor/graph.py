"""A dataflow as a graph to look at: nodes and timers with their ports, a wire each; and as Mermaid.

Pure. Takes a plan, decides what is shown and in which order.

Used by `dora graph`. Elsewhere: where things stand (`descriptor.placement`), the picture itself
(`descriptor.drawing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dora.descriptor.plan import DEFAULT_QUEUE_SIZE

if TYPE_CHECKING:
    from dora.descriptor.plan import LogRoute, NodePlan, Plan, Route

VertexKind = Literal["source", "inner", "sink", "dynamic", "timer", "logs"]

VIRTUAL = frozenset({"timer", "logs"})
"""Kinds that are no node: each has one output, without a name."""

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))
_SHAPES = {"timer": ("([", "])"), "logs": ("[(", ")]"), "dynamic": ("{{", "}}")}
_ESCAPES = str.maketrans({'"': "#quot;", "<": "#lt;", ">": "#gt;", "#": "#35;", "\n": " "})
_STYLES = (
    "classDef source fill:#dcfce7,stroke:#16a34a,color:#14532d",
    "classDef inner fill:#dbeafe,stroke:#2563eb,color:#1e3a8a",
    "classDef sink fill:#fef3c7,stroke:#d97706,color:#78350f",
    "classDef dynamic fill:#f3e8ff,stroke:#9333ea,color:#581c87",
    "classDef timer fill:#f1f5f9,stroke:#64748b,color:#334155",
    "classDef logs fill:#f1f5f9,stroke:#64748b,color:#334155",
)


@dataclass(frozen=True)
class Vertex:
    """Something that sends or receives."""

    key: str
    label: str
    kind: VertexKind
    detail: str = ""
    """What a node runs, as the file says it."""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wire:
    """One output to one input."""

    start: str
    output: str
    """Empty for timers and logs."""
    end: str
    input: str
    note: str = ""
    """What is special about the queue: `queue 1`, `backpressure`."""
    type: str = ""
    """Short name of what the output sends, if the file says it."""


@dataclass(frozen=True)
class Graph:
    """A dataflow to look at."""

    name: str
    vertices: tuple[Vertex, ...]
    wires: tuple[Wire, ...]


def graph_of(plan: Plan) -> Graph:
    """What to show of a plan: nodes in file order, then timers, then logs."""
    types = plan.types.shown
    wires = [
        Wire(
            *(r.sender, r.output, r.receiver, r.input, _note(r)),
            type=types.get(r.sender, {}).get(r.output, ""),
        )
        for r in plan.routes
    ]
    senders = {wire.start for wire in wires if wire.start != wire.end}
    fed = {wire.end for wire in wires if wire.start != wire.end}
    vertices = [_vertex(plan, node, senders, fed) for node in plan.nodes]
    virtual: dict[str, Vertex] = {}
    for node in plan.nodes:
        for timer in node.timers:
            key = f"dora/timer/{timer.interval_ns}"
            virtual[key] = Vertex(key, f"timer {_interval(timer.interval_ns)}", "timer")
            wires.append(Wire(key, "", node.id, timer.input))
    for log in plan.log_routes:
        key = str(log.logs)
        shown = [part for part in (log.logs.level, log.logs.node) if part and part != "stdout"]
        virtual[key] = Vertex(key, " ".join(["logs", *shown]), "logs")
        wires.append(Wire(key, "", log.receiver, log.input, _note(log)))
    return Graph(plan.name, (*vertices, *virtual.values()), tuple(wires))


def to_mermaid(graph: Graph) -> str:
    """The graph as Mermaid text, with a line end at its end."""
    names = {vertex.key: f"n{number}" for number, vertex in enumerate(graph.vertices)}
    lines = ["flowchart LR"]
    for vertex in graph.vertices:
        left, right = _SHAPES.get(vertex.kind, ("[", "]"))
        texts = [part.translate(_ESCAPES) for part in (vertex.label, vertex.detail) if part]
        lines.append(f'  {names[vertex.key]}{left}"{"<br/>".join(texts)}"{right}:::{vertex.kind}')
    labels: dict[tuple[str, str], list[str]] = {}
    for wire in graph.wires:
        labels.setdefault((wire.start, wire.end), []).append(_label(wire))
    for (start, end), texts in labels.items():
        lines.append(f'  {names[start]} -- "{"<br/>".join(texts)}" --> {names[end]}')
    lines += [f"  {style}" for style in _STYLES]
    return "\n".join(lines) + "\n"


def _label(wire: Wire) -> str:
    same = wire.output in {"", wire.input}
    label = wire.input if same else f"{wire.output} → {wire.input}"
    label += f" [{wire.type.translate(_ESCAPES)}]" if wire.type else ""
    return f"{label} ({wire.note})" if wire.note else label


def _note(route: Route | LogRoute) -> str:
    notes = [f"queue {route.queue_size}"] if route.queue_size != DEFAULT_QUEUE_SIZE else []
    return ", ".join([*notes, "backpressure"] if route.backpressure else notes)


def _vertex(plan: Plan, node: NodePlan, senders: set[str], fed: set[str]) -> Vertex:
    kind: VertexKind = "inner" if node.id in senders else "sink"
    if node.command is None:
        kind = "dynamic"
    elif node.id not in fed:
        kind = "source"
    entry = next(item for item in plan.descriptor["nodes"] if item["id"] == node.id)
    return Vertex(node.id, node.id, kind, _detail(entry), node.inputs, node.outputs)


def _detail(entry: dict[str, Any]) -> str:
    """What a node runs: its path, or the files of its operators."""
    if "path" in entry:
        return str(entry["path"])
    operators = [entry["operator"]] if entry.get("operator") else entry.get("operators") or []
    files = [operator["python"] for operator in operators]
    named = [str(file["source"] if isinstance(file, dict) else file) for file in files]
    return ", ".join(dict.fromkeys(named))


def _interval(interval_ns: int) -> str:
    """`33 ms`; a rate where the interval is no round number."""
    for size, unit in _UNITS:
        if interval_ns % size == 0:
            return f"{interval_ns // size} {unit}"
    return f"{1e9 / interval_ns:.4g} Hz"

"""A dataflow as a graph to look at: nodes, virtual sources, labelled edges; and as Mermaid.

Pure. Takes a plan, decides what is shown and in which order.

Used by `dora graph`. Elsewhere: where things stand in a picture (`descriptor.drawing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dora.descriptor.plan import Plan

VertexKind = Literal["source", "inner", "sink", "dynamic", "timer", "logs"]

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))
_SHAPES = {"timer": ("([", "])"), "logs": ("[(", ")]"), "dynamic": ("{{", "}}")}
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


@dataclass(frozen=True)
class Edge:
    """All wires from one vertex to another; a label each."""

    start: str
    end: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """A dataflow to look at."""

    name: str
    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...]


def graph_of(plan: Plan) -> Graph:
    """What to show of a plan: nodes in file order, then timers, then logs."""
    wires: dict[tuple[str, str], list[str]] = {}
    virtual: dict[str, Vertex] = {}
    for route in plan.routes:
        label = route.output if route.output == route.input else f"{route.output} → {route.input}"
        wires.setdefault((route.sender, route.receiver), []).append(label)
    for node in plan.nodes:
        for timer in node.timers:
            key = f"dora/timer/{timer.interval_ns}"
            virtual[key] = Vertex(key, f"timer {_interval(timer.interval_ns)}", "timer")
            wires.setdefault((key, node.id), []).append(timer.input)
    for log in plan.log_routes:
        key = str(log.logs)
        shown = [part for part in (log.logs.level, log.logs.node) if part and part != "stdout"]
        virtual[key] = Vertex(key, " ".join(["logs", *shown]), "logs")
        wires.setdefault((key, log.receiver), []).append(log.input)
    senders = {sender for sender, receiver in wires if sender != receiver}
    fed = {receiver for sender, receiver in wires if sender not in virtual and sender != receiver}
    vertices = [
        Vertex(
            node.id,
            node.id,
            _kind(node.id, node.command is None, senders, fed),
            _detail(plan, node.id),
        )
        for node in plan.nodes
    ]
    edges = [Edge(start, end, tuple(labels)) for (start, end), labels in wires.items()]
    return Graph(plan.name, (*vertices, *virtual.values()), tuple(edges))


def to_mermaid(graph: Graph) -> str:
    """The graph as Mermaid text, with a line end at its end."""
    names = {vertex.key: f"n{number}" for number, vertex in enumerate(graph.vertices)}
    lines = ["flowchart LR"]
    for vertex in graph.vertices:
        left, right = _SHAPES.get(vertex.kind, ("[", "]"))
        lines.append(f'  {names[vertex.key]}{left}"{vertex.label}"{right}:::{vertex.kind}')
    for edge in graph.edges:
        label = "<br/>".join(edge.labels)
        lines.append(f'  {names[edge.start]} -- "{label}" --> {names[edge.end]}')
    lines += [f"  {style}" for style in _STYLES]
    return "\n".join(lines) + "\n"


def _kind(node_id: str, is_dynamic: bool, senders: set[str], fed: set[str]) -> VertexKind:
    if is_dynamic:
        return "dynamic"
    if node_id not in fed:
        return "source"
    return "inner" if node_id in senders else "sink"


def _detail(plan: Plan, node_id: str) -> str:
    """What the node runs, as the file says it."""
    node = next(item for item in plan.descriptor["nodes"] if item["id"] == node_id)
    return str(node.get("path", ""))


def _interval(interval_ns: int) -> str:
    """`33 ms`; a rate where the interval is no round number."""
    for size, unit in _UNITS:
        if interval_ns % size == 0:
            return f"{interval_ns // size} {unit}"
    return f"{1e9 / interval_ns:.4g} Hz"

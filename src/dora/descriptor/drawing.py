"""A graph as a web page that needs nothing else: layers from left to right, drawn as SVG.

Pure. Every vertex stands one layer right of what feeds it; edges that would lead back (cycles) run
below. Within a layer, vertices follow the mean height of their neighbours, so that few edges
cross.

Takes what `descriptor.graph` decided to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dora.descriptor.graph import Edge, Graph, Vertex

_CHAR_WIDTH = 7.6
_BOX_HEIGHT = 52
_BEND_HEIGHT = 6
_ROW_GAP = 36
_MARGIN = 40
_LABEL_HEIGHT = 14
_SWEEPS = 8

_STYLE = """
:root { color-scheme: light dark; --ink: #1e293b; --soft: #64748b; --paper: #ffffff;
  --line: #94a3b8; --source: #dcfce7; --inner: #dbeafe; --sink: #fef3c7; --dynamic: #f3e8ff;
  --virtual: #f1f5f9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e8f0; --soft: #94a3b8; --paper: #0f172a;
  --line: #64748b; --source: #14532d; --inner: #1e3a8a; --sink: #78350f; --dynamic: #581c87;
  --virtual: #1e293b; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 14px system-ui, sans-serif; }
h1 { font-size: 18px; font-weight: 600; margin: 24px 40px 0; }
p { margin: 4px 40px 0; color: var(--soft); }
main { overflow-x: auto; }
text { fill: var(--ink); text-anchor: middle; font: 13px system-ui, sans-serif; }
text.id { font-weight: 600; }
text.detail { fill: var(--soft); font-size: 11px; }
text.label { font-size: 11px; paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
rect { stroke: var(--line); }
path { fill: none; stroke: var(--line); stroke-width: 1.5; }
marker path { fill: var(--line); stroke: none; }
.source rect { fill: var(--source); } .inner rect { fill: var(--inner); }
.sink rect { fill: var(--sink); } .dynamic rect { fill: var(--dynamic); }
.timer rect, .logs rect { fill: var(--virtual); stroke-dasharray: 4 3; }
""".strip()


@dataclass(frozen=True)
class _Box:
    """Where a vertex or a bend stands; `x` and `y` are its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def right(self) -> float:
        return self.x + self.width


@dataclass(frozen=True)
class _Picture:
    """Where everything stands: vertices, the bends of edges, and the ways of edges through them."""

    boxes: dict[str, _Box]
    ways: dict[tuple[str, str], list[str]]
    """Edges that lead back have none."""
    below: float


def to_html(graph: Graph) -> str:
    """The graph as one page; it loads nothing from anywhere."""
    picture = _place(graph)
    boxes = picture.boxes
    width = max((box.right for box in boxes.values()), default=0) + _MARGIN
    leads_back = len(picture.ways) < len(graph.edges)
    height = picture.below + _MARGIN + (2 * _MARGIN if leads_back else 0)
    edges = [_edge(edge, picture) for edge in graph.edges]
    nodes = sum(vertex.kind not in {"timer", "logs"} for vertex in graph.vertices)
    wires = sum(len(edge.labels) for edge in graph.edges)
    body = "\n".join([*edges, *(_vertex(v, boxes[v.key]) for v in graph.vertices)])
    title = escape(graph.name)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{nodes} nodes, {wires} wires</p>
<main>
<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" role="img">
<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"
 orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>
{body}
</svg>
</main>
</body>
</html>
"""


def layers_of(graph: Graph) -> list[list[str]]:
    """The keys of the vertices, layer by layer, each layer in order from the top."""
    known = {vertex.key for vertex in graph.vertices}
    layers, _ = _layered(graph)
    return [[key for key in layer if key in known] for layer in layers]


def _layered(graph: Graph) -> tuple[list[list[str]], dict[tuple[str, str], list[str]]]:
    """The layers, with bends where an edge passes through one; and the way of each edge."""
    forward = _without_cycles(graph)
    depth = {vertex.key: 0 for vertex in graph.vertices}
    for _ in graph.vertices:
        for start, end in forward:
            depth[end] = max(depth[end], depth[start] + 1)
    for vertex in graph.vertices:
        ends = [depth[end] for start, end in forward if start == vertex.key]
        if vertex.kind in {"timer", "logs"} and ends:
            depth[vertex.key] = min(ends) - 1
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for vertex in graph.vertices:
        layers[depth[vertex.key]].append(vertex.key)
    ways: dict[tuple[str, str], list[str]] = {}
    for start, end in forward:
        passed = range(depth[start] + 1, depth[end])
        bends = [f"{start}\n{end}\n{number}" for number in passed]
        for number, bend in zip(passed, bends, strict=True):
            layers[number].append(bend)
        ways[start, end] = [start, *bends, end]
    steps = [step for way in ways.values() for step in pairwise(way)]
    return _untangle(layers, steps), ways


def _without_cycles(graph: Graph) -> list[tuple[str, str]]:
    """The edges less those that lead back: part of a cycle, and against the order of the file."""
    following: dict[str, set[str]] = {vertex.key: set() for vertex in graph.vertices}
    for edge in graph.edges:
        following[edge.start].add(edge.end)
    order = {vertex.key: number for number, vertex in enumerate(graph.vertices)}
    return [
        (edge.start, edge.end)
        for edge in graph.edges
        if order[edge.start] < order[edge.end] or edge.start not in _reached(edge.end, following)
    ]


def _reached(key: str, following: dict[str, set[str]]) -> set[str]:
    """What can be reached from a vertex, itself included."""
    reached = {key}
    waiting = [key]
    while waiting:
        fresh = following[waiting.pop()] - reached
        reached |= fresh
        waiting += fresh
    return reached


def _untangle(layers: list[list[str]], forward: list[tuple[str, str]]) -> list[list[str]]:
    """Order each layer by the mean position of its neighbours, sweeping to and fro."""
    neighbours: dict[str, list[str]] = {}
    for start, end in forward:
        neighbours.setdefault(start, []).append(end)
        neighbours.setdefault(end, []).append(start)
    position = {key: float(i) for layer in layers for i, key in enumerate(layer)}
    for sweep in range(_SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            mean = {
                key: sum(position[near] for near in neighbours[key]) / len(neighbours[key])
                if key in neighbours
                else position[key]
                for key in layer
            }
            layer.sort(key=lambda key: mean[key])
            position.update((key, float(i)) for i, key in enumerate(layer))
    return layers


def _place(graph: Graph) -> _Picture:
    """Where everything stands."""
    vertices = {vertex.key: vertex for vertex in graph.vertices}
    layers, ways = _layered(graph)
    heights = [
        sum(_BOX_HEIGHT if key in vertices else _BEND_HEIGHT for key in layer)
        + _ROW_GAP * (len(layer) - 1)
        for layer in layers
    ]
    full = max(heights, default=0)
    boxes: dict[str, _Box] = {}
    x = float(_MARGIN)
    for layer, height in zip(layers, heights, strict=True):
        width = max((_width(vertices[key]) for key in layer if key in vertices), default=0.0)
        y = _MARGIN + (full - height) / 2
        for key in layer:
            tall = _BOX_HEIGHT if key in vertices else _BEND_HEIGHT
            boxes[key] = _Box(x, y, width, tall)
            y += tall + _ROW_GAP
        labels = [label for edge in graph.edges if edge.start in layer for label in edge.labels]
        x += width + max(80.0, max(map(len, labels), default=0) * _CHAR_WIDTH * 0.85 + 48)
    return _Picture(boxes, ways, _MARGIN + full)


def _width(vertex: Vertex) -> float:
    return max(90.0, max(len(vertex.label), len(vertex.detail) * 0.82) * _CHAR_WIDTH + 28)


def _vertex(vertex: Vertex, box: _Box) -> str:
    middle = box.x + box.width / 2
    radius = _BOX_HEIGHT / 2 if vertex.kind in {"timer", "logs"} else 8
    drop = -3 if vertex.detail else 4.5
    texts = _text("id", middle, box.middle + drop, vertex.label)
    if vertex.detail:
        texts += _text("detail", middle, box.middle + 14, vertex.detail)
    return (
        f'<g class="{vertex.kind}"><rect x="{box.x:.1f}" y="{box.y:.1f}" '
        f'width="{box.width:.1f}" height="{_BOX_HEIGHT}" rx="{radius}"/>{texts}</g>'
    )


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _edge(edge: Edge, picture: _Picture) -> str:
    boxes = picture.boxes
    way = picture.ways.get((edge.start, edge.end))
    if way is None:
        curve, x, y = _back(boxes[edge.start], boxes[edge.end], picture.below + 2 * _MARGIN)
    else:
        curve, x, y = _forth([boxes[key] for key in way])
    top = y - (len(edge.labels) - 1) * _LABEL_HEIGHT / 2 + 3.5
    labels = "".join(
        _text("label", x, top + i * _LABEL_HEIGHT, label) for i, label in enumerate(edge.labels)
    )
    return f'<path d="{curve}" marker-end="url(#tip)"/>{labels}'


def _forth(boxes: list[_Box]) -> tuple[str, float, float]:
    """The curve of an edge that leads right, and where its label stands: after its start."""
    parts = [f"M{boxes[0].right:.1f},{boxes[0].middle:.1f}"]
    for start, end in pairwise(boxes):
        half = (start.right + end.x) / 2
        parts.append(
            f"C{half:.1f},{start.middle:.1f} {half:.1f},{end.middle:.1f} "
            f"{end.x:.1f},{end.middle:.1f}"
        )
        if end is not boxes[-1]:
            parts.append(f"H{end.right:.1f}")
    first, second = boxes[:2]
    return " ".join(parts), (first.right + second.x) / 2, (first.middle + second.middle) / 2


def _back(start: _Box, end: _Box, low: float) -> tuple[str, float, float]:
    """The curve of an edge that leads back, below all else, and where its label stands."""
    curve = (
        f"M{start.right:.1f},{start.middle:.1f} C{start.right + 60:.1f},{low:.1f} "
        f"{end.x - 60:.1f},{low:.1f} {end.x:.1f},{end.middle:.1f}"
    )
    # At the middle of a cubic curve its ends weigh 1/8 each, its two controls 3/8 each.
    return curve, (start.right + end.x) / 2, (start.middle + end.middle) / 8 + low * 3 / 4

"""A graph as a web page that needs nothing else: layers from left to right, drawn as SVG.

Pure. Every vertex stands one layer right of what feeds it; edges that would lead back (cycles) run
below. Within a layer, vertices follow the mean height of their neighbours, so that few edges
cross.

Takes what `descriptor.graph` decided to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dora.descriptor.graph import Edge, Graph, Vertex

_CHAR_WIDTH = 7.6
_BOX_HEIGHT = 52
_ROW_GAP = 36
_MARGIN = 40
_LABEL_HEIGHT = 14
_SWEEPS = 8

_STYLE = """
:root { color-scheme: light dark; --ink: #1e293b; --soft: #64748b; --paper: #ffffff;
  --line: #94a3b8; --source: #dcfce7; --inner: #dbeafe; --sink: #fef3c7; --dynamic: #f3e8ff; --virtual: #f1f5f9; }
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
    """Where a vertex stands; `x` and `y` are its upper left corner."""

    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        return self.y + _BOX_HEIGHT / 2


def to_html(graph: Graph) -> str:
    """The graph as one page; it loads nothing from anywhere."""
    boxes, depth = _place(graph)
    width = max((box.x + box.width for box in boxes.values()), default=0) + _MARGIN
    height = depth + _MARGIN
    edges = [_edge(edge, boxes, below=depth) for edge in graph.edges]
    if any(boxes[e.end].x <= boxes[e.start].x for e in graph.edges):
        height += 2 * _MARGIN
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
    forward = _without_cycles(graph)
    depth = {vertex.key: 0 for vertex in graph.vertices}
    for _ in graph.vertices:
        moved = False
        for start, end in forward:
            if depth[end] <= depth[start]:
                depth[end] = depth[start] + 1
                moved = True
        if not moved:
            break
    for vertex in graph.vertices:
        ends = [depth[end] for start, end in forward if start == vertex.key]
        if vertex.kind in {"timer", "logs"} and ends:
            depth[vertex.key] = min(ends) - 1
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for vertex in graph.vertices:
        layers[depth[vertex.key]].append(vertex.key)
    return _untangle(layers, forward)


def _without_cycles(graph: Graph) -> list[tuple[str, str]]:
    """The edges less those that close a cycle, found depth first in file order."""
    following: dict[str, list[str]] = {vertex.key: [] for vertex in graph.vertices}
    fed = set()
    for edge in graph.edges:
        following[edge.start].append(edge.end)
        fed.add(edge.end)
    kept: list[tuple[str, str]] = []
    done: set[str] = set()
    roots = sorted(following, key=lambda key: key in fed)
    for root in roots:
        if root in done:
            continue
        trail = {root: iter(following[root])}
        while trail:
            key = next(reversed(trail))
            step = next(trail[key], None)
            if step is None:
                del trail[key]
                done.add(key)
            elif step not in trail:
                kept.append((key, step))
                if step not in done:
                    trail[step] = iter(following[step])
    return kept


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


def _place(graph: Graph) -> tuple[dict[str, _Box], float]:
    """A box for every vertex, and how far down the lowest one reaches."""
    vertices = {vertex.key: vertex for vertex in graph.vertices}
    layers = layers_of(graph)
    column = {key: number for number, layer in enumerate(layers) for key in layer}
    rows = max((len(layer) for layer in layers), default=0)
    full = rows * (_BOX_HEIGHT + _ROW_GAP) - _ROW_GAP
    boxes: dict[str, _Box] = {}
    x = float(_MARGIN)
    for number, layer in enumerate(layers):
        width = max(_width(vertices[key]) for key in layer)
        top = _MARGIN + (full - len(layer) * (_BOX_HEIGHT + _ROW_GAP) + _ROW_GAP) / 2
        for row, key in enumerate(layer):
            boxes[key] = _Box(x, top + row * (_BOX_HEIGHT + _ROW_GAP), width)
        crossing = [edge for edge in graph.edges if column[edge.start] <= number < column[edge.end]]
        longest = max((len(label) for edge in crossing for label in edge.labels), default=0)
        x += width + max(80.0, longest * _CHAR_WIDTH * 0.85 + 48)
    return boxes, _MARGIN + max(full, 0)


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


def _edge(edge: Edge, boxes: dict[str, _Box], *, below: float) -> str:
    start, end = boxes[edge.start], boxes[edge.end]
    x1, y1, x2, y2 = start.x + start.width, start.middle, end.x - 2, end.middle
    if end.x > start.x:
        bend = max(40.0, (x2 - x1) / 2)
        c1x, c2x, c1y, c2y = x1 + bend, x2 - bend, y1, y2
        middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 2
    else:
        c1x, c2x, c1y, c2y = x1 + 60, x2 - 60, below + _MARGIN, below + _MARGIN
        # The curve is cubic: at its middle the ends weigh 1/8 each, the two controls 3/8 each.
        middle_x, middle_y = (x1 + x2) / 2, (y1 + y2) / 8 + (c1y + c2y) * 3 / 8
    top = middle_y - (len(edge.labels) - 1) * _LABEL_HEIGHT / 2 + 3.5
    labels = "".join(
        _text("label", middle_x, top + i * _LABEL_HEIGHT, label)
        for i, label in enumerate(edge.labels)
    )
    curve = f"M{x1:.1f},{y1:.1f} C{c1x:.1f},{c1y:.1f} {c2x:.1f},{c2y:.1f} {x2:.1f},{y2:.1f}"
    return f'<path d="{curve}" marker-end="url(#tip)"/>{labels}'

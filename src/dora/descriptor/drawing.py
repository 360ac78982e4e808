"""A graph as a web page that needs nothing else, drawn as SVG that fits itself to the window.

Pure. Names stand inside the boxes, never on a line; every output has a colour, and pointing at a
line names what it connects. The page is as wide as the window down to where text becomes too small
to read; below that it scrolls.

Used by `dora graph`. Elsewhere: what is shown (`descriptor.graph`), where (`descriptor.placement`).
"""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from dora.descriptor.graph import VIRTUAL
from dora.descriptor.placement import HEADER_HEIGHT, TIP_LENGTH, place, shortened

if TYPE_CHECKING:
    from dora.descriptor.graph import Graph, Vertex
    from dora.descriptor.placement import Box, Point, Strand

_SMALLEST = 0.75
"""Scaled down to this, text of 11 pixels can just be read."""
_LARGEST = 1.3
_ROUNDING = 9.0
_COLOURS = 8

_STYLE = """
:root { color-scheme: light dark; --ink: #1e293b; --soft: #64748b; --paper: #ffffff;
  --line: #94a3b8; --source: #dcfce7; --inner: #dbeafe; --sink: #fef3c7; --dynamic: #f3e8ff;
  --virtual: #f1f5f9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e8f0; --soft: #a3b3c9; --paper: #0f172a;
  --line: #64748b; --source: #14532d; --inner: #1e3a8a; --sink: #78350f; --dynamic: #581c87;
  --virtual: #1e293b; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 14px system-ui, sans-serif; }
h1 { font-size: 18px; font-weight: 600; margin: 20px 28px 0; }
p { margin: 4px 28px 0; color: var(--soft); }
main { overflow-x: auto; }
svg { display: block; width: 100%; height: auto; }
text { fill: var(--ink); font: 11px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono",
  "Liberation Mono", monospace; }
text.id { font-size: 13px; font-weight: 600; }
text.id, text.detail { text-anchor: middle; }
text.detail { fill: var(--soft); }
text.out { text-anchor: end; }
rect { stroke: var(--line); }
.source rect { fill: var(--source); } .inner rect { fill: var(--inner); }
.sink rect { fill: var(--sink); } .dynamic rect { fill: var(--dynamic); }
.timer rect, .logs rect { fill: var(--virtual); stroke-dasharray: 4 3; }
.line { fill: none; stroke: currentColor; stroke-width: 1.6; }
.tip { fill: currentColor; }
.strand:hover .line { stroke-width: 3.5; }
.virtual { color: var(--line); } .virtual .line { stroke-dasharray: 4 3; }
.c0 { color: #3b82f6; } .c1 { color: #d97706; } .c2 { color: #10b981; } .c3 { color: #ef4444; }
.c4 { color: #8b5cf6; } .c5 { color: #0891b2; } .c6 { color: #ec4899; } .c7 { color: #65a30d; }
circle { fill: currentColor; } circle.free { fill: var(--paper); stroke: var(--line); }
""".strip()


def to_html(graph: Graph) -> str:
    """The graph as one page; it loads nothing from anywhere."""
    picture = place(graph)
    kinds = {vertex.key: vertex.kind for vertex in graph.vertices}
    drawn: list[str] = []
    colours: dict[tuple[str, str], str] = {}
    order = sorted(picture.strands, key=lambda s: _upper_left(picture.boxes[s.bundle.start]))
    for strand in order:
        colour = f"c{len(colours) % _COLOURS}"
        if kinds[strand.bundle.start] in VIRTUAL:
            colour = "virtual"
        else:
            colours[strand.bundle.start, strand.bundle.output] = colour
        drawn.append(_strand(strand, colour))
    drawn += [_vertex(vertex, picture.boxes[vertex.key], colours) for vertex in graph.vertices]
    nodes = sum(kind not in VIRTUAL for kind in kinds.values())
    body = "\n".join(drawn)
    title = escape(graph.name)
    width, height = picture.width, picture.height
    limits = f"min-width: {width * _SMALLEST:.0f}px; max-width: {width * _LARGEST:.0f}px"
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
<p>{_count(nodes, "node")}, {_count(len(graph.wires), "wire")}</p>
<main>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"
 style="{limits}" role="img" aria-label="{title}">
{body}
</svg>
</main>
</body>
</html>
"""


def _vertex(vertex: Vertex, box: Box, colours: dict[tuple[str, str], str]) -> str:
    middle = box.x + box.width / 2
    is_pill = vertex.kind in VIRTUAL
    top = box.y + (box.height / 2 + 4.5 if is_pill else 18 if vertex.detail else 26)
    parts = [
        f"<title>{escape(' · '.join(filter(None, [vertex.label, vertex.detail])))}</title>",
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="{box.height / 2 if is_pill else 8:.0f}"/>',
        _text("id", middle, top, shortened(vertex.label)),
    ]
    if vertex.detail:
        shown = shortened(vertex.detail, end=True)
        parts.append(_text("detail", middle, box.y + HEADER_HEIGHT - 10, shown))
    for row in box.inputs:
        parts.append(_text("in", box.x + 10, box.y + row.drop + 4, row.text))
    for row in box.outputs if not is_pill else ():
        x, y = box.x + box.width, box.y + row.drop
        dot = colours.get((vertex.key, row.port), "free")
        parts.append(f'<circle class="{dot}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
        parts.append(_text("out", x - 10, y + 4, row.text))
    return f'<g class="{vertex.kind}">{"".join(parts)}</g>'


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _strand(strand: Strand, colour: str) -> str:
    bundle = strand.bundle
    source = f"{bundle.start}/{bundle.output}" if bundle.output else bundle.start
    wires = [*(wire for wire, _ in bundle.forth), *bundle.back]
    told = "\n".join(
        f"{source} → {wire.end}/{wire.input}"
        + (f" [{wire.type}]" if wire.type else "")
        + (f" ({wire.note})" if wire.note else "")
        for wire in wires
    )
    line = " ".join([*(_curve(*ends) for ends in strand.curves), *map(_lane, strand.lanes)])
    tips = " ".join(
        f"M{x:.1f},{y:.1f} l-{TIP_LENGTH:g},-4 v8 z" for x, y in dict.fromkeys(strand.tips)
    )
    return (
        f'<g class="strand {colour}"><title>{escape(told)}</title>'
        f'<path class="line" d="{line}"/><path class="tip" d="{tips}"/></g>'
    )


def _curve(start: Point, end: Point) -> str:
    """A line that leaves and enters level."""
    (x1, y1), (x2, y2) = start, end
    if abs(y1 - y2) < 0.5:
        return f"M{x1:.1f},{y1:.1f} H{x2:.1f}"
    half = (x1 + x2) / 2
    return f"M{x1:.1f},{y1:.1f} C{half:.1f},{y1:.1f} {half:.1f},{y2:.1f} {x2:.1f},{y2:.1f}"


def _lane(corners: tuple[Point, ...]) -> str:
    """A line along the corners, each of them rounded off."""
    path = f"M{corners[0][0]:.1f},{corners[0][1]:.1f}"
    for (before, corner), (_, after) in pairwise(pairwise(corners)):
        (x1, y1), (x2, y2) = _towards(corner, before), _towards(corner, after)
        path += f" L{x1:.1f},{y1:.1f} Q{corner[0]:.1f},{corner[1]:.1f} {x2:.1f},{y2:.1f}"
    return path + f" L{corners[-1][0]:.1f},{corners[-1][1]:.1f}"


def _towards(corner: Point, other: Point) -> Point:
    """The point at which a rounded corner begins, on its way to `other`."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = abs(dx) + abs(dy)
    share = min(_ROUNDING, length / 2) / length if length else 0.0
    return corner[0] + dx * share, corner[1] + dy * share


def _upper_left(box: Box) -> Point:
    return box.x, box.y


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

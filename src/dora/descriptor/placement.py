"""Where everything of a graph stands in a picture: boxes, ports, and the lines between them.

Ports stand in rows inside their box, inputs at its left edge and outputs at its right, so no label
lies on a line. Heights are chosen so that lines run as level as the order in a column allows.
Lines that lead back run in lanes of their own below the columns they pass. Pure; sizes are in
pixels of an unscaled picture, and all characters are taken to be of one width.

Used by `descriptor.drawing`. Elsewhere: columns and their order (`descriptor.layering`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from dora.descriptor.graph import VIRTUAL
from dora.descriptor.layering import layered

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.descriptor.graph import Graph, Vertex, Wire
    from dora.descriptor.layering import Bundle, Layering

MARGIN = 28.0
HEADER_HEIGHT = 44.0
ROW_HEIGHT = 18.0
TITLE_CHAR_WIDTH = 7.9
CHAR_WIDTH = 6.7
TIP_LENGTH = 7.0

_FOOT_HEIGHT = 8.0
_PILL_HEIGHT = 30.0
_BOX_GAP = 26.0
_BEND_GAP = 15.0
_LANE_GAP = 11.0
_RUN_GAP = 6.0
_LONGEST = 28
_SWEEPS = 10

Point = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """A port: its text as shown, and how far below the top of its box it stands."""

    port: str
    text: str
    drop: float


@dataclass(frozen=True)
class Box:
    """A vertex; `x` and `y` are its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    inputs: tuple[Row, ...] = ()
    outputs: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Strand:
    """The lines of one bundle."""

    bundle: Bundle
    curves: tuple[tuple[Point, Point], ...]
    lanes: tuple[tuple[Point, ...], ...]
    """Corners of lines that lead back."""
    tips: tuple[Point, ...]


@dataclass(frozen=True)
class Picture:
    """Where everything stands."""

    boxes: dict[str, Box]
    strands: tuple[Strand, ...]
    width: float
    height: float


def place(graph: Graph) -> Picture:
    """Choose a place for everything."""
    layering = layered(graph)
    sizes = _sizes(graph, layering)
    places = _Places(layering, sizes)
    strands = tuple(places.strand(bundle) for bundle in _inner_first(layering, places))
    boxes = {key: places.box(key) for key in sizes}
    lanes = [y for strand in strands for lane in strand.lanes for _, y in lane]
    bends = [places.top[key] for column in layering.columns for key in column if key not in boxes]
    bottoms = [box.y + box.height for box in boxes.values()]
    right = max((box.x + box.width for box in boxes.values()), default=0.0)
    runs = [x for strand in strands for lane in strand.lanes for x, _ in lane]
    return Picture(
        boxes,
        strands,
        max([right, *runs]) + MARGIN,
        max([0.0, *lanes, *bends, *bottoms]) + MARGIN,
    )


def shortened(text: str, *, end: bool = False) -> str:
    """The text as it is shown: its beginning, or its end, when it is long."""
    if len(text) <= _LONGEST:
        return text
    return "…" + text[1 - _LONGEST :] if end else text[: _LONGEST - 1] + "…"


def _sizes(graph: Graph, layering: Layering) -> dict[str, Box]:
    """The boxes, not placed yet, their ports in an order that saves crossings."""
    order = {key: i for column in layering.columns for i, key in enumerate(column)}
    leads: dict[tuple[str, str], float] = {}
    comes: dict[tuple[str, str], float] = {}
    notes = {(wire.end, wire.input): wire.note for wire in graph.wires}
    for bundle in layering.bundles:
        ends = [order[end] for start, end in bundle.steps if start == bundle.start]
        leads[bundle.start, bundle.output] = sum(ends) / len(ends) if ends else len(order)
        for wire, stop in bundle.forth:
            comes[wire.end, wire.input] = float(order[stop])
    boxes: dict[str, Box] = {}
    for vertex in graph.vertices:
        key, last = vertex.key, float(len(order))
        inputs = sorted(vertex.inputs, key=lambda port: comes.get((key, port), last))
        outputs = sorted(vertex.outputs, key=lambda port: leads.get((key, port), last))
        boxes[key] = _sized(vertex, inputs, outputs, notes)
    return boxes


def _sized(
    vertex: Vertex, inputs: list[str], outputs: list[str], notes: dict[tuple[str, str], str]
) -> Box:
    title = max(
        len(shortened(vertex.label)) * TITLE_CHAR_WIDTH, len(shortened(vertex.detail)) * CHAR_WIDTH
    )
    if vertex.kind in VIRTUAL:
        return Box(0, 0, title + 28, _PILL_HEIGHT, (), (Row("", "", _PILL_HEIGHT / 2),))
    texts = [
        " · ".join(filter(None, [shortened(port), notes.get((vertex.key, port), "")]))
        for port in inputs
    ]
    left = _rows(inputs, texts)
    right = _rows(outputs, [shortened(port) for port in outputs])
    ports = sum(max((len(row.text) for row in rows), default=0) for rows in (left, right))
    rows = max(len(left), len(right))
    height = HEADER_HEIGHT + (rows * ROW_HEIGHT + _FOOT_HEIGHT if rows else 0)
    width = max(100.0, title + 24, ports * CHAR_WIDTH + (44 if left and right else 28))
    return Box(0, 0, width, height, left, right)


def _rows(ports: list[str], texts: list[str]) -> tuple[Row, ...]:
    drops = [HEADER_HEIGHT + (i + 0.5) * ROW_HEIGHT for i in range(len(ports))]
    return tuple(Row(*row) for row in zip(ports, texts, drops, strict=True))


def _inner_first(layering: Layering, places: _Places) -> list[Bundle]:
    """The bundles, short ways back before long ones: their lanes come to lie inside."""

    def reach(bundle: Bundle) -> int:
        columns = [places.column_of[wire.end] for wire in bundle.back]
        return places.column_of[bundle.start] - min(columns) if columns else -1

    return sorted(layering.bundles, key=reach)


class _Places:
    """Columns side by side, and in each the heights of boxes and bends."""

    def __init__(self, layering: Layering, sizes: dict[str, Box]) -> None:
        self._sizes = sizes
        self._columns = layering.columns
        self.column_of = {k: i for i, column in enumerate(layering.columns) for k in column}
        self.top: dict[str, float] = {}
        self._set_columns(layering.bundles)
        self._drops = {
            (key, side, row.port): row.drop
            for key, box in sizes.items()
            for side, rows in (("in", box.inputs), ("out", box.outputs))
            for row in rows
        }
        self._set_heights(layering.bundles)
        self._lanes: list[tuple[float, float, float]] = []
        self._runs: dict[tuple[int, str], int] = {}

    def box(self, key: str) -> Box:
        """A vertex where it stands."""
        size, column = self._sizes[key], self.column_of[key]
        return Box(
            self._x[column],
            self.top[key],
            self._width[column],
            size.height,
            size.inputs,
            size.outputs,
        )

    def strand(self, bundle: Bundle) -> Strand:
        """The lines of a bundle; call it once for each, as ways back take lanes."""
        start = self.column_of[bundle.start]
        curves: list[tuple[Point, Point]] = []
        tips: list[Point] = []
        points = {bundle.start: (self._right(start), self._out(bundle.start, bundle.output))}
        for before, stop in pairwise(bundle.stops):
            column, y = self.column_of[stop], self.top[stop]
            into, points[stop] = (self._x[column], y), (self._right(column), y)
            curves += [(points[before], into), (into, points[stop])]
        for wire, stop in bundle.forth:
            tips.append(self._tip(wire))
            curves.append((points[stop], (tips[-1][0] - TIP_LENGTH, tips[-1][1])))
        lanes: list[tuple[Point, ...]] = []
        if bundle.back:
            lanes = self._ways_back(bundle)
            tips += [self._tip(wire) for wire in bundle.back]
        return Strand(bundle, tuple(curves), tuple(lanes), tuple(tips))

    def _ways_back(self, bundle: Bundle) -> list[tuple[Point, ...]]:
        start = self.column_of[bundle.start]
        x, y = self._right(start), self._out(bundle.start, bundle.output)
        down = x + 14 + self._run(start, "right")
        ups = {
            column: self._x[column] - 18 - self._run(column, "left")
            for column in sorted({self.column_of[wire.end] for wire in bundle.back})
        }
        first = min(ups)
        low = self._lane(first, start, min(ups.values()), down)
        lanes: list[tuple[Point, ...]] = []
        for wire in bundle.back:
            up = ups[self.column_of[wire.end]]
            tip_x, tip_y = self._tip(wire)
            end = (tip_x - TIP_LENGTH, tip_y)
            lanes.append(((x, y), (down, y), (down, low), (up, low), (up, tip_y), end))
        return lanes

    def _run(self, column: int, side: str) -> float:
        """How far the next upright line beside a column stands off the first."""
        number = self._runs.get((column, side), 0)
        self._runs[column, side] = number + 1
        return number * _RUN_GAP

    def _lane(self, first: int, last: int, left: float, right: float) -> float:
        """The height of a free lane below the columns from `first` to `last`."""
        bottoms = [
            self.top[key] + (self._sizes[key].height if key in self._sizes else 0)
            for column in self._columns[first : last + 1]
            for key in column
        ]
        low = max(bottoms) + 16
        taken = sorted(y for a, b, y in self._lanes if a <= right and left <= b)
        for y in taken:
            if abs(y - low) < _LANE_GAP:
                low = y + _LANE_GAP
        self._lanes.append((left, right, low))
        return low

    def _tip(self, wire: Wire) -> Point:
        return self._x[self.column_of[wire.end]], self._in(wire)

    def _right(self, column: int) -> float:
        return self._x[column] + self._width[column]

    def _out(self, key: str, output: str) -> float:
        return self.top[key] + self._drops[key, "out", output]

    def _in(self, wire: Wire) -> float:
        return self.top[wire.end] + self._drops[wire.end, "in", wire.input]

    def _set_columns(self, bundles: list[Bundle]) -> None:
        """Make each column as wide as its widest box, with room for the lines between them."""
        steps = [0] * (len(self._columns) + 1)
        turns = [0] * (len(self._columns) + 1)
        for bundle in bundles:
            for start, _ in bundle.steps:
                steps[self.column_of[start] + 1] += 1
            if bundle.back:
                turns[self.column_of[bundle.start] + 1] += 1
                for end in {self.column_of[wire.end] for wire in bundle.back}:
                    turns[end] += 1
        self._x: list[float] = []
        self._width: list[float] = []
        x = MARGIN
        for number, column in enumerate(self._columns):
            if number:
                x += min(120.0, 44 + 3.0 * steps[number])
            x += _RUN_GAP * turns[number] + (18 if turns[number] else 0)
            width = max((self._sizes[key].width for key in column if key in self._sizes), default=0)
            self._x.append(x)
            self._width.append(width)
            x += width

    def _set_heights(self, bundles: list[Bundle]) -> None:
        """Choose heights by sweeping to and fro, each time levelling lines from one side."""
        before: dict[str, list[tuple[Callable[[], float], float]]] = {}
        after: dict[str, list[tuple[Callable[[], float], float]]] = {}
        for bundle in bundles:
            for start, end, wire in [
                *((before_it, it, None) for before_it, it in pairwise(bundle.stops)),
                *((stop, wire.end, wire) for wire, stop in bundle.forth),
            ]:
                leaves = self._drops.get((start, "out", bundle.output), 0.0)
                enters = self._drops[end, "in", wire.input] if wire else 0.0
                before.setdefault(end, []).append((self._level(start, leaves), enters))
                after.setdefault(start, []).append((self._level(end, enters), leaves))
        for column in self._columns:
            self._stack(column, {})
        for sweep in range(_SWEEPS):
            near = before if sweep % 2 == 0 else after
            for column in self._columns if sweep % 2 == 0 else reversed(self._columns):
                self._stack(column, near)
        highest = min(self.top.values(), default=0.0)
        self.top = {key: y - highest + MARGIN for key, y in self.top.items()}

    def _level(self, key: str, drop: float) -> Callable[[], float]:
        return lambda: self.top[key] + drop

    def _stack(
        self, column: list[str], near: dict[str, list[tuple[Callable[[], float], float]]]
    ) -> None:
        """Put a column in its order, each as near as can be to where its lines are level.

        Heights less what must lie above them need only rise; where wishes fall, they are pooled.
        """
        pools: list[tuple[float, int]] = []
        offsets: list[float] = []
        offset = 0.0
        for number, key in enumerate(column):
            if number:
                both = key in self._sizes and column[number - 1] in self._sizes
                offset += _BOX_GAP if both else _BEND_GAP
            offsets.append(offset)
            wishes = [level() - drop for level, drop in near.get(key, ())]
            wish = sum(wishes) / len(wishes) if wishes else self.top.get(key, offset)
            offset += self._sizes[key].height if key in self._sizes else 0.0
            total, count = wish - offsets[-1], 1
            while pools and pools[-1][0] / pools[-1][1] > total / count:
                above, many = pools.pop()
                total, count = total + above, count + many
            pools.append((total, count))
        tops = [total / count for total, count in pools for _ in range(count)]
        self.top.update(
            (key, top + below) for key, top, below in zip(column, tops, offsets, strict=True)
        )

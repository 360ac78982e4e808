"""Which column everything of a graph stands in, and in which order from the top.

Every vertex stands right of what feeds it; wires that would lead back (cycles) are set apart. All
wires of one output form a bundle, which runs as one line through the columns and loses a branch
before each column that holds a receiver. Orders are improved by sweeps, and the one with the fewest
crossings is kept. Pure.

Used by `descriptor.placement`. Elsewhere: what is shown (`descriptor.graph`).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from dora.descriptor.graph import VIRTUAL

if TYPE_CHECKING:
    from dora.descriptor.graph import Graph, Wire

_SWEEPS = 12


@dataclass
class Bundle:
    """All wires of one output."""

    start: str
    output: str
    stops: list[str]
    """The start, then a bend in each column that is passed."""
    forth: list[tuple[Wire, str]] = field(default_factory=list)
    """Wires that lead right, and the stop in the column before their end."""
    back: list[Wire] = field(default_factory=list)

    @property
    def steps(self) -> list[tuple[str, str]]:
        """From where to where it runs, one column each."""
        return [*pairwise(self.stops), *((stop, wire.end) for wire, stop in self.forth)]


@dataclass(frozen=True)
class Layering:
    """Columns from left to right, each from the top; bends among the vertices."""

    columns: list[list[str]]
    bundles: list[Bundle]


def layered(graph: Graph) -> Layering:
    """The columns of a graph and its bundles."""
    column_of = _columns(graph, _without_cycles(graph))
    columns: list[list[str]] = [[] for _ in range(max(column_of.values(), default=-1) + 1)]
    for vertex in graph.vertices:
        columns[column_of[vertex.key]].append(vertex.key)
    bundles: dict[tuple[str, str], Bundle] = {}
    for wire in graph.wires:
        key = (wire.start, wire.output)
        bundle = bundles.setdefault(key, Bundle(wire.start, wire.output, [wire.start]))
        before = column_of[wire.end] - column_of[wire.start] - 1
        if before < 0:
            bundle.back.append(wire)
            continue
        while len(bundle.stops) <= before:
            bend = f"{wire.start}\n{wire.output}\n{len(bundle.stops)}"
            columns[column_of[wire.start] + len(bundle.stops)].append(bend)
            bundle.stops.append(bend)
        bundle.forth.append((wire, bundle.stops[before]))
    steps = [step for bundle in bundles.values() for step in bundle.steps]
    return Layering(_untangled(columns, steps), list(bundles.values()))


def _without_cycles(graph: Graph) -> set[tuple[str, str]]:
    """The pairs that are wired, less those that lead back: in a cycle, against the file's order."""
    pairs = {(wire.start, wire.end) for wire in graph.wires}
    following: dict[str, set[str]] = {vertex.key: set() for vertex in graph.vertices}
    for start, end in pairs:
        following[start].add(end)
    order = {vertex.key: number for number, vertex in enumerate(graph.vertices)}
    return {
        (start, end)
        for start, end in pairs
        if order[start] < order[end] or start not in _reached(end, following)
    }


def _reached(key: str, following: dict[str, set[str]]) -> set[str]:
    """What can be reached from a vertex, itself included."""
    reached = {key}
    waiting = [key]
    while waiting:
        fresh = following[waiting.pop()] - reached
        reached |= fresh
        waiting += fresh
    return reached


def _columns(graph: Graph, forward: set[tuple[str, str]]) -> dict[str, int]:
    """The column of each vertex; what nothing feeds stands close to its receivers."""
    column = {vertex.key: 0 for vertex in graph.vertices}
    for _ in graph.vertices:
        for start, end in forward:
            column[end] = max(column[end], column[start] + 1)
    virtual = {vertex.key for vertex in graph.vertices if vertex.kind in VIRTUAL}
    fed = {end for start, end in forward if start not in virtual}
    for vertex in sorted(graph.vertices, key=lambda vertex: vertex.key in virtual):
        ends = [column[end] for start, end in forward if start == vertex.key]
        if vertex.key not in fed and ends:
            column[vertex.key] = min(ends) - 1
    return column


def _untangled(columns: list[list[str]], steps: list[tuple[str, str]]) -> list[list[str]]:
    """The columns in an order with few crossings, found by sweeping to and fro."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for start, end in steps:
        before.setdefault(end, []).append(start)
        after.setdefault(start, []).append(end)
    position = {key: float(i) for column in columns for i, key in enumerate(column)}
    best, fewest = [list(column) for column in columns], _crossings(steps, columns)
    for sweep in range(_SWEEPS):
        near = before if sweep % 2 == 0 else after
        for column in columns if sweep % 2 == 0 else reversed(columns):
            mean = {
                key: sum(position[other] for other in near[key]) / len(near[key])
                if key in near
                else position[key]
                for key in column
            }
            column.sort(key=lambda key: mean[key])
            position.update((key, float(i)) for i, key in enumerate(column))
        crossings = _crossings(steps, columns)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    return best


def _crossings(steps: list[tuple[str, str]], columns: list[list[str]]) -> int:
    """How often two steps between the same columns cross."""
    place = {
        key: (number, i) for number, column in enumerate(columns) for i, key in enumerate(column)
    }
    crossings = 0
    seen: list[tuple[int, int]] = []
    for _, end in sorted((place[start], place[end]) for start, end in steps):
        if seen and seen[0][0] != end[0]:
            seen = []
        crossings += len(seen) - bisect_right(seen, end)
        insort(seen, end)
    return crossings

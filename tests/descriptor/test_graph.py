"""Pictures of dataflows: what is shown, that nothing overlaps, that the page stands alone."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dora.descriptor.drawing import to_html
from dora.descriptor.graph import Graph, Vertex, Wire, graph_of, to_mermaid
from dora.descriptor.layering import layered
from dora.descriptor.placement import CHAR_WIDTH, TITLE_CHAR_WIDTH, place, shortened
from dora.descriptor.planner import load_plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dora.descriptor.placement import Box, Picture, Point

FLOW = """
nodes:
  - {id: camera, path: dynamic, inputs: {tick: dora/timer/millis/33}, outputs: [image, depth]}
  - {id: detector, path: camera.py, inputs: {image: camera/image, last: detector/boxes},
     outputs: [boxes]}
  - {id: plot, path: camera.py, inputs: {picture: {source: camera/image, queue_size: 1},
     boxes: {source: detector/boxes, queue_policy: backpressure},
     boxes2: {source: detector/boxes, queue_size: 3, queue_policy: backpressure},
     log: dora/logs/warn/camera, rate: dora/timer/hz/30}}
"""


def graph(folder: Path, text: str = FLOW) -> Graph:
    (folder / "camera.py").touch()
    (folder / "flow.yml").write_text(text)
    return graph_of(load_plan(folder / "flow.yml", environ={}))


def test_mermaid_holds_every_node_with_its_file_and_every_labelled_edge(tmp_path: Path) -> None:
    lines = to_mermaid(graph(tmp_path)).splitlines()
    assert lines[0] == "flowchart LR"
    assert [line.strip() for line in lines if "classDef" not in line][1:] == [
        'n0{{"camera<br/>dynamic"}}:::dynamic',
        'n1["detector<br/>camera.py"]:::inner',
        'n2["plot<br/>camera.py"]:::sink',
        'n3(["timer 33 ms"]):::timer',
        'n4(["timer 30 Hz"]):::timer',
        'n5[("logs warn camera")]:::logs',
        'n0 -- "image" --> n1',
        'n1 -- "boxes → last" --> n1',
        'n0 -- "image → picture (queue 1)" --> n2',
        'n1 -- "boxes (backpressure)<br/>boxes → boxes2 (queue 3, backpressure)" --> n2',
        'n3 -- "tick" --> n0',
        'n4 -- "rate" --> n2',
        'n5 -- "log" --> n2',
    ]


def test_mermaid_text_cannot_end_its_own_quotes() -> None:
    drawn = Graph("g", (Vertex("a", "a", "source", 'x"<b>#'),), ())
    assert '["a<br/>x#quot;#lt;b#gt;#35;"]' in to_mermaid(drawn)


def test_the_page_is_well_formed_fits_the_window_and_loads_nothing(tmp_path: Path) -> None:
    page = to_html(graph(tmp_path))
    root = svg_of(page)
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {"camera", "detector", "plot", "timer 33 ms", "dynamic", "camera.py"} <= texts
    assert {"picture · queue 1", "boxes2 · queue 3, backpressure", "boxes · backpressure"} <= texts
    assert "width" not in root.attrib
    assert root.attrib["viewBox"].startswith("0 0 ")
    assert not re.search(r"<script|<link|@import|url\((?!#)|src=", page)


def test_every_output_is_one_strand_that_names_all_its_wires(tmp_path: Path) -> None:
    root = svg_of(to_html(graph(tmp_path)))
    titles = [
        next(child.text for child in group if child.tag.endswith("title"))
        for group in root.iter()
        if group.attrib.get("class", "").startswith("strand")
    ]
    assert len(titles) == 5
    assert "camera/image → detector/image\ncamera/image → plot/picture (queue 1)" in titles
    assert (
        "detector/boxes → plot/boxes (backpressure)\n"
        "detector/boxes → plot/boxes2 (queue 3, backpressure)\n"
        "detector/boxes → detector/last"
    ) in titles


def test_every_vertex_stands_right_of_what_feeds_it_but_for_one_edge_of_a_cycle(
    tmp_path: Path,
) -> None:
    drawn = graph(
        tmp_path,
        """
nodes:
  - {id: a, path: camera.py, inputs: {x: c/x}, outputs: [x]}
  - {id: b, path: camera.py, inputs: {x: a/x}, outputs: [x]}
  - {id: c, path: camera.py, inputs: {x: b/x, a: a/x}, outputs: [x]}
  - {id: d, path: camera.py, inputs: {x: b/x}}
""",
    )
    layering = layered(drawn)
    column = {key: i for i, keys in enumerate(layering.columns) for key in keys}
    assert [column[key] for key in "abcd"] == [0, 1, 2, 2]
    assert [(wire.start, wire.end) for b in layering.bundles for wire in b.back] == [("c", "a")]


def test_a_way_back_leaves_right_runs_below_all_it_passes_and_enters_from_the_left(
    tmp_path: Path,
) -> None:
    picture = place(
        graph(
            tmp_path,
            """
nodes:
  - {id: a, path: camera.py, inputs: {x: c/x, own: a/x}, outputs: [x]}
  - {id: b, path: camera.py, inputs: {x: a/x, y: a/x, z: a/x}}
  - {id: c, path: camera.py, inputs: {x: a/x}, outputs: [x]}
""",
        )
    )
    lanes = {strand.bundle.start: strand.lanes for strand in picture.strands}
    ((leave, right, _, _, left, enter),) = lanes["c"]
    a, c = picture.boxes["a"], picture.boxes["c"]
    assert leave == (c.x + c.width, c.y + c.outputs[0].drop)
    assert right[0] > leave[0]
    assert left[0] < enter[0] < a.x
    lowest = max(box.y + box.height for box in picture.boxes.values())
    ((_, _, (_, own), *_),) = lanes["a"]
    assert lowest < lanes["c"][0][2][1] < picture.height
    assert a.y + a.height < own != lanes["c"][0][2][1]


def test_a_long_chain_is_level_and_a_wire_is_not_drawn_twice() -> None:
    vertices = [Vertex(f"n{i}", f"n{i}", "inner", "", ("x",), ("x",)) for i in range(6)]
    wires = [Wire("n0", "x", f"n{i}", "x") for i in (3, 4, 5)]
    chain = [Wire(f"n{i}", "x", f"n{i + 1}", "x") for i in range(5)]
    straight = place(Graph("g", tuple(vertices), tuple(chain)))
    assert len({box.y for box in straight.boxes.values()}) == 1
    fan = place(Graph("g", tuple(vertices), (*chain[1:], *wires)))
    (strand,) = (strand for strand in fan.strands if strand.bundle.start == "n0")
    assert len(set(strand.curves)) == len(strand.curves)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(0, 9))
    keys = [f"n{i}" for i in range(count)]
    names = st.sampled_from(["x", "image", "a/quite/long/name/of/an/output/indeed"])
    wires: list[Wire] = []
    for end in keys:
        for start, output in draw(st.lists(st.tuples(st.sampled_from(keys), names), max_size=4)):
            port = f"{len(wires)}_{output}"
            wires.append(Wire(start, output, end, port, draw(st.sampled_from(["", "queue 1"]))))
        if draw(st.booleans()):
            wires.append(Wire("t", "", end, f"tick{len(wires)}"))
    vertices = [
        Vertex(
            key,
            key * draw(st.sampled_from([1, 20])),
            "inner",
            draw(st.sampled_from(["", "nodes/in/a/folder/with/a/long/name/camera.py"])),
            tuple(wire.input for wire in wires if wire.end == key),
            tuple(sorted({wire.output for wire in wires if wire.start == key} | {"unused"})),
        )
        for key in keys
    ]
    if any(wire.start == "t" for wire in wires):
        vertices.append(Vertex("t", "timer 33 ms", "timer"))
    return Graph("any", tuple(vertices), tuple(wires))


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_no_box_lies_on_another_and_no_line_on_a_box(drawn: Graph) -> None:
    picture = place(drawn)
    for one, other in combinations(picture.boxes.values(), 2):
        apart_x = one.x + one.width < other.x or other.x + other.width < one.x
        assert apart_x or one.y + one.height < other.y or other.y + other.height < one.y
    for point in points_of(picture):
        assert not any(is_inside(point, box) for box in picture.boxes.values())
        assert 0 <= point[0] <= picture.width
        assert 0 <= point[1] <= picture.height
    svg_of(to_html(drawn))


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_every_text_fits_into_its_box_beside_the_others(drawn: Graph) -> None:
    picture = place(drawn)
    for vertex in drawn.vertices:
        box = picture.boxes[vertex.key]
        assert len(shortened(vertex.label)) * TITLE_CHAR_WIDTH < box.width
        assert len(shortened(vertex.detail, end=True)) * CHAR_WIDTH < box.width
        left = max((len(row.text) for row in box.inputs), default=0)
        right = max((len(row.text) for row in box.outputs), default=0)
        assert (left + right) * CHAR_WIDTH + 20 < box.width
        for rows in (box.inputs, box.outputs):
            assert all(row.drop < box.height for row in rows)
            assert all(lower.drop - upper.drop >= 16 for upper, lower in pairwise(rows))


@pytest.mark.parametrize("lines", [1, 3])
def test_every_wire_ends_in_a_tip_at_its_own_input(tmp_path: Path, lines: int) -> None:
    inputs = ", ".join(f"i{i}: a/x" for i in range(lines))
    picture = place(
        graph(
            tmp_path,
            "nodes:\n  - {id: a, path: camera.py, outputs: [x]}\n"
            f"  - {{id: b, path: camera.py, inputs: {{{inputs}}}}}\n",
        )
    )
    box = picture.boxes["b"]
    (strand,) = picture.strands
    assert {(box.x, box.y + row.drop) for row in box.inputs} == set(strand.tips)


def svg_of(page: str) -> ElementTree.Element:
    return ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + len("</svg>")])


def points_of(picture: Picture) -> Iterator[Point]:
    """Points along all lines, close together."""
    for strand in picture.strands:
        for (x1, y1), (x2, y2) in strand.curves:
            for step in range(21):
                t = step / 20
                weight = t * t * (3 - 2 * t)
                bent = 1.5 * t * (1 - t) ** 2 + 1.5 * t * t * (1 - t) + t**3
                yield x1 + (x2 - x1) * bent, y1 + (y2 - y1) * weight
        for lane in strand.lanes:
            for (x1, y1), (x2, y2) in pairwise(lane):
                for step in range(21):
                    yield x1 + (x2 - x1) * step / 20, y1 + (y2 - y1) * step / 20


def is_inside(point: Point, box: Box) -> bool:
    x, y = point
    inside_x = box.x + 0.01 < x < box.x + box.width - 0.01
    return inside_x and box.y + 0.01 < y < box.y + box.height - 0.01

"""Pictures of dataflows: what is shown, and that the page stands alone."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING

from dora.descriptor.drawing import layers_of, to_html
from dora.descriptor.graph import Graph, graph_of, to_mermaid
from dora.descriptor.planner import load_plan

if TYPE_CHECKING:
    from pathlib import Path

FLOW = """
nodes:
  - {id: camera, path: dynamic, inputs: {tick: dora/timer/millis/33}, outputs: [image]}
  - {id: detector, path: camera.py, inputs: {image: camera/image, last: detector/boxes},
     outputs: [boxes]}
  - {id: plot, path: camera.py, inputs: {picture: camera/image, boxes: detector/boxes,
     boxes2: detector/boxes, log: dora/logs/warn/camera, rate: dora/timer/hz/30}}
"""


def graph(folder: Path, text: str = FLOW) -> Graph:
    (folder / "camera.py").touch()
    (folder / "flow.yml").write_text(text)
    return graph_of(load_plan(folder / "flow.yml", environ={}))


def test_mermaid_holds_every_node_and_every_labelled_edge(tmp_path: Path) -> None:
    lines = to_mermaid(graph(tmp_path)).splitlines()
    assert lines[0] == "flowchart LR"
    assert [line.strip() for line in lines if "classDef" not in line][1:] == [
        'n0{{"camera"}}:::dynamic',
        'n1["detector"]:::inner',
        'n2["plot"]:::sink',
        'n3(["timer 33 ms"]):::timer',
        'n4(["timer 30 Hz"]):::timer',
        'n5[("logs warn camera")]:::logs',
        'n0 -- "image" --> n1',
        'n1 -- "boxes → last" --> n1',
        'n0 -- "image → picture" --> n2',
        'n1 -- "boxes<br/>boxes → boxes2" --> n2',
        'n3 -- "tick" --> n0',
        'n4 -- "rate" --> n2',
        'n5 -- "log" --> n2',
    ]


def test_the_page_is_well_formed_and_loads_nothing(tmp_path: Path) -> None:
    page = to_html(graph(tmp_path))
    svg = page[page.index("<svg") : page.index("</svg>") + len("</svg>")]
    root = ElementTree.fromstring(svg)
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {"camera", "detector", "plot", "timer 33 ms", "boxes → boxes2"} <= texts
    assert not re.search(r"<script|<link|@import|url\((?!#)|src=", page)


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
    column = {key: i for i, layer in enumerate(layers_of(drawn)) for key in layer}
    assert column == {"a": 0, "b": 1, "c": 2, "d": 2}
    assert to_html(drawn).count("<path d=") == 6

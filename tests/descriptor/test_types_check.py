"""The types of a whole dataflow: what is warned of, inferred, strict, told to nodes and drawn."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dora.descriptor.graph import graph_of, to_mermaid
from dora.descriptor.planner import load_plan
from dora.errors import DescriptorError
from dora.wire.layouts import Array, NodeTypes, Plain, Record, misfit, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from dora.descriptor.plan import Plan

EDGE = """
nodes:
  - id: a
    path: node.py
    outputs: [x]
    output_types: {x: OUT}
  - id: b
    path: node.py
    inputs: {x: a/x}
    input_types: {x: IN}
"""


def plan_of(folder: Path, text: str, **options: Any) -> Plan:
    (folder / "node.py").touch()
    flow = folder / "flow.yml"
    flow.write_text(text)
    return load_plan(flow, **{"environ": {"PATH": "/usr/bin:/bin"}, **options})


def warned(folder: Path, text: str) -> list[str]:
    return [problem.what for problem in plan_of(folder, text).types.warnings]


def edge(out: str, into: str) -> str:
    return EDGE.replace("OUT", f'"{out}"').replace("IN", f'"{into}"')


def user_types(folder: Path, text: str, file: str = "my/sensors/v1.yml") -> None:
    path = folder / "types" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_types_that_differ_are_a_warning_that_strict_types_makes_a_mistake(tmp_path: Path) -> None:
    text = edge("std/core/v1/String", "std/core/v1/Int32")
    what = "input `b/x` expects `std/core/v1/Int32`, but `a/x` sends `std/core/v1/String`"
    assert warned(tmp_path, text) == [what]
    for strict in ({"text": f"strict_types: true\n{text}"}, {"text": text, "strict_types": True}):
        with pytest.raises(DescriptorError) as caught:
            plan_of(tmp_path, **strict)
        assert [problem.what for problem in caught.value.problems] == [what]


def test_types_that_go_together_are_no_warning(tmp_path: Path) -> None:
    assert warned(tmp_path, edge("Image[uint8, (480, 640, 3)]", "Image[uint8, (H, W, 3)]")) == []


def test_warnings_of_types_are_among_all_warnings_in_one_line(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, edge("Image", "Imag"))
    (line,) = plan.all_warnings
    assert line.endswith("there is no type `Imag`; did you mean `std/media/v1/Image`?")
    assert line.startswith(f"{tmp_path / 'flow.yml'}:10:22: input `b/x`")


def test_an_input_without_a_type_has_that_of_the_output_it_reads(tmp_path: Path) -> None:
    text = EDGE.replace("OUT", "UInt8").replace("    input_types: {x: IN}\n", "")
    plan = plan_of(tmp_path, text)
    assert plan.types.inferred == ("inferred std/core/v1/UInt8 on b/x (from a/x)",)
    assert "b" not in plan.types.nodes


def test_a_type_rule_lets_one_type_flow_into_another(tmp_path: Path) -> None:
    text = edge("std/core/v1/String", "std/core/v1/Int32")
    rule = "type_rules:\n  - {from: std/core/v1/String, to: std/core/v1/Int32}\n"
    plan = plan_of(tmp_path, rule + text)
    assert plan.types.warnings == ()
    taken = unpack(plan.types.nodes["b"]).inputs["x"].layouts
    assert taken == (Plain("int32"), Plain("string"))


def test_timers_count_as_uint64_and_logs_as_string(tmp_path: Path) -> None:
    text = """
nodes:
  - id: a
    path: node.py
    inputs: {tick: dora/timer/millis/10, log: dora/logs}
    input_types: {tick: std/core/v1/UInt64, log: std/core/v1/String}
"""
    plan = plan_of(tmp_path, text)
    assert plan.types.warnings == ()
    assert list(unpack(plan.types.nodes["a"]).inputs) == ["log"]  # a tick has no value to check
    assert len(warned(tmp_path, text.replace("UInt64", "Int8").replace("String", "Int8"))) == 2


def test_a_node_is_told_what_is_declared_of_its_ports(tmp_path: Path) -> None:
    text = """
nodes:
  - id: a
    path: node.py
    outputs: [x, y, z, free]
    output_types: {x: "Image[uint8, (H, W, 3)]", y: Vector3}
    output_metadata: {x: [frame], z: [zone]}
"""
    types = unpack(plan_of(tmp_path, text).types.nodes["a"])
    assert types == NodeTypes(outputs=types.outputs)
    assert types.outputs["x"].layouts == (Array(("uint8",), ("H", "W", 3)),)
    assert types.outputs["x"].metadata == ("frame",)
    assert isinstance(types.outputs["y"].layouts[0], Record)
    assert misfit(types.outputs["y"].layouts, Array(("float64",), (3,))) is None
    assert types.outputs["z"].layouts == ()
    assert "free" not in types.outputs


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        ("service-server", "request_id"),
        ("service-client", "request_id"),
        ("action-server", "goal_id"),
        ("action-client", "goal_id"),
    ],
)
def test_a_pattern_promises_metadata_on_every_output_that_says_nothing_else(
    tmp_path: Path, pattern: str, key: str
) -> None:
    text = f"""
nodes:
  - id: a
    path: node.py
    pattern: {pattern}
    outputs: [x, status]
    output_metadata: {{status: []}}
"""
    types = unpack(plan_of(tmp_path, text).types.nodes["a"])
    assert {name: port.metadata for name, port in types.outputs.items()} == {"x": (key,)}


@pytest.mark.parametrize(
    ("server", "count"),
    [("pattern: service-server", 0), ("name: x", 0), ("pattern: action-server", 1)],
)
def test_a_client_reads_from_what_may_be_a_server(tmp_path: Path, server: str, count: int) -> None:
    text = f"""
nodes:
  - id: client
    path: node.py
    pattern: service-client
    inputs: {{response: server/response}}
    outputs: [request]
  - id: server
    path: node.py
    {server}
    inputs: {{request: client/request}}
    outputs: [response]
"""
    told = [what for what in warned(tmp_path, text) if "`client`" in what]
    assert len(told) == count


def test_types_of_operators_are_those_of_their_ports(tmp_path: Path) -> None:
    text = """
nodes:
  - id: a
    operators:
      - {id: one, python: node.py, outputs: [x], output_types: {x: UInt8}, pattern: service-server}
      - {id: two, python: node.py, inputs: {x: a/one/x}, input_types: {x: String}}
"""
    plan = plan_of(tmp_path, text)
    assert [problem.what for problem in plan.types.warnings] == [
        "input `a/two/x` expects `std/core/v1/String`, but `a/one/x` sends `std/core/v1/UInt8`"
    ]
    assert unpack(plan.types.nodes["a"]).outputs["one/x"].metadata == ("request_id",)


def test_a_picture_names_the_types(tmp_path: Path) -> None:
    graph = graph_of(plan_of(tmp_path, edge("List<std/core/v1/UInt8>", "List<UInt8>")))
    assert graph.wires[0].type == "List<UInt8>"
    assert "x [List#lt;UInt8#gt;]" in to_mermaid(graph)


# ---- the user's own types ----


def test_a_type_of_the_user_is_named_by_its_path(tmp_path: Path) -> None:
    user_types(
        tmp_path,
        """
types:
  Reading:
    arrow: Struct
    description: A place and how warm it is
    fields:
      - {name: celsius, type: Float32}
      - {name: at, type: Vector3, nullable: false}
      - {name: tags, type: List<Utf8>}
    metadata:
      - {key: unit, description: of what}
  Patch:
    arrays: ["uint8, (H, W, 3)"]
""",
    )
    plan = plan_of(tmp_path, edge("my/sensors/v1/Reading", "Reading"))
    assert plan.types.warnings == ()
    port = unpack(plan.types.nodes["a"]).outputs["x"]
    assert port.metadata == ("unit",)
    (record,) = port.layouts
    assert isinstance(record, Record)
    assert [name for name, _ in record.fields] == ["celsius", "at", "tags"]
    assert warned(tmp_path, edge("Patch", "Array[float32]")) != []
    assert warned(tmp_path, edge("Patch", "Array[uint8]")) == []


def test_a_short_name_of_two_types_is_to_be_written_out(tmp_path: Path) -> None:
    user_types(tmp_path, "types:\n  Image: {arrow: Struct}\n  Twist: {arrow: Struct}\n")
    (what,) = warned(tmp_path, edge("Image", "std/media/v1/Image"))
    assert what == "output `a/x`: `Image` could be `std/media/v1/Image` or `my/sensors/v1/Image`"
    # What the standard types are made of is not in doubt for that.
    assert warned(tmp_path, edge("Odometry", "std/control/v1/Odometry")) == []


def test_what_is_wrong_in_a_file_of_types_has_its_place(tmp_path: Path) -> None:
    user_types(
        tmp_path,
        """types:
  A: {arrow: Strukt}
  B: {}
  C:
    arrow: Struct
    fields:
      - {name: x, type: Float}
      - {name: y}
  D: 3
  E: {arrow: Struct, fields: [{name: e, type: List<E>}]}
  F: {arrow: Struct, feilds: []}
  G: {arrays: ["uint9"]}
""",
    )
    flow = tmp_path / "flow.yml"
    problems = plan_of(tmp_path, edge("UInt8", "UInt8")).types.warnings
    told = [f"{p.at.line}:{p.at.column} {p.what}; {p.mend}" for p in problems if p.at]
    assert {problem.at.file for problem in problems if problem.at} == {
        str(flow.parent / "types/my/sensors/v1.yml")
    }
    assert told == [
        "2:14 the text `Strukt` is no Arrow type that dora has; did you mean `Struct`?",
        "3:6 type `B` has no `arrow`; add `arrow: Struct`, or `arrays:` if it travels as a NumPy "
        "array",
        "7:25 field `x`: there is no type `Float`; did you mean `std/core/v1/Float64`?",
        "8:9 `fields` of type `C`: a field is `{name: …, type: …}`; None",
        "9:6 a type is a mapping, not the number `3`; None",
        "10:47 field `e` makes `E` hold itself; None",
        "11:22 unknown key `feilds` in a type; did you mean `fields`?",
        "12:16 `arrays` of type `G`: `uint9` in `uint9` is no dtype; did you mean `uint8`?",
    ]


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        ("std/my/v1.yml", "types: {}", "the folder `std` is dora's own"),
        ("my/v1.yml", "types: [a", "a bracket that is not closed"),
    ],
)
def test_a_file_of_types_that_cannot_be_taken_is_a_mistake(
    tmp_path: Path, file: str, text: str, what: str
) -> None:
    user_types(tmp_path, text, file)
    with pytest.raises(DescriptorError, match=what):
        plan_of(tmp_path, edge("UInt8", "UInt8"))


def test_a_dataflow_without_types_loads_nothing_of_them(tmp_path: Path) -> None:
    (tmp_path / "flow.yml").write_text("nodes:\n  - {id: a, path: node.py}\n")
    (tmp_path / "node.py").touch()
    code = (
        "import sys\nfrom pathlib import Path\nfrom dora.descriptor.planner import load_plan\n"
        "load_plan(Path('flow.yml'), environ={})\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    loaded = {name for name in done.stdout.split() if "descriptor.types_" in name}
    assert loaded == {"dora.descriptor.types_plan"}

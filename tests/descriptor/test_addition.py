"""Nodes for a dataflow that runs: the forms of the file, what may be read, what may be replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dora.descriptor.addition import check_replacement, plan_addition
from dora.descriptor.packing import pack_plan, unpack_plan
from dora.descriptor.plan import NodePlan, Plan, Route
from dora.errors import DescriptorError

KNOWN = {"camera": ["image", "depth"], "plot": [], "lidar.driver": ["scan/left"]}

ONE = """id: filter
path: filter.py
inputs:
  image: camera/image
outputs: [image]
"""
LIST = "- " + ONE.replace("\n", "\n  ").rstrip() + "\n"
WHOLE = "nodes:\n" + LIST


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "filter.py").touch()
    return tmp_path


def addition(text: str, **options: Any) -> Plan:
    Path("new.yml").write_text(text)
    known = options.pop("known", KNOWN)
    return plan_addition(Path("new.yml"), environ={"PATH": "/bin"}, known=known, **options)


def message_of(text: str, **options: Any) -> str:
    with pytest.raises(DescriptorError) as caught:
        addition(text, **options)
    return str(caught.value)


@pytest.mark.parametrize("text", [ONE, LIST, WHOLE])
def test_one_node_a_list_and_a_whole_file_are_the_same_addition(text: str, folder: Path) -> None:
    plan = addition(text)
    (node,) = plan.nodes
    assert (node.id, node.source) == ("filter", folder / "filter.py")
    assert plan.routes == (Route("camera", "image", "filter", "image"),)
    assert plan.file == folder / "new.yml"
    assert plan.descriptor["nodes"][0]["path"] == "filter.py"
    assert unpack_plan(pack_plan(plan)) == plan


@pytest.mark.parametrize("text", [ONE, LIST, WHOLE])
def test_mistakes_stand_at_their_own_line_and_column_in_each_form(text: str) -> None:
    wrong = text.replace("camera/image", "camra/image").replace("outputs", "outputz")
    lines = wrong.splitlines()
    source = next(i for i, line in enumerate(lines, 1) if "camra" in line)
    key = next(i for i, line in enumerate(lines, 1) if "outputz" in line)
    told = message_of(wrong)
    column = lines[source - 1].index("camra") + 1
    assert (
        f"new.yml:{source}:{column}: input `filter/image` reads from node `camra`, which this "
        "dataflow does not have"
    ) in told
    assert "mend: did you mean `camera`? (nodes here: filter, camera, plot, lidar.driver)" in told
    column = lines[key - 1].index("outputz") + 1
    assert f"new.yml:{key}:{column}: unknown key `outputz` in node `filter`" in told


def test_nodes_of_the_file_and_nodes_that_run_may_both_be_read() -> None:
    plan = addition(
        """
- id: a
  path: filter.py
  inputs: {scan: lidar.driver/scan/left, tick: dora/timer/hz/10, logs: dora/logs/warn/camera}
  outputs: [b]
- {id: c, path: filter.py, inputs: {b: {source: a/b, queue_size: 1}}}
"""
    )
    assert plan.routes == (
        Route("lidar.driver", "scan/left", "a", "scan"),
        Route("a", "b", "c", "b", queue_size=1),
    )
    assert [log.logs.node for log in plan.log_routes] == ["camera"]
    assert plan.node("a").inputs == ("scan", "tick", "logs")


def test_an_output_that_a_running_node_lacks_is_named_with_those_it_has() -> None:
    told = message_of(ONE.replace("camera/image", "camera/imagee"))
    assert "new.yml:4:17: input `filter/image` reads from `camera/imagee`" in told
    assert "mend: did you mean `image`? (outputs of `camera`: depth, image)" in told


def test_an_id_that_runs_already_is_refused_unless_it_is_to_be_replaced() -> None:
    text = ONE.replace("id: filter", "id: plot")
    assert message_of(text).startswith("new.yml:1:5: this dataflow has a node `plot` already")
    assert addition(text, replacing="plot").nodes[0].id == "plot"


def test_a_replacement_is_the_one_node_that_is_replaced() -> None:
    told = message_of(LIST + "- {id: plot, path: filter.py}\n", replacing="plot")
    assert "new.yml:1:7: this is node `filter`, but node `plot` is to be replaced" in told


def test_a_node_that_is_replaced_has_the_outputs_of_the_file() -> None:
    loop = "{id: camera, path: filter.py, outputs: [new], inputs: {a: camera/new, b: camera/depth}}"
    told = message_of(loop, replacing="camera")
    assert "`camera/depth`, but node `camera` has no such output" in told
    assert "camera/new" not in told.replace(loop, "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "new.yml:1:1: the file holds no node"),
        ("[]", "new.yml:1:1: the file holds no node"),
        ("{}", "new.yml:1:1: the file holds no node"),
        ("filter.py", "new.yml:1:1: the file holds the text `filter.py`, no node"),
        ("nodes: []", "new.yml:1:8: the dataflow has no nodes"),
        ("- filter.py", "new.yml:1:3: node 1 must be a mapping, not the text `filter.py`"),
        ("path: filter.py", "new.yml:1:1: node 1 has no `id`"),
        ("- id: a\n b: 2", "new.yml:2:2: this does not line up"),
    ],
)
def test_a_file_without_a_node_says_so(text: str, told: str) -> None:
    assert message_of(text).startswith(told)


def test_paths_are_relative_to_the_file_or_to_the_folder_that_is_given(folder: Path) -> None:
    (folder / "flows").mkdir()
    file = folder / "flows" / "new.yml"
    file.write_text(ONE)
    with pytest.raises(DescriptorError, match=r"`filter\.py` does not exist"):
        plan_addition(file, environ={}, known=KNOWN)
    plan = plan_addition(file, environ={}, known=KNOWN, working_dir=folder)
    assert plan.nodes[0].source == folder / "filter.py"
    assert plan.working_dir == folder


def test_a_module_and_operators_may_be_added_and_read_from_what_runs(folder: Path) -> None:
    (folder / "part.yml").write_text(
        "module: {name: part, inputs: [image], outputs: [out]}\n"
        "nodes: [{id: n, path: filter.py, inputs: {x: _mod/image}, outputs: [out]}]\n"
    )
    plan = addition(
        "- {id: m, module: part.yml, inputs: {image: camera/image}}\n"
        "- {id: ops, operator: {python: filter.py, inputs: {x: m/out}, outputs: [y]}}\n"
    )
    assert plan.routes == (
        Route("camera", "image", "m.n", "x"),
        Route("m.n", "out", "ops", "op/x"),
    )
    assert plan.node("ops").operator_sources == {"op": folder / "filter.py"}
    assert "reads from node `camra`" in message_of(
        "{id: m, module: part.yml, inputs: {image: camra/image}}"
    )


def test_a_part_in_a_pattern_may_answer_to_a_node_that_runs() -> None:
    assert addition(ONE + "pattern: service-server\n").all_warnings == ()


# ---- replacing ----

RUNS = """
id: filter
path: filter.py
inputs: {image: camera/image, tick: dora/timer/hz/10, logs: dora/logs}
outputs: [image, mask]
"""


def node(text: str) -> NodePlan:
    return addition(text).nodes[0]


def refusal(old: NodePlan, new: NodePlan, *read: str) -> str:
    with pytest.raises(DescriptorError) as caught:
        check_replacement(old, new, read)
    return str(caught.value)


def test_the_same_wires_in_other_words_may_be_replaced() -> None:
    new = node(
        """
id: filter
path: filter.py
args: --fast
inputs:
  logs: dora/logs/stdout
  tick: {source: dora/timer/millis/100, queue_size: 1}
  image: camera/image
outputs: [mask, more, image]
"""
    )
    check_replacement(node(RUNS), new)


def test_only_outputs_that_are_read_must_be_there_in_the_new_node() -> None:
    old, new = node(RUNS), node(RUNS.replace(", mask", ""))
    check_replacement(old, new, {"image"})
    told = "node `filter`: what is to take its place has no output `mask`, which is read"
    assert told in refusal(old, new, "image", "mask")
    with pytest.raises(DescriptorError, match="`mask`"):
        check_replacement(old, new)


def test_every_reason_against_a_replacement_is_told_at_once() -> None:
    old = node(RUNS)
    new = node(
        "{id: other, path: dynamic, outputs: [mask],"
        " inputs: {image: camera/depth, tick: dora/timer/hz/20, more: camera/image}}"
    )
    told = refusal(old, new, "image")
    assert told.splitlines() == [
        "node `filter` cannot be replaced by node `other`",
        "  mend: write `id: filter`",
        "node `filter`: what is to take its place is started by somebody else",
        "  mend: give a `path` that dora can start",
        "input `filter/image` reads from `camera/image` now, and from `camera/depth` in what is "
        "to take its place",
        "  mend: write `image: camera/image`; wires can be changed afterwards",
        "input `filter/logs` is missing in what is to take the node's place",
        "  mend: add `logs: dora/logs` to `inputs:`",
        "input `filter/tick` reads from `dora/timer/nanos/100000000` now, and from "
        "`dora/timer/nanos/50000000` in what is to take its place",
        "  mend: write `tick: dora/timer/nanos/100000000`; wires can be changed afterwards",
        "input `filter/more` is not there in the node that runs",
        "  mend: delete it, and wire it afterwards: `dora node connect`",
        "node `filter`: what is to take its place has no output `image`, which is read",
        "  mend: add it to `outputs:`, or disconnect who reads it first",
    ]


def test_a_node_started_by_hand_cannot_take_a_place() -> None:
    old = node(RUNS)
    assert "started by somebody else" in refusal(old, replace(old, by_hand=True))

"""Reading files and YAML: places, files that are none, and whatever a random file may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dora.descriptor import source as source_module
from dora.descriptor.planner import load_plan
from dora.descriptor.source import load, parse
from dora.errors import DescriptorError, Place

TEXT = 'nodes:\r\n  - id: camera\n    inputs: {image: "a/b",\n      tick: 1}\n'


def problem_of(path: Path) -> str:
    with pytest.raises(DescriptorError) as caught:
        load_plan(path, environ={})
    (problem,) = caught.value.problems
    return str(problem)


def test_a_value_and_its_key_are_located_by_line_and_column_from_one() -> None:
    source = parse("f.yml", TEXT)
    assert source.value == {"nodes": [{"id": "camera", "inputs": {"image": "a/b", "tick": 1}}]}
    line = '    inputs: {image: "a/b",'
    at = ("nodes", 0, "inputs", "image")
    assert source.locate(*at) == Place("f.yml", 3, 21, line, 5)
    assert source.locate(*at, part="b") == Place("f.yml", 3, 24, line, 1)
    assert source.locate_key(*at) == Place("f.yml", 3, 14, line, 5)
    assert source.locate_key("nodes") == Place("f.yml", 1, 1, "nodes:", 5)
    assert source.locate("nodes", 0) == Place("f.yml", 2, 5, "  - id: camera", 2)


def test_a_place_that_is_not_there_is_the_nearest_above_it() -> None:
    source = parse("f.yml", TEXT)
    assert source.locate("nodes", 0, "outputs", 3) == source.locate("nodes", 0)
    assert parse("f.yml", "").locate("nodes") == Place("f.yml", 1, 1)


def test_yaml_1_2_keeps_on_and_no_as_text() -> None:
    assert parse("f.yml", "on: no\ny: yes\nnull: ~\n").value == {
        "on": "no",
        "y": "yes",
        "null": None,
    }


def test_a_file_that_does_not_exist_names_one_of_like_name(tmp_path: Path) -> None:
    (tmp_path / "dataflow.yml").touch()
    assert f"did you mean `{tmp_path / 'dataflow.yml'}`?" in problem_of(tmp_path / "datflow.yml")
    assert "there is no folder" in problem_of(tmp_path / "nowhere" / "dataflow.yml")
    assert problem_of(tmp_path / "nope.yml").endswith("dataflow files there: dataflow.yml")


def test_a_node_file_in_place_of_a_dataflow_is_told_apart_from_bad_yaml(tmp_path: Path) -> None:
    (tmp_path / "camera.py").write_text("for event in node:\n    pass\n")
    told = problem_of(tmp_path / "camera.py")
    assert "is a Python file, not a dataflow" in told
    assert f"`python {tmp_path / 'camera.py'}`" in told


def test_a_folder_names_the_dataflow_in_it(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").touch()
    said = problem_of(tmp_path)
    assert "is a folder" in said
    assert f"`{tmp_path / 'flow.yaml'}`" in said


def test_a_file_that_is_not_utf_8_says_so_and_where(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yml"
    flow.write_bytes(b"# one\n# caf\xe9\n")
    assert "not UTF-8 text: byte 0xE9 in line 2" in problem_of(flow)
    flow.write_text("nodes: []", encoding="utf-16")
    assert "not UTF-8 text" in problem_of(flow)


def test_a_byte_order_mark_does_not_shift_columns(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yml"
    flow.write_bytes(b"\xef\xbb\xbfnodes: []\n")
    assert load(flow).locate_key("nodes").column == 1


def test_a_path_that_cannot_be_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be read: Not a directory" in problem_of(tmp_path / "file" / "flow.yml")
    assert "cannot be read" in problem_of(tmp_path / "a\0b")


def test_aliases_that_multiply_end_in_an_error() -> None:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    with pytest.raises(DescriptorError, match="values, aliases included"):
        parse("f.yml", "\n".join(["a0: &a0 [1]", *levels]))


def test_nesting_without_end_is_an_error() -> None:
    with pytest.raises(DescriptorError, match="nested deeper"):
        parse("f.yml", "[" * 1000 + "]" * 1000)


def test_characters_that_no_variable_can_hold_are_reported() -> None:
    source = parse("f.yml", r'a: "x\0y"')
    assert source.value == {"a": "xy"}
    assert [problem.what for problem in source.problems] == [
        "text cannot hold the character U+0000"
    ]


KEYS = st.sampled_from(
    [
        "nodes",
        "id",
        "path",
        "env",
        "inputs",
        "outputs",
        "source",
        "queue_size",
        "args",
        "build",
        "operator",
        "debug",
        "deploy",
        "max_log_size",
        "min_log_level",
        "send_logs_as",
        "restart_policy",
        "cpu_affinity",
        "type_rules",
        "nope",
    ]
)
WORDS = st.sampled_from(
    [
        "camera",
        "camera/image",
        "dora",
        "dora/timer/millis/10",
        "dora/timer/hz/0",
        "dora/logs",
        "camera.py",
        "shell",
        "$X",
        "${X:-y}",
        "50MB",
        "dynamic",
        "https://x.y",
        "'",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=8)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=25,
)
NODES = st.dictionaries(KEYS, TREES, max_size=8)
FLOWS = TREES | st.fixed_dictionaries({"nodes": st.lists(NODES, max_size=4)})


def check_any(text: str) -> None:
    """Whatever the file holds, it is planned or it is a `DescriptorError` that can be printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_module, "_read", lambda _path: text)
        said = ""
        try:
            said = load_plan(Path("flow.yml"), environ={"PATH": "/nowhere"}).name
        except DescriptorError as error:
            said = str(error)
    assert said


@given(FLOWS)
def test_any_tree_is_a_plan_or_a_descriptor_error(tree: Any) -> None:
    import json

    # JSON is YAML, but for the names of numbers that are none.
    text = json.dumps(tree, ensure_ascii=False).replace("NaN", ".nan").replace("Infinity", ".inf")
    check_any(text)


@given(st.text(alphabet=st.sampled_from("nodes:id -\n\t {}[],&*!|>'\"%@#?~$\\\r\x85\u2028.0")))
def test_any_text_is_a_plan_or_a_descriptor_error(text: str) -> None:
    check_any(text)


@given(st.text())
def test_any_unicode_is_a_plan_or_a_descriptor_error(text: str) -> None:
    check_any(text)


@given(st.text(max_size=20))
def test_text_arrives_as_the_yaml_library_reads_it(text: str) -> None:
    import json

    written = json.dumps({"a": text})
    try:
        expected = YAML(typ="safe", pure=True).load(written)
    except ValueError:
        return
    source = parse("f.yml", written)
    if not source.problems:
        assert source.value == expected

"""`dora.builder`: what programs written for dora-rs call, and what it gains here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.builder import DataflowBuilder, Node, Operator, Output
from dora.descriptor.source import parse
from dora.errors import DescriptorError

DORA = Path(sys.executable).with_name("dora")


def read(text: str | None) -> Any:
    assert text is not None
    return parse("flow.yml", text).value


def test_setters_chain_and_fill_the_keys_of_the_node() -> None:
    node = Node("a", name="A", restart_policy="never")
    chained = (
        node.path("a.py")
        .args("--x 1")
        .env({"K": "v", "N": 5, "B": True})
        .build("pip install numpy\npip install pyarrow")
        .git("https://example.org/a.git", tag="v1")
        .add_input("tick", "dora/timer/millis/20")
        .add_operator(Operator("op", python="op.py"))
    )
    assert chained is node
    assert node.to_dict() == {
        "id": "a",
        "name": "A",
        "restart_policy": "never",
        "path": "a.py",
        "args": "--x 1",
        "env": {"K": "v", "N": 5, "B": True},
        "build": "pip install numpy\npip install pyarrow",
        "git": "https://example.org/a.git",
        "tag": "v1",
        "inputs": {"tick": "dora/timer/millis/20"},
        "operators": [{"id": "op", "python": "op.py"}],
    }


def test_an_output_prints_as_its_address_and_is_listed_once() -> None:
    node = Node("camera")
    output = node.add_output("image")
    assert isinstance(output, Output)
    assert str(output) == "camera/image"
    assert (output.node, output.output_id) == (node, "image")
    node.add_output("image")
    assert node.to_dict()["outputs"] == ["image"]


def test_an_input_takes_an_output_or_text_with_queue_options_or_without() -> None:
    image = Node("camera").add_output("image")
    plot = Node("plot")
    plot.add_input("a", image).add_input("b", "x/y", queue_size=1)
    plot.add_input("c", image, 5, "backpressure").add_input("d", image, queue_policy="drop_oldest")
    assert plot.to_dict()["inputs"] == {
        "a": "camera/image",
        "b": {"source": "x/y", "queue_size": 1},
        "c": {"source": "camera/image", "queue_size": 5, "queue_policy": "backpressure"},
        "d": {"source": "camera/image", "queue_policy": "drop_oldest"},
    }


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"queue_size": 0}, "queue_size of input `x` is 0; it is 1 or more"),
        ({"queue_policy": "backpresure"}, "did you mean `backpressure`"),
        ({"queue_policy": ""}, "there are: drop_oldest, backpressure"),
    ],
)
def test_a_wrong_queue_is_a_value_error_that_says_what_is_right(
    options: dict[str, Any], told: str
) -> None:
    node = Node("a")
    with pytest.raises(ValueError, match=told):
        node.add_input("x", "b/y", **options)
    assert "inputs" not in node.to_dict()


def test_a_source_of_another_type_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="input `x` is of type `Node`"):
        Node("a").add_input("x", Node("b"))  # type: ignore[arg-type]


def test_keyword_arguments_go_into_the_file_as_they_are() -> None:
    flow = DataflowBuilder("flow")
    flow.add_node("a", path="a.py", outputs=["x"], max_restarts=3)
    assert flow.name == "flow"
    assert read(flow.to_yaml()) == {
        "nodes": [{"id": "a", "path": "a.py", "outputs": ["x"], "max_restarts": 3}]
    }


def test_an_id_stands_once() -> None:
    flow = DataflowBuilder()
    assert flow.name == "dora-dataflow"
    flow.add_node("a")
    with pytest.raises(ValueError, match="a node `a` already"):
        flow.add_node("a")


def test_yaml_is_returned_or_written(tmp_path: Path) -> None:
    flow = DataflowBuilder()
    flow.add_node("größe", path="a.py")
    file = tmp_path / "flow.yml"
    assert flow.to_yaml(file) is None
    assert file.read_text(encoding="utf-8") == flow.to_yaml()
    assert flow.to_yaml(str(file)) is None


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
VALUES = st.recursive(
    TEXTS
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.sampled_from(["no", "1.0", "~", "a: b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(TEXTS.filter(lambda key: key not in ("", "id", "self")), VALUES, max_size=4))
def test_whatever_text_a_key_holds_is_read_back_as_it_was(keys: dict[str, Any]) -> None:
    flow = DataflowBuilder()
    flow.add_node("a", **keys)
    assert read(flow.to_yaml()) == {"nodes": [{"id": "a", **keys}]}


def test_what_no_file_can_hold_is_a_type_error_that_names_the_key() -> None:
    flow = DataflowBuilder()
    flow.add_node("a").env({"K": {1, 2}})
    with pytest.raises(TypeError, match="node `a`: env: K: a value of type `set`"):
        flow.to_yaml()


def test_paths_and_lists_of_words_are_taken_too() -> None:
    node = Node("a", working=Path("x")).path(Path("a.py")).args(["--name", "two words"])
    assert node.to_dict() == {
        "id": "a",
        "working": "x",
        "path": "a.py",
        "args": "--name 'two words'",
    }


def test_branch_tag_and_rev_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="branch and rev exclude"):
        Node("a").git("u", branch="main", rev="abc")


def test_an_operator_has_ports_and_an_address_once_it_is_in_a_node() -> None:
    operator = Operator("op", python="op.py", name="N", description="D", build="b")
    with pytest.raises(ValueError, match="belongs to no node yet"):
        str(operator.add_output("x"))
    node = Node("runtime").add_operator(operator.add_input("tick", "dora/timer/hz/5"))
    assert str(operator.add_output("x")) == "runtime/op/x"
    assert node.to_dict()["operators"] == [
        {
            "id": "op",
            "name": "N",
            "description": "D",
            "build": "b",
            "python": "op.py",
            "outputs": ["x"],
            "inputs": {"tick": "dora/timer/hz/5"},
        }
    ]


def test_the_arguments_of_an_operator_stand_under_the_keys_of_the_file() -> None:
    operator = Operator("op", None, None, None, None, "lib", "out")
    assert operator.to_dict() == {"id": "op", "shared-library": "lib", "send_stdout_as": "out"}


def test_mistakes_are_told_at_the_end_of_the_with_block() -> None:
    flow = DataflowBuilder("flow")
    flow.add_node("camera", path="c.py").add_output("image")
    flow.add_node("plot", path="p.py").add_input("image", "camra/image")
    with pytest.raises(DescriptorError) as caught, flow:
        pass
    assert "`plot/image` reads from node `camra`" in str(caught.value)
    assert "did you mean `camera`" in str(caught.value)


def test_an_error_in_the_with_block_is_not_hidden_by_the_mistakes_it_left() -> None:
    flow = DataflowBuilder()
    flow.add_node("plot").add_input("image", "camra/image")
    with pytest.raises(KeyError), flow:
        raise KeyError


def test_the_example_makes_the_file_beside_it(tmp_path: Path) -> None:
    example = Path(__file__).resolve().parent.parent / "examples" / "builder"
    script = example / "make_dataflow.py"
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True)
    made = (tmp_path / "dataflow.yml").read_text()
    assert made == (example / "dataflow.yml").read_text()


def test_a_dataflow_of_every_kind_of_node_is_accepted_by_validate(tmp_path: Path) -> None:
    for name in ("camera.py", "op.py", "plot.py"):
        (tmp_path / name).touch()
    with DataflowBuilder("all") as flow:
        image = flow.add_node("camera").path("camera.py").add_output("image")
        operator = Operator("op", python="op.py")
        flow.add_node("runtime").add_operator(operator.add_input("image", image, queue_size=1))
        plot = flow.add_node("plot").path("plot.py").env({"A": 1})
        plot.add_input("found", operator.add_output("found"))
        flow.to_yaml(tmp_path / "flow.yml")
    told = subprocess.run(
        [DORA, "validate", tmp_path / "flow.yml"], check=False, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr

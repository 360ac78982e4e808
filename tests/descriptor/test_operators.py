"""A node with operators becomes one process with the ports of all of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from dora.descriptor.graph import graph_of, to_mermaid
from dora.descriptor.plan import LogSettings, Plan, Route
from dora.descriptor.planner import load_plan
from dora.errors import DescriptorError
from dora.wire.runtime import OperatorConfig, OperatorRestart, RuntimeConfig, decode_runtime

if TYPE_CHECKING:
    from pathlib import Path

TWO = """
nodes:
  - id: vision
    operators:
      - id: detect
        python: ops/detect.py
        inputs: {image: {source: camera/image, queue_size: 1}, tick: dora/timer/millis/5}
        outputs: [boxes, log]
        build: pip install one
        send_stdout_as: log
        output_types: {boxes: std/vision/v1/BoundingBox}
      - id: track
        python: {source: ops/track.py}
        inputs: {boxes: vision/detect/boxes}
        outputs: [tracks]
        build: |
          pip install two
        max_log_size: 2K
    build: pip install zero
    min_log_level: warn
    restart_policy: on-failure
    max_restarts: 3
  - id: camera
    path: camera.py
    outputs: [image]
  - id: alone
    operator: {python: ops/detect.py, inputs: {t: vision/track/tracks}, outputs: [out]}
  - id: named
    operator: {id: n, python: ops/detect.py, outputs: [out]}
  - id: plot
    path: camera.py
    inputs:
      short: alone/out
      long: {source: alone/op/out, queue_size: 3}
      named: named/out
      tracks: vision/track/tracks
      rate: dora/timer/hz/10
"""


def plan_of(folder: Path, text: str, **options: Any) -> Plan:
    (folder / "ops").mkdir(exist_ok=True)
    for name in ("camera.py", "ops/detect.py", "ops/track.py"):
        (folder / name).touch()
    (folder / "flow.yml").write_text(text)
    return load_plan(folder / "flow.yml", **{"environ": {"PATH": "/usr/bin"}, **options})


def problems_of(folder: Path, text: str, **options: Any) -> list[str]:
    with pytest.raises(DescriptorError) as caught:
        plan_of(folder, text, **options)
    return [problem.what for problem in caught.value.problems]


def operator_of(folder: Path, lines: str, **options: Any) -> Plan:
    return plan_of(folder, f"nodes:\n  - id: n\n    operator: {lines}\n", **options)


def test_ports_of_a_node_with_operators_carry_the_operator(tmp_path: Path) -> None:
    node = plan_of(tmp_path, TWO).node("vision")
    assert node.inputs == ("detect/image", "detect/tick", "track/boxes")
    assert node.outputs == ("detect/boxes", "detect/log", "track/tracks")
    assert [timer.input for timer in node.timers] == ["detect/tick"]


def test_a_single_operator_is_addressed_with_or_without_its_id(tmp_path: Path) -> None:
    routes = plan_of(tmp_path, TWO).routes
    assert Route("alone", "op/out", "plot", "short") in routes
    assert Route("alone", "op/out", "plot", "long", queue_size=3) in routes
    assert Route("named", "n/out", "plot", "named") in routes
    assert Route("vision", "detect/boxes", "vision", "track/boxes") in routes
    assert Route("camera", "image", "vision", "detect/image", queue_size=1) in routes
    assert Route("vision", "track/tracks", "alone", "op/t") in routes
    assert len(routes) == 7


def test_an_output_that_begins_like_its_operator_is_still_found(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "nodes:\n  - {id: n, operator: {python: camera.py, outputs: [op/x, x]}}\n"
        "  - {id: r, path: camera.py, inputs: {a: n/x, b: n/op/x}}\n",
    )
    assert [(route.output, route.input) for route in plan.routes] == [
        ("op/x", "a"),
        ("op/op/x", "b"),
    ]


def test_the_command_starts_a_runtime_and_names_the_node(tmp_path: Path) -> None:
    command = plan_of(tmp_path, TWO).node("vision").command
    assert command is not None
    program = "import dora; dora.start_runtime()  # vision"
    assert command.argv == (sys.executable, "-u", "-c", program)
    assert command.cwd == tmp_path


def test_the_runtime_is_told_its_operators_and_how_often_to_restart_them(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, TWO)
    config = decode_runtime(plan.node("vision").env["DORA_RUNTIME_CONFIG"])
    ops = tmp_path / "ops"
    assert config == RuntimeConfig(
        "vision",
        [
            OperatorConfig("detect", f"{ops}/detect.py", ["image", "tick"], ["boxes", "log"]),
            OperatorConfig("track", f"{ops}/track.py", ["boxes"], ["tracks"]),
        ],
        OperatorRestart("on-failure", 3),
    )
    assert "DORA_RUNTIME_CONFIG" not in plan.node("camera").env
    assert not any("restart_policy" in warning for warning in plan.warnings)


def test_what_operators_say_of_output_and_build_holds_for_the_process(tmp_path: Path) -> None:
    node = plan_of(tmp_path, TWO).node("vision")
    assert node.logs == LogSettings(
        min_level="warn", max_size_bytes=2048, send_stdout_as="detect/log"
    )
    assert [words[-1] for words in node.build] == ["zero", "one", "two"]


def test_operators_may_say_the_same_of_their_process(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "nodes:\n  - id: n\n    operators:\n"
        "      - {id: a, python: camera.py, min_log_level: warn}\n"
        "      - {id: b, python: camera.py, min_log_level: warn}\n",
    )
    assert plan.node("n").logs.min_level == "warn"


def test_operators_in_two_environments_cannot_share_a_process(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        "nodes:\n  - id: n\n    operators:\n"
        "      - {id: a, python: {source: camera.py, conda_env: one}}\n"
        "      - {id: b, python: {source: camera.py, conda_env: two}}\n",
    )
    assert any("`conda_env` is `two` here and `one` in line 4" in what for what in problems)


def test_a_conda_environment_of_an_operator_is_that_of_the_node(tmp_path: Path) -> None:
    environment = tmp_path / "conda" / "envs" / "one"
    for folder in ("bin", "conda-meta"):
        (environment / folder).mkdir(parents=True)
    (environment / "bin" / "python").touch(mode=0o755)
    plan = operator_of(
        tmp_path,
        "{python: {source: camera.py, conda_env: one}}",
        environ={"PATH": "/usr/bin", "CONDA_ENVS_PATH": str(tmp_path / "conda" / "envs")},
    )
    command = plan.node("n").command
    assert command is not None
    assert command.argv[0] == str(environment / "bin" / "python")


def test_node_config_names_the_operator_that_the_file_left_out(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, TWO)
    assert plan.node("plot").config["inputs"] == {
        "long": {"source": "alone/op/out", "queue_size": 3},
        "named": "named/n/out",
        "rate": "dora/timer/nanos/100000000",
        "short": "alone/op/out",
        "tracks": "vision/track/tracks",
    }
    assert plan.node("alone").config == {
        "inputs": {"op/t": "vision/track/tracks"},
        "outputs": ["op/out"],
    }
    assert plan.descriptor["nodes"][4]["inputs"]["short"] == "alone/out"


def test_a_file_that_the_build_makes_is_no_mistake_before_it(tmp_path: Path) -> None:
    lines = "{python: made.py, build: make}"
    assert operator_of(tmp_path, lines, before_build=True).node("n").command is not None
    assert problems_of(tmp_path, f"nodes:\n  - id: n\n    operator: {lines}\n") == [
        "the operator of node `n`: the file `made.py` does not exist"
    ]


def test_the_picture_shows_the_files_of_operators(tmp_path: Path) -> None:
    drawn = to_mermaid(graph_of(plan_of(tmp_path, TWO)))
    assert '"vision<br/>ops/detect.py, ops/track.py"' in drawn
    assert '"alone<br/>ops/detect.py"' in drawn

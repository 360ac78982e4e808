"""What a right dataflow file becomes: defaults, short and long forms, environments, commands."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dora.descriptor.packing import pack_plan, unpack_plan
from dora.descriptor.plan import (
    LogRoute,
    LogSettings,
    NodePlan,
    Plan,
    Restart,
    Route,
    TimerInput,
)
from dora.descriptor.planner import load_plan
from dora.errors import DescriptorError, ProtocolError
from dora.ids import LogsRef

TOP = """
nodes:
  - id: camera
    path: camera.py
    outputs: [image, depth]
"""


def plan_of(folder: Path, text: str, **options: Any) -> Plan:
    (folder / "camera.py").touch()
    flow = folder / "flow.yml"
    flow.write_text(text)
    return load_plan(flow, **{"environ": {"PATH": "/usr/bin:/bin"}, **options})


def problems_of(folder: Path, text: str, **options: Any) -> list[str]:
    with pytest.raises(DescriptorError) as caught:
        plan_of(folder, text, **options)
    return [problem.what for problem in caught.value.problems]


def node_of(folder: Path, lines: str, **options: Any) -> NodePlan:
    body = "".join(f"    {line}\n" for line in lines.splitlines())
    return plan_of(folder, f"nodes:\n  - id: n\n{body}", **options).node("n")


def test_a_node_with_a_path_alone_gets_every_default(tmp_path: Path) -> None:
    node = node_of(tmp_path, "path: camera.py")
    assert node.command is not None
    assert node.command.argv == (sys.executable, "-u", str(tmp_path / "camera.py"))
    assert node.command.cwd == tmp_path
    assert (node.env, node.outputs, node.inputs, node.timers, node.build) == ({}, (), (), (), ())
    assert (node.logs, node.cpu_affinity, node.restart.policy) == (LogSettings(), (), "never")
    assert node.config == {"inputs": {}, "outputs": []}


@pytest.mark.parametrize("written", ["camera.py", "./camera.py"])
@pytest.mark.parametrize("name", ["flow.yml", "flow.yaml"])
def test_either_ending_of_a_dataflow_and_either_form_of_a_path_will_do(
    tmp_path: Path, name: str, written: str
) -> None:
    (tmp_path / "camera.py").touch()
    (tmp_path / name).write_text(f"nodes: [{{id: n, path: {written}}}]")
    plan = load_plan(tmp_path / name, environ={"PATH": "/usr/bin:/bin"})
    assert plan.name == "flow"
    command = plan.node("n").command
    assert command is not None
    assert command.argv == (sys.executable, "-u", str(tmp_path / "camera.py"))


def test_a_plan_is_named_after_its_file_and_carries_the_file_as_plain_values(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path, TOP)
    assert (plan.name, plan.working_dir, plan.warnings) == ("flow", tmp_path, ())
    assert plan.exit_when_nodes_finish is False
    assert plan.descriptor["nodes"][0]["outputs"] == ["image", "depth"]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plan.descriptor)) == plan.descriptor


def test_the_configuration_names_outputs_in_order_of_the_alphabet(tmp_path: Path) -> None:
    camera = plan_of(tmp_path, TOP).node("camera")
    assert camera.outputs == ("image", "depth")
    assert camera.config["outputs"] == ["depth", "image"]


def test_inputs_short_and_long_become_routes_timers_and_log_routes(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        TOP
        + """
  - id: plot
    path: camera.py
    inputs:
      image: camera/image
      again: camera/image
      depth: {source: camera/depth, queue_size: 3, queue_policy: backpressure, input_timeout: 2}
      least: {source: camera/depth, queue_size: 0, queue_policy: drop_oldest}
      tick: dora/timer/millis/33
      rate: {source: dora/timer/hz/30, queue_size: 2}
      lines: dora/logs
      errors: {source: dora/logs/error/camera, queue_size: 100}
""",
    )
    assert plan.routes == (
        Route("camera", "image", "plot", "image", 10, False, None),
        Route("camera", "image", "plot", "again", 10, False, None),
        Route("camera", "depth", "plot", "depth", 3, True, 2.0),
        Route("camera", "depth", "plot", "least", 1, False, None),
    )
    assert plan.log_routes == (
        LogRoute(LogsRef("stdout", None), "plot", "lines", 10, False),
        LogRoute(LogsRef("error", "camera"), "plot", "errors", 100, False),
    )
    plot = plan.node("plot")
    assert plot.timers == (TimerInput("tick", 33_000_000), TimerInput("rate", 33_333_333))
    assert plot.inputs == tuple(
        ["image", "again", "depth", "least", "tick", "rate", "lines", "errors"]
    )
    assert plot.config["inputs"] == {
        "again": "camera/image",
        "depth": {
            "source": "camera/depth",
            "queue_size": 3,
            "input_timeout": 2.0,
            "queue_policy": "backpressure",
        },
        "errors": {"source": "dora/logs/error/camera", "queue_size": 100},
        "image": "camera/image",
        "least": {"source": "camera/depth", "queue_size": 0, "queue_policy": "drop_oldest"},
        "lines": "dora/logs",
        "rate": {"source": "dora/timer/nanos/33333333", "queue_size": 2},
        "tick": "dora/timer/millis/33",
    }


def test_loops_and_a_source_further_down_are_legal(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        """
nodes:
  - {id: a, path: camera.py, inputs: {self: a/x, back: b/deep/er}, outputs: [x]}
  - {id: b, path: camera.py, inputs: {x: a/x}, outputs: [deep/er]}
""",
    )
    assert [(route.sender, route.output, route.receiver) for route in plan.routes] == [
        ("a", "x", "a"),
        ("b", "deep/er", "a"),
        ("a", "x", "b"),
    ]


def test_a_key_without_a_value_counts_as_not_there(tmp_path: Path) -> None:
    lines = "path: camera.py\ninputs:\noutputs:\nenv:\nargs:\nrestart_policy:"
    assert node_of(tmp_path, lines) == node_of(tmp_path, "path: camera.py")


def test_the_nodes_own_variables_win_over_the_command_line_and_it_over_the_top(
    tmp_path: Path,
) -> None:
    text = "env: {A: top, B: top, C: top}\nnodes:\n  - {id: n, path: camera.py, env: {A: node}}\n"
    plan = plan_of(tmp_path, text, extra_env={"A": "line", "B": "$line", "D": "7"})
    assert plan.node("n").env == {"A": "node", "B": "$line", "C": "top", "D": "7"}
    assert plan.descriptor["env"] == {"A": "line", "B": "$line", "C": "top", "D": "7"}


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ('"1.10"', "1.10"),
        ("1.10", "1.10"),
        ("007", "007"),
        ("0x10", "16"),
        ("true", "true"),
        ("True", "true"),
        ("yes", "yes"),
        ("2026-01-02", "2026-01-02"),
        ("12:30", "12:30"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("$MODEL", "yolo"),
        ("'${MODEL}.onnx'", "yolo.onnx"),
        ('"${NONE:-a b}"', "a b"),
        ('"${NONE:-}"', ""),
        ('"${BLANK:-default}"', ""),
        ("a$$b", "a$b"),
        ("5 $ each", "5 $ each"),
        ("${MODEL", "${MODEL"),
    ],
)
def test_a_variable_is_the_text_that_was_written_with_references_expanded(
    tmp_path: Path, written: str, found: str
) -> None:
    environ = {"MODEL": "yolo", "BLANK": ""}
    node = node_of(tmp_path, f"path: camera.py\nenv:\n  A: {written}", environ=environ)
    assert node.env == {"A": found}


def test_variables_that_dora_keeps_for_itself_are_dropped_with_a_warning(tmp_path: Path) -> None:
    text = (
        "env: {LD_PRELOAD: x.so}\nnodes:\n"
        "  - {id: n, path: camera.py, env: {DORA_NODE_CONFIG: x, DORA_ZENOH_MODE: y, OK: z}}\n"
    )
    plan = plan_of(tmp_path, text, extra_env={"ZENOH_CONFIG": "x"})
    assert plan.node("n").env == {"OK": "z"}
    named = ("LD_PRELOAD", "DORA_NODE_CONFIG", "DORA_ZENOH_MODE", "ZENOH_CONFIG")
    assert all(any(name in warning for warning in plan.warnings) for name in named)


def test_args_are_split_into_words_without_a_shell(tmp_path: Path) -> None:
    node = node_of(tmp_path, "path: camera.py\nargs: --name 'front left' $HOME *.png")
    assert node.command is not None
    assert node.command.argv[3:] == ("--name", "front left", "$HOME", "*.png")


def test_build_lines_become_words_and_comments_vanish(tmp_path: Path) -> None:
    node = node_of(tmp_path, "path: camera.py\nbuild: |\n  pip install 'a b'\n\n  # no\n  make x#1")
    assert node.build == (("pip", "install", "a b"), ("make", "x#1"))


@pytest.mark.parametrize(
    "line",
    [
        "pip install numpy>=1.26 x<2",
        "find . -name '*.o' -exec rm {} \\;",
        "find . -exec rm {} ';'",
        "sh -c 'make && make install > log; echo $(date) | tee `x`'",
        'echo "a & b; $(c)"',
        "make CFLAGS=-O2 all;x",
        "cdrecord x",
    ],
)
def test_a_build_line_that_needs_no_shell_is_left_alone(tmp_path: Path, line: str) -> None:
    flow = f"nodes:\n  - id: n\n    path: camera.py\n    build: |\n      {line}\n"
    assert plan_of(tmp_path, flow).node("n").build == (tuple(shlex.split(line)),)


@pytest.mark.parametrize(
    "line",
    [
        "a && b",
        "a || b",
        "a | b",
        "a ; b",
        "a; b",
        "a &",
        "a > b",
        "a >b",
        "a 2>&1",
        "a < b",
        "a $(b)",
        "a `b`",
        "cd b",
        "export A=b",
        "A=b c",
        "exit",
        "if a",
    ],
)
def test_a_build_line_that_needs_a_shell_is_a_problem(tmp_path: Path, line: str) -> None:
    flow = f"nodes:\n  - id: n\n    path: camera.py\n    build: |\n      make\n      {line}\n"
    (problem,) = problems_of(tmp_path, flow)
    assert problem.startswith("`build` of node `n`: no shell reads it")


def test_a_program_is_looked_into_only_where_no_build_may_yet_change_it(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("print(1)\n")
    flow = "nodes:\n  - {id: n, path: program, build: make}\n"
    assert plan_of(tmp_path, flow, before_build=True).node("n").command is not None
    assert problems_of(tmp_path, flow) == ["node `n`: `program` is not executable"]
    program.chmod(0o755)
    assert "a text that does not say what is to run it" in problems_of(tmp_path, flow)[0]
    program.write_bytes(b"\x7fELF\2\1\1\0")
    assert plan_of(tmp_path, flow).node("n").command is not None


def test_a_file_that_a_build_may_make_is_missing_only_after_the_build(tmp_path: Path) -> None:
    text = "nodes:\n  - {id: n, path: made.py, build: make}\n  - {id: m, path: tool, build: make}\n"
    plan = plan_of(tmp_path, text, before_build=True)
    assert plan.node("n").command is not None
    assert len(problems_of(tmp_path, text)) == 2


def test_an_executable_beside_the_file_wins_over_one_on_path(tmp_path: Path) -> None:
    own = tmp_path / "sh"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    node = node_of(tmp_path, "path: sh\nargs: -x")
    assert node.command is not None
    assert node.command.argv == (str(own), "-x")


def test_a_program_is_looked_for_beside_the_interpreter_then_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("bin", "elsewhere"):
        (tmp_path / folder).mkdir()
        for name in ("tool", f"only-{folder}"):
            (tmp_path / folder / name).write_text("#!/bin/sh\n")
            (tmp_path / folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    environ = {"PATH": str(tmp_path / "elsewhere")}
    for name, folder in (("tool", "bin"), ("only-bin", "bin"), ("only-elsewhere", "elsewhere")):
        node = node_of(tmp_path, f"path: {name}", environ=environ)
        assert node.command is not None
        assert node.command.argv == (str(tmp_path / folder / name),)


def test_path_knows_a_few_variables(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "DORA_WORKSPACE": "."}
    for path in ("$HOME/camera.py", "${DORA_WORKSPACE}/camera.py"):
        node = node_of(tmp_path, f"path: {path}", environ=environ)
        assert node.command is not None
        assert Path(node.command.argv[2]) == tmp_path / "camera.py"


def test_a_dynamic_node_has_no_command(tmp_path: Path) -> None:
    assert node_of(tmp_path, "path: dynamic").command is None


def test_a_shell_node_runs_its_args_when_allowed(tmp_path: Path) -> None:
    node = node_of(tmp_path, "path: shell\nargs: ls | wc -l", allow_shell=True)
    assert node.command is not None
    assert node.command.argv == ("sh", "-c", "ls | wc -l")


def test_uv_runs_python_files_or_is_missed_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    (tmp_path / "uv").write_text("#!/bin/sh\n")
    (tmp_path / "uv").chmod(0o755)
    node = node_of(tmp_path, "path: camera.py", uv=True, environ={"PATH": str(tmp_path)})
    assert node.command is not None
    assert node.command.argv[1:4] == ("run", "python", "-u")
    text = "nodes:\n  - {id: a, path: camera.py}\n  - {id: b, path: camera.py}\n"
    missing = problems_of(tmp_path, text, uv=True, environ={"PATH": "/nowhere"})
    assert missing == ["`--uv` needs the command `uv`, which is not on PATH"]


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [("50MB", 50 * 1024**2), ("1GB", 1024**3), ("2K", 2048), ("1.5 kb", 1536), ("1000", 1000)],
)
def test_log_sizes_count_in_powers_of_1024(tmp_path: Path, written: str, size_bytes: int) -> None:
    logs = node_of(tmp_path, f"path: camera.py\nmax_log_size: {written}").logs
    assert logs.max_size_bytes == size_bytes


def test_the_flag_overrides_exit_when_nodes_finish_in_both_directions(tmp_path: Path) -> None:
    text = "exit_when_nodes_finish: true" + TOP
    assert plan_of(tmp_path, text).exit_when_nodes_finish is True
    assert plan_of(tmp_path, text, exit_when_nodes_finish=False).exit_when_nodes_finish is False
    assert plan_of(tmp_path, TOP, exit_when_nodes_finish=True).exit_when_nodes_finish is True


def test_what_is_accepted_but_not_obeyed_is_a_warning_with_its_place(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        """
debug: {enable_debug_inspection: true}
nodes:
  - id: camera
    path: camera.py
    cpu_affinity: [0, 100000]
    outputs: [image]
""",
    )
    (warning,) = plan.warnings
    assert f"{tmp_path / 'flow.yml'}:6:5: node `camera`: `cpu_affinity`" in warning
    assert plan.node("camera").cpu_affinity == (0,)


def test_what_supervision_needs_is_in_the_plan_with_units(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        """
health_check_interval: 0.5
nodes:
  - id: camera
    path: camera.py
    restart_policy: on-failure
    max_restarts: 3
    restart_delay: 0.5
    max_restart_delay: 8
    restart_window: 60
    health_check_timeout: 5
    startup_timeout: 30
    finish_grace_secs: 1.5
    memory_limit: 2GB
    nice: -5
""",
    )
    assert plan.warnings == ()
    assert plan.health_check_interval_s == 0.5
    camera = plan.node("camera")
    assert camera.restart == Restart("on-failure", 3, 0.5, 8, 60)
    assert (camera.health_check_timeout_s, camera.startup_timeout_s) == (5, 30)
    assert camera.finish_grace_s == 1.5
    assert (camera.memory_limit_bytes, camera.nice) == (2 * 1024**3, -5)


def test_a_timeout_of_zero_is_none_as_it_was_meant(tmp_path: Path) -> None:
    node = node_of(tmp_path, "path: camera.py\nhealth_check_timeout: 0\nstartup_timeout: 0")
    assert (node.health_check_timeout_s, node.startup_timeout_s) == (None, None)


@pytest.mark.parametrize(
    ("variable", "lines", "grace_s"),
    [
        ({}, "", 120),
        ({"DORA_FINISH_DRAIN_GRACE_SECS": "2.5"}, "", 2.5),
        ({"DORA_FINISH_DRAIN_GRACE_SECS": ""}, "", 120),
        ({"DORA_FINISH_DRAIN_GRACE_SECS": "2.5"}, "\nfinish_grace_secs: 0", 0),
    ],
)
def test_the_grace_of_stragglers_is_the_nodes_else_the_variables_else_120_s(
    tmp_path: Path, variable: dict[str, str], lines: str, grace_s: float
) -> None:
    node = node_of(tmp_path, "path: camera.py" + lines, environ=variable)
    assert node.finish_grace_s == grace_s


@pytest.mark.parametrize("value", ["soon", "-1", "inf", "nan"])
def test_a_variable_for_the_grace_that_is_no_time_is_one_mistake(
    tmp_path: Path, value: str
) -> None:
    environ = {"DORA_FINISH_DRAIN_GRACE_SECS": value}
    (told,) = problems_of(tmp_path, TOP, environ=environ)
    assert told == (
        f"the environment variable `DORA_FINISH_DRAIN_GRACE_SECS` is `{value}`, which is no time"
    )


def test_the_plan_names_its_file_and_the_python_file_of_each_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "smooth.py").touch()
    monkeypatch.chdir(tmp_path / "deep")
    (tmp_path / "camera.py").touch()
    Path("flow.yml").write_text(
        """
nodes:
  - {id: camera, path: ../camera.py, args: --size 640}
  - {id: program, path: cat, args: -u camera.py}
  - {id: shell, path: shell, args: python camera.py}
  - {id: away, path: dynamic}
  - {id: filters, operators: [{id: a, python: ../smooth.py}, {id: b, python: ../camera.py}]}
"""
    )
    plan = load_plan(Path("flow.yml"), environ={"PATH": "/usr/bin:/bin"}, allow_shell=True)
    assert plan.file == tmp_path / "deep" / "flow.yml"
    sources = {node.id: node.source for node in plan.nodes}
    others = dict.fromkeys(["program", "shell", "away", "filters"])
    assert sources == {"camera": tmp_path / "camera.py", **others}
    assert plan.node("filters").operator_sources == {
        "a": tmp_path / "smooth.py",
        "b": tmp_path / "camera.py",
    }
    assert plan.node("camera").operator_sources == {}
    assert unpack_plan(pack_plan(plan)) == plan


def test_a_packed_plan_that_has_a_node_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "flow.yml"
    file.write_text("nodes: [{id: camera, path: dynamic}]")
    twice = load_plan(file, environ={})
    msgspec.structs.force_setattr(twice, "nodes", twice.nodes * 2)
    with pytest.raises(ProtocolError, match="two nodes of a plan have the same id"):
        unpack_plan(pack_plan(twice))


def test_a_symbolic_link_to_a_file_has_the_working_directory_of_that_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    plan_of(tmp_path / "real", TOP)
    link = tmp_path / "link.yml"
    link.symlink_to(tmp_path / "real" / "flow.yml")
    plan = load_plan(link, environ={})
    assert (plan.name, plan.working_dir) == ("link", tmp_path / "real")


def test_anchors_and_aliases_are_expanded(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "nodes:\n  - {id: a, path: camera.py, env: &e {A: x}}\n"
        "  - {id: b, path: camera.py, env: *e}\n",
    )
    assert plan.node("b").env == {"A": "x"}


def test_a_name_that_follows_from_another_mistake_is_not_reported(tmp_path: Path) -> None:
    text = """
nodes:
  - id: camera
    path: camera.py
    outputs: image
  - id: plot
    path: camera.py
    inputs: {image: camera/image}
"""
    assert len(problems_of(tmp_path, text)) == 1

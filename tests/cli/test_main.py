"""The command line: statuses, messages, flags, and what a command must not import."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from dora.cli import main as main_module
from dora.cli.absent import NOT_YET
from dora.cli.main import STATUS_BUG, STATUS_INTERRUPTED, main
from dora.cli.options import parse_duration, parse_env, parse_log_filter
from dora.running.options import RunOptions
from dora.version import VERSION

if TYPE_CHECKING:
    from dora.descriptor.plan import Plan

GOOD = "nodes:\n  - {id: camera, path: camera.py, outputs: [image]}\n"


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("DORA_LOG_LEVEL", "DORA_LOG_FORMAT", "DORA_LOG_FILTER", "DORA_ALLOW_SHELL_NODES"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "camera.py").touch()
    (tmp_path / "flow.yml").write_text(GOOD)
    return Path("flow.yml")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Plan, RunOptions]]:
    """What `run_flow` was called with, in place of running it."""
    import dora.cli.run

    calls: list[tuple[Plan, RunOptions]] = []

    def run_flow(plan: Plan, options: RunOptions) -> int:
        calls.append((plan, options))
        return 7

    monkeypatch.setattr(dora.cli.run, "run_flow", run_flow)
    return calls


def modules_after(*args: str) -> set[str]:
    """The modules that a command line leaves loaded in a fresh interpreter."""
    code = (
        "import sys\nfrom dora.cli.main import main\nstatus = main(sys.argv[1:])\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\nsys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_prints_the_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    assert capsys.readouterr().out == f"dora {VERSION}\n"


def test_help_gives_each_command_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "validate", "graph", "build", "schema"):
        assert main([command, "--help"]) == 0
        assert f"Example: dora {command}" in capsys.readouterr().out


def test_help_cuts_no_sentence_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "..." not in told.replace("COMMAND [ARGS]...", "")
    assert "Print the JSON Schema of dataflow files, for editors." in told


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        (["help"], ["--help"]),
        (["help", "run"], ["run", "--help"]),
        (["help", "node", "list"], ["node", "list", "--help"]),
        (["topic", "help", "hz"], ["topic", "hz", "--help"]),
    ],
)
def test_help_is_a_command_too(
    asked: list[str], same: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked) == 0
    told = capsys.readouterr().out
    assert main(same) == 0
    assert told == capsys.readouterr().out


@pytest.mark.parametrize("command", sorted(NOT_YET))
def test_a_command_of_dora_rs_that_is_not_there_yet_is_called_so(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "x", "--some-flag"]) == 2
    assert f"`dora {command}` is not in this release" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("validat", "there is no command `validat`; did you mean `dora validate`?"),
        ("topics", "there is no command `topics`; did you mean `dora topic`?"),
        ("qqq", "there is no command `qqq`; commands: build, clean, completion,"),
        ("my/flow.yml", "to run that dataflow: `dora run my/flow.yml`"),
    ],
)
def test_a_command_that_does_not_exist_is_answered_with_the_one_meant(
    command: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "near"),
    [
        (["run", "x.yml", "--stop-aftr", "1s"], "--stop-after"),
        (["up", "--interfac", "lo"], ""),  # hidden
        (["start", "x.yml", "--debg"], ""),
        (["node", "list", "--qiet"], "--quiet"),
    ],
)
def test_a_flag_that_does_not_exist_is_answered_with_the_nearest_that_is_shown(
    args: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    told = capsys.readouterr().err
    assert "No such option" in told
    assert f"Did you mean '{near}'?" in told if near else "Did you mean" not in told


def test_help_and_version_load_neither_yaml_nor_numpy_nor_the_daemon() -> None:
    heavy = {"ruamel.yaml", "numpy", "pyarrow", "asyncio", "dora.daemon", "pydantic"}
    assert not heavy & modules_after("--help")
    assert not heavy & modules_after("--version")


def test_validate_loads_no_node_code(flow: Path) -> None:
    heavy = {"numpy", "pyarrow", "asyncio", "dora.node", "dora.daemon", "pydantic"}
    assert not heavy & modules_after("validate", str(flow))


def test_validate_counts_nodes_and_wires(flow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow.write_text(GOOD + "  - {id: b, path: camera.py, inputs: {x: camera/image}}\n")
    assert main(["validate", "flow.yml"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Validating flow.yml...",
        "Input/output wiring OK.",
        "Descriptor config OK.",
        "All type annotations OK.",
        "flow.yml: all right (2 nodes, 1 wire)",
    ]


TYPED = """
nodes:
  - {id: a, path: camera.py, outputs: [x, y], output_types: {x: std/core/v1/UInt8, y: UInt8}}
  - {id: b, path: camera.py, inputs: {x: a/x, y: a/y}, input_types: {x: std/core/v1/Int32}}
"""


def test_validate_tells_inferred_types_and_warnings_in_the_words_of_dora_rs(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow.write_text(TYPED)
    assert main(["validate", "flow.yml"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[3:6] == [
        "Inferred types:",
        "  inferred std/core/v1/UInt8 on b/y (from a/y)",
        "Type warnings:",
    ]
    assert told[6].startswith("flow.yml:4:73: input `b/x` expects `std/core/v1/Int32`, but `a/x`")
    assert told[-1] == "1 type warning(s) found."


@pytest.mark.parametrize("command", ["validate", "build", "run"])
def test_strict_types_make_a_warning_of_types_a_mistake(
    flow: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    flow.write_text(TYPED)
    assert main([command, "flow.yml", "--strict-types"]) == 1
    assert capsys.readouterr().err.startswith("[ERROR] flow.yml:4:73: input `b/x` expects")


def test_build_warns_of_types_in_one_line(flow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow.write_text(TYPED)
    assert main(["build", "flow.yml"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("WARNING flow.yml:4:73: input `b/x` expects")


def test_one_mistake_is_one_message_on_stderr_and_status_1(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow.write_text("nodes:\n  - {id: a, path: camera.py, inputs: {x: b/y}}\n")
    assert main(["validate", "flow.yml"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("[ERROR] flow.yml:2:42: input `a/x` reads from node `b`")
    assert "Traceback" not in told.err


def test_several_mistakes_are_counted_first(flow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow.write_text("nodez: 1\nfoo: 2\n")
    assert main(["validate", "flow.yml"]) == 1
    assert capsys.readouterr().err.startswith("[ERROR] 2 mistakes\n\nflow.yml:1:1: ")


def test_warnings_go_to_stderr_and_do_not_fail(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow.write_text("nodes:\n  - {id: a, path: camera.py, cpu_affinity: [99999]}\n")
    assert main(["validate", "flow.yml"]) == 0
    assert capsys.readouterr().err.startswith("WARNING flow.yml:2:30: node `a`: `cpu_affinity`")


@pytest.mark.parametrize(
    "args",
    [
        ["nosuch"],
        ["run"],
        ["run", "flow.yml", "--nosuch"],
        ["run", "flow.yml", "--stop-after", "soon"],
        ["run", "flow.yml", "--env", "A"],
        ["run", "flow.yml", "--env", "1A=x"],
        ["run", "flow.yml", "--log-level", "loud"],
        ["run", "flow.yml", "--log-filter", "camera"],
        ["run", "flow.yml", "--exit-when-nodes-finish=maybe"],
    ],
)
def test_wrong_usage_is_status_2(flow: Path, args: list[str]) -> None:
    assert main(args) == 2


def test_a_bug_of_ours_is_a_traceback_and_status_70(
    flow: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main_module, "_load", lambda _flow: 1 / 0)
    assert main(["graph", "flow.yml"]) == STATUS_BUG
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_ctrl_c_is_status_130(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_flow: Path) -> Plan:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "_load", interrupted)
    assert main(["graph", "flow.yml"]) == STATUS_INTERRUPTED


@pytest.mark.parametrize(("shown", "colour"), [(True, None), (False, False)])
def test_colours_are_left_out_where_they_are_not_wanted(
    flow: Path, monkeypatch: pytest.MonkeyPatch, shown: bool, colour: bool | None
) -> None:
    seen = []

    def load(_flow: Path) -> Plan:
        seen.append(click.get_current_context().color)
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "shows_colour", lambda _fd: shown)
    monkeypatch.setattr(main_module, "_load", load)
    main(["graph", "flow.yml"])
    assert seen == [colour]


def test_a_reader_that_went_away_is_no_traceback(flow: Path) -> None:
    code = (
        "import sys, os\nfrom dora.cli.main import main\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\nsys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, "schema"], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "")


def test_output_that_finds_no_room_is_one_message(flow: Path) -> None:
    code = "import sys; from dora.cli.main import main; sys.exit(main(['schema']))"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True
        )
    told = "[ERROR] the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, told)


def test_ctrl_c_while_the_command_loads_ends_it_without_a_word(tmp_path: Path) -> None:
    loading = tmp_path / "sitecustomize.py"  # the interrupt comes while click is imported
    loading.write_text(
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
    )
    code = "import sys; from dora.cli.entry import main; sys.exit(main())"
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_run_hands_plan_and_options_over_and_returns_the_status(
    flow: Path, runs: list[tuple[Plan, RunOptions]]
) -> None:
    args = ["run", "flow.yml", "--stop-after", "1m30s", "--env", "A=b=$c", "--env", "D="]
    args += ["--log-level", "WARN", "--log-format", "json", "--log-filter", "camera=debug"]
    assert main([*args, "--debug"]) == 7
    ((plan, options),) = runs
    assert plan.node("camera").env == {"A": "b=$c", "D": ""}
    assert options == RunOptions(90.0, "warn", "json", {"camera": "debug"})


def test_a_filter_for_a_node_that_is_not_there_is_a_mistake_and_nothing_is_built(
    flow: Path, runs: list[tuple[Plan, RunOptions]], capsys: pytest.CaptureFixture[str]
) -> None:
    flow.write_text("nodes:\n  - {id: camera, path: camera.py, build: touch built}\n")
    assert main(["run", "flow.yml", "--log-filter", "camra=error,qqq=info"]) == 1
    told = capsys.readouterr().err
    assert "names node `camra`, which this dataflow does not have; did you mean `camera`?" in told
    assert "names node `qqq`, which this dataflow does not have; nodes here: camera" in told
    assert runs == []
    assert not Path("built").exists()


def test_a_filter_in_the_environment_may_name_nodes_of_other_dataflows(
    flow: Path,
    runs: list[tuple[Plan, RunOptions]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DORA_LOG_FILTER", "other=error")
    assert main(["run", "flow.yml"]) == 7
    assert "WARNING DORA_LOG_FILTER names node `other`" in capsys.readouterr().err
    assert runs[0][1].log_filter == {"other": "error"}


@pytest.mark.parametrize(
    ("flag", "text", "near"),
    [("--log-level", "warning", "warn"), ("--log-format", "prety", "pretty")],
)
def test_a_misspelt_choice_is_answered_with_the_one_meant(
    flow: Path, flag: str, text: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "flow.yml", flag, text]) == 2
    assert f"did you mean `{near}`?" in capsys.readouterr().err


def test_run_takes_defaults_from_the_environment(
    flow: Path, runs: list[tuple[Plan, RunOptions]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["run", "flow.yml"]) == 7
    assert runs[0][1] == RunOptions(None, "stdout", "pretty", {})
    monkeypatch.setenv("DORA_LOG_LEVEL", "error")
    monkeypatch.setenv("DORA_LOG_FORMAT", "compact")
    monkeypatch.setenv("DORA_LOG_FILTER", "camera=trace")
    assert main(["run", "flow.yml"]) == 7
    assert runs[1][1] == RunOptions(None, "error", "compact", {"camera": "trace"})


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["flow.yml"], True),
        (["--exit-when-nodes-finish", "flow.yml"], True),
        (["flow.yml", "--exit-when-nodes-finish=false"], False),
        (["--exit-when-nodes-finish=true", "flow.yml"], True),
    ],
)
def test_exit_when_nodes_finish_takes_a_value_only_after_an_equals_sign(
    flow: Path, runs: list[tuple[Plan, RunOptions]], args: list[str], expected: bool
) -> None:
    flow.write_text("exit_when_nodes_finish: true\n" + GOOD)
    assert main(["run", *args]) == 7
    assert runs[0][0].exit_when_nodes_finish is expected


def test_shell_nodes_need_the_flag_or_the_variable(
    flow: Path, runs: list[tuple[Plan, RunOptions]], monkeypatch: pytest.MonkeyPatch
) -> None:
    flow.write_text("nodes:\n  - {id: a, path: shell, args: 'true'}\n")
    assert main(["run", "flow.yml"]) == 1
    assert main(["run", "flow.yml", "--allow-shell-nodes"]) == 7
    monkeypatch.setenv("DORA_ALLOW_SHELL_NODES", "true")
    assert main(["run", "flow.yml"]) == 7


def test_run_builds_first_and_then_finds_what_the_build_made(
    flow: Path, runs: list[tuple[Plan, RunOptions]], capsys: pytest.CaptureFixture[str]
) -> None:
    flow.write_text("nodes:\n  - {id: a, path: made.py, build: touch made.py}\n")
    assert main(["run", "flow.yml"]) == 7
    assert runs[0][0].node("a").command is not None
    assert "a: build: touch made.py" in capsys.readouterr().out
    flow.write_text("nodes:\n  - {id: a, path: other.py, build: touch made.py}\n")
    assert main(["run", "flow.yml"]) == 1
    assert "`other.py` does not exist" in capsys.readouterr().err


def test_build_runs_python_of_this_interpreter_with_the_nodes_variables_and_folder(
    flow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import os, sys; print(sys.executable, os.getenv(chr(65)), os.getcwd())"
    flow.write_text(
        f"nodes:\n  - {{id: a, path: camera.py, env: {{A: x}}, build: \"python -c '{code}'\"}}\n"
    )
    assert main(["build", "flow.yml"]) == 0
    assert f"a: {sys.executable} x {tmp_path}\n" in capsys.readouterr().out


def test_a_build_that_fails_names_node_line_status_and_last_lines(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow.write_text(
        "nodes:\n  - id: a\n    path: camera.py\n    build: |\n"
        "      sh -c 'echo so it goes; exit 3'\n      touch never\n"
    )
    assert main(["build", "flow.yml"]) == 1
    told = capsys.readouterr().err
    assert (
        "node `a`: the build command `sh -c 'echo so it goes; exit 3'` exited with status 3" in told
    )
    assert "so it goes" in told
    assert not Path("never").exists()


def test_a_build_command_that_does_not_exist_is_named(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow.write_text("nodes:\n  - {id: a, path: camera.py, build: no-such-command-here x}\n")
    assert main(["build", "flow.yml"]) == 1
    assert "cannot be run: No such file or directory: `no-such-command-here`" in (
        capsys.readouterr().err
    )


def test_graph_writes_a_page_here_and_says_so(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", "flow.yml"]) == 0
    assert capsys.readouterr().out == "wrote flow-graph.html\n"
    assert Path("flow-graph.html").read_text().startswith("<!DOCTYPE html>")


def test_graph_mermaid_prints_text_and_writes_nothing(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", "flow.yml", "--mermaid"]) == 0
    assert capsys.readouterr().out.startswith("flowchart LR\n")
    assert not Path("flow-graph.html").exists()


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert schema["title"] == "dora dataflow"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("10", 10), ("0.5", 0.5), ("500ms", 0.5), ("10s", 10), ("5m", 300), ("1h30m", 5400)],
        *[("2w", 1209600), ("250us", 0.00025), ("1ms500µs", 0.0015), ("100ns", 1e-7)],
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1", "10x", "5m3", "1e3", "inf"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


def test_filters_and_variables_are_checked() -> None:
    assert parse_log_filter("a=WARN, b=debug,") == {"a": "warn", "b": "debug"}
    with pytest.raises(ValueError, match="did you mean `warn`"):
        parse_log_filter("a=warning")
    assert parse_env(("A=1", "A=2")) == {"A": "2"}
    with pytest.raises(ValueError, match="NAME=value"):
        parse_env(("=x",))

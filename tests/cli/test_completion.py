"""`dora completion`: its script in a real bash, and what Tab offers of running dataflows."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dora.cli import completing
from dora.cli.main import main
from dora.transport import endpoint
from dora.wire.visits import Dataflow

from .answering import answering

if TYPE_CHECKING:
    from collections.abc import Iterator

FLOW = Dataflow("0190-7", "robot", ["camera", "plot"])

TRY = r"""
eval "$(dora completion bash)"
compopt() { echo "files"; }
tab() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _dora_completion dora
    echo "${COMPREPLY[*]}"
}
"""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(endpoint.VARIABLE, str(tmp_path / "run"))
    return tmp_path


@pytest.fixture
def robot(runtime: Path) -> Iterator[None]:
    """A dataflow that runs."""
    with answering(endpoint.address_of(FLOW.id), FLOW):
        yield


def tabs(*lines: str) -> list[str]:
    """What a bash that has the script offers for each line, whose last word is unfinished."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", TRY + "\n".join(f"tab {line}" for line in lines)],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.usefixtures("robot")
def test_tab_completes_commands_flags_choices_files_and_what_runs() -> None:
    offered = tabs(
        "dora compl",
        "dora run --stop",
        "dora new x --kind ''",
        "dora node stack ''",
        "dora node stack -d ro",
        "dora node stack -d robot p",
        "dora run fl",
    )
    assert offered == [
        "completion",
        "--stop-after",
        "dataflow node",
        "camera plot",
        "robot",
        "plot",
        "files",
        "",
    ]


@pytest.mark.usefixtures("robot")
def test_dataflows_are_offered_by_name_and_by_an_id_that_was_begun() -> None:
    assert completing.dataflow_names("") == ["robot"]
    assert completing.dataflow_names("0190") == ["0190-7"]
    assert completing.node_ids("", "0190") == ["camera", "plot"]
    assert completing.node_ids("", "other") == []


def test_a_daemon_that_does_not_answer_holds_no_shell_up(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completing, "_ASK_S", 0.01)
    with answering(endpoint.address_of(FLOW.id), None):
        assert completing.node_ids("", None) == []


def test_what_is_left_out_is_not_told_on_the_line_that_is_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def running() -> list[Dataflow]:
        logging.getLogger("dora.client").warning("1 dataflow left out")
        return [FLOW]

    monkeypatch.setattr(completing.client, "running", running)
    assert completing.node_ids("", None) == ["camera", "plot"]
    assert capsys.readouterr().err == ""


def test_a_runtime_folder_that_cannot_be_used_offers_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(endpoint.VARIABLE, "/proc/nowhere")
    assert completing.node_ids("", None) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    assert f"_DORA_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_the_shell_that_asks_is_found_by_itself() -> None:
    dora = Path(sys.executable).parent / "dora"
    script = subprocess.run(
        ["bash", "-c", f'told="$({dora} completion)"; echo "$told"'],
        env=os.environ | {"SHELL": "/bin/fish"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "bash_complete" in script.stdout


def test_an_unknown_shell_is_to_be_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    monkeypatch.setattr("dora.cli.completion_command._parent", lambda: "make")
    assert main(["completion"]) == 2
    assert "name it, `dora completion bash`" in capsys.readouterr().err
    assert main(["completion", "elvish"]) == 2

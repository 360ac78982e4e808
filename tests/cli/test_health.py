"""`dora doctor` and `dora status`: what they find, their exit status, the JSON they print."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.cli import health
from dora.cli.main import main
from dora.transport import endpoint
from dora.wire.background import Daemon
from dora.wire.messages import Refused
from dora.wire.visits import Dataflow

from .answering import answering

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

DAEMON = Daemon(
    pid=4211,
    version="0.1.0",
    protocol=1,
    started_ns=1_790_000_000 * 10**9,
    python="/usr/bin/python3",
    checkout="",
    state_file="/state",
    running=1,
)
GOOD = "nodes:\n  - {id: camera, path: camera.py, outputs: [image]}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(endpoint.VARIABLE, str(tmp_path / "run"))
    monkeypatch.setenv("DORA_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    Path("camera.py").touch()
    Path("flow.yml").write_text(GOOD)
    Path("bad.yml").write_text(GOOD.replace("outputs", "output"))
    return tmp_path


def daemon(answer: Daemon | Refused = DAEMON) -> AbstractContextManager[None]:
    """The background daemon of this project."""
    return answering(endpoint.daemon_address(endpoint.checkout()), answer)


def robot() -> AbstractContextManager[None]:
    """A dataflow that runs."""
    return answering(endpoint.address_of("0190-7"), Dataflow("0190-7", "robot", ["camera"]))


def status_document(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    status = main(["status", "-f", "json"])
    return status, json.loads(capsys.readouterr().out)


def findings(flow: Path | None = None) -> dict[str, tuple[str, str]]:
    """What the doctor says, by subject."""
    return {found.subject: (found.level, found.told) for found in health.examine(flow)}


def test_status_is_0_only_with_a_background_daemon_and_its_json_has_dora_rs_keys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with robot():
        assert status_document(capsys) == (
            1,
            {
                "coordinator": {"status": "not running"},
                "daemon": {"status": "not running"},
                "active_dataflows": 1,
            },
        )
    with daemon():
        running = {
            "status": "running",
            "pid": 4211,
            "version": "0.1.0",
            "started": "2026-09-21T14:13:20Z",
        }
        address = endpoint.daemon_address("")
        assert status_document(capsys) == (
            0,
            {
                "coordinator": {"status": "running", "address": address},
                "daemon": running,
                "active_dataflows": 0,
            },
        )


def test_a_daemon_of_another_version_is_unknown_and_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with daemon(Refused("it speaks protocol 3, this dora 4")):
        status, document = status_document(capsys)
        assert (status, document["daemon"]) == (1, {"status": "unknown"})
        assert main(["check"]) == 1
        assert "it speaks protocol 3, this dora 4" in capsys.readouterr().err
        assert findings()["Background daemon"][0] == "FAIL"


def test_status_speaks_dora_rs_words_under_all_its_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with daemon(), robot():
        for command in (["status"], ["check"], ["system", "status"]):
            assert main([*command, "--coordinator-port", "6013"]) == 0
            told = capsys.readouterr().out
            assert "✓ Coordinator: Running\n" in told
            assert "✓ Daemon: Running\n  pid 4211, dora 0.1.0, since 2026-09-21T" in told
            assert "Active dataflows: 1\n  0190-7  robot: camera\n" in told


def test_status_checks_a_dataflow_file_too(capsys: pytest.CaptureFixture[str]) -> None:
    with daemon():
        assert main(["status", "--dataflow", "flow.yml"]) == 0
        assert "✓ Dataflow: flow.yml OK" in capsys.readouterr().out
        assert main(["status", "--dataflow", "bad.yml"]) == 1
        assert "did you mean `outputs`?" in capsys.readouterr().err


def test_a_machine_that_can_run_dataflows_passes_without_a_background_daemon(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with robot():
        assert main(["doctor", "--dataflow", "flow.yml"]) == 0
    told = capsys.readouterr().out
    assert "FAIL" not in told
    assert "  WARN  Background daemon: not running; `dora up` starts it" in told
    assert "  PASS  Dataflows: 1 running, robot\n" in told
    assert "  PASS  Dataflow validation: flow.yml OK\n" in told
    assert "\n  PASS  All checks passed" in told


def test_a_dataflow_file_with_mistakes_fails_with_all_of_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor", "--dataflow", "bad.yml"]) == 1
    captured = capsys.readouterr()
    assert "  FAIL  Dataflow validation: bad.yml FAILED:\nbad.yml:2:" in captured.out
    assert captured.err == "[ERROR] 1 check(s) failed\n"


def test_a_background_daemon_is_described() -> None:
    with daemon():
        level, told = findings()["Background daemon"]
    assert (level, told) == (
        "PASS",
        "pid 4211, dora 0.1.0, since 2026-09-21T14:13:20Z, 1 dataflows",
    )


def test_a_dataflow_of_another_version_is_named() -> None:
    with answering(endpoint.address_of("0190-8"), Refused("it speaks protocol 3")):
        assert findings()["Dataflow"] == ("WARN", "0190-8: it speaks protocol 3")


def test_a_runtime_folder_that_others_may_write_to_fails_and_the_rest_is_still_checked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "run").mkdir()
    (here / "run").chmod(0o777)
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "  FAIL  Runtime directory: " in told
    assert f"chmod 700 {here}/run" in told
    assert "  PASS  State directory: " in told
    assert main(["status"]) == 1


def test_a_state_folder_that_cannot_be_made_is_told(here: Path) -> None:
    assert findings()["State directory"] == ("PASS", f"{here}/state")
    (here / "state").touch()
    level, told = findings()["State directory"]
    assert (level, f"`{here}/state` cannot" in told) == ("WARN", True)


def test_shared_memory_that_does_not_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str, flags: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", refused)
    assert findings()["Shared memory"] == (
        "FAIL",
        "memfd does not work here: Operation not permitted",
    )


def test_a_missing_uv_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dora.descriptor.interpreter.find_uv", lambda _environ: None)
    assert findings()["uv"][0] == "WARN"


@given(soft=st.integers(0, 10**6), hard=st.integers(0, 10**6))
def test_few_descriptors_are_a_warning_and_the_soft_limit_does_not_matter(
    soft: int, hard: int
) -> None:
    expected = "PASS" if hard >= health.ENOUGH_DESCRIPTORS else "WARN"
    assert health.judge_descriptors(soft, hard).level == expected
    assert health.judge_descriptors(soft, resource.RLIM_INFINITY).level == "PASS"


@pytest.mark.parametrize(
    ("pages", "most", "level", "told"),
    [
        (16384, 1 << 20, "PASS", "16384 pages for a user, 1048576 bytes for a pipe"),
        (0, 1 << 20, "PASS", "any number of pages"),
        (64, 1 << 20, "WARN", "`sysctl -w fs.pipe-user-pages-soft=16384`"),
        (64, 4096, "WARN", "fs.pipe-user-pages-soft=16384 fs.pipe-max-size=1048576`"),
        (None, 4096, "WARN", "cannot be read"),
    ],
)
def test_small_pipe_limits_are_a_warning_with_the_cure(
    pages: int | None, most: int, level: str, told: str
) -> None:
    found = health.judge_pipes(pages, most)
    assert found.level == level
    assert told in found.told

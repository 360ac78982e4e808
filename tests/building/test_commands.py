"""Commands of a build end with the build, whatever ends it."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dora.building.commands import Runner

DEADLINE_S = 30.0
ENDLESS = "echo $$; exec sleep infinity"
HEEDING = """
import os, signal, sys
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):  # `nohup` and `&` leave some ignored
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
STUBBORN = "trap '' TERM; echo $$; while :; do sleep 60; done"


def outcome_of(runner: Runner, script: str) -> tuple[list[int], BaseException]:
    """Run a script whose first line cannot be shown; the process, and what came of it."""
    pids: list[int] = []
    ended: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def show(line: str) -> None:
        pids.append(int(line))
        raise BrokenPipeError

    def run() -> None:
        try:
            runner.run(["sh", "-c", script], Path("/"), os.environ, who="it", on_line=show)
        except BaseException as exc:
            ended.put(exc)

    threading.Thread(target=run, daemon=True).start()
    return pids, ended.get(timeout=DEADLINE_S)


@pytest.mark.parametrize("script", [ENDLESS, STUBBORN])
def test_a_command_whose_lines_cannot_be_shown_is_ended_if_need_be_by_force(script: str) -> None:
    pids, why = outcome_of(Runner(grace_s=0.05), script)
    assert isinstance(why, BrokenPipeError)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_a_build_runs_does_not_outlive_it(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "flow.yml").write_text(
        f"nodes:\n  - {{id: a, path: dynamic, build: \"sh -c '{ENDLESS}'\"}}\n"
    )
    dora = Path(sys.executable).with_name("dora")
    command = [sys.executable, "-c", HEEDING, dora, "build", tmp_path / "flow.yml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as building:
        assert building.stdout is not None
        try:
            assert "build: sh -c" in building.stdout.readline()
            pid = int(building.stdout.readline().removeprefix("a: "))
            building.send_signal(number)
            assert building.wait(DEADLINE_S) == 130
        finally:
            building.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)

"""`dora start`, `stop`, `restart` and `list`, on dataflows of the daemon and of `dora run`."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from background.rig import DORA, Place, line_of, place, wait_ended
from daemon.waiting import DEADLINE_S, wait_gone
from dora import client
from dora.errors import DoraError
from dora.transport import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["place"]

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, folder: Path, *args: str) -> None:
        self._fd, theirs = pty.openpty()
        env = {**os.environ, "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            [DORA, *args],
            cwd=folder,
            env=env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.text = ""

    def until(self, containing: str) -> str:
        """Read until this was shown."""
        deadline_s = time.monotonic() + DEADLINE_S
        while containing not in self.text:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, self.text
            assert select.select([self._fd], [], [], left_s)[0], self.text
            self.text += os.read(self._fd, 4096).decode()
        return self.text

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def end(self) -> int:
        """Wait for the end; its status."""
        while True:
            try:
                piece = os.read(self._fd, 4096)
            except OSError:  # nobody is at the other side any more
                break
            self.text += piece.decode()
        self.text = self.text.replace("\r\n", "\n")
        os.close(self._fd)
        return self.process.wait(DEADLINE_S)


@pytest.fixture
def foreground(place: Place) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a `dora run`, and waits until its node is there."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [DORA, "run", f"{name}.yml"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if "pid" in line:
                break
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_dataflow_is_started_listed_restarted_and_stopped(place: Place) -> None:
    place.up()
    status, out, err = place.dora("start", "calm.yml", "-n", "demo", "--env", "GREETING=hello")
    assert status == 0
    dataflow = out.split()[-1]
    assert out == f"dataflow start triggered: {dataflow}\ndataflow started: {dataflow}\n"
    assert re.fullmatch(UUID, dataflow)
    assert err == "non-interactive mode: running in background\n"
    assert line_of(dataflow, "pid").endswith("hello")
    (row,) = [json.loads(line) for line in place.ok("list", "-f", "json").splitlines()]
    assert list(row) == ["uuid", "name", "status", "nodes", "cpu", "memory"]
    assert list(row.values())[:4] == [dataflow, "demo", "Running", 1]
    assert 0.005 < row["memory"] < 1  # GB, as in dora-rs
    status, _, err = place.dora("start", "calm.yml", "-n", "demo")
    assert status == 1
    assert f"already a running dataflow with name `demo`: {dataflow}" in err
    out = place.ok("restart", "demo")
    old, new = out.removeprefix("dataflow restarted: ").strip().split(" -> ")
    assert old == dataflow
    assert line_of(new, "pid").endswith("hello")
    assert place.ok("stop", new[:8]) == f"Stopped dataflow `demo` ({new}).\n"
    table = place.ok("ps").splitlines()
    assert table[0].split() == ["UUID", "Name", "Status", "Nodes", "CPU", "Memory"]
    assert [line.split()[:4] for line in table[1:]] == [
        [old, "demo", "Finished", "1"],
        [new, "demo", "Finished", "1"],
    ]


def test_the_list_can_be_narrowed(place: Place) -> None:
    place.up()
    fails = place.start("fails", "--name", "mishap")
    wait_ended(fails)
    calm = [place.start("calm"), place.start("calm")]
    assert place.ok("list", "-q").split() == [*calm, fails]
    assert place.ok("list", "-q", "--status", "failed").split() == [fails]
    assert place.ok("list", "-q", "--status", "finished") == ""
    assert place.ok("list", "-q", "--name", "calm-2").split() == [calm[1]]
    assert set(place.ok("list", "-q", "--sort-by", "cpu").split()) == {*calm, fails}
    assert place.dora("list", "--status", "odd")[0] == 2
    assert place.ok("stop", "--all") == "Stopped 2 dataflow(s).\n"
    assert place.ok("stop", "--all") == "No dataflows are running.\n"


def test_without_a_daemon_or_a_dataflow_one_is_told_what_to_do(place: Place) -> None:
    status, _, err = place.dora("start", "calm.yml")
    assert status == 1
    assert err == "[ERROR] no background daemon is running; start one with `dora up`\n"
    assert place.dora("clean")[0] == 1
    assert place.ok("list").split() == ["UUID", "Name", "Status", "Nodes", "CPU", "Memory"]
    assert place.ok("stop").startswith("No dataflows are running.")
    assert place.ok("restart").startswith("No dataflows are running.")
    assert place.dora("stop", "nope")[0] == 1
    assert place.dora("stop", "a", "--all")[0] == 2
    assert place.dora("start", "calm.yml", "--attach", "--detach")[0] == 2


def test_mistakes_are_told_at_the_terminal_that_starts(place: Place) -> None:
    place.up()
    (place.folder / "wrong.yml").write_text("nodes: [{id: a, path: absent.py}]")
    status, _, err = place.dora("start", "wrong.yml")
    assert status == 1
    assert "absent.py" in err
    place.write("shell", "", "env: {}")
    (place.folder / "shell.yml").write_text("nodes: [{id: a, path: shell, args: 'true'}]")
    assert "--allow-shell-nodes" in place.dora("start", "shell.yml")[2]
    built = "nodes: [{id: a, path: calm.py, build: pip install nothing}]"
    (place.folder / "built.yml").write_text(built)
    status, _, err = place.dora("start", "built.yml")
    assert status == 0
    assert "WARNING `a`: never built here; `dora build built.yml` does" in err
    cloned = "nodes: [{id: a, path: calm.py, git: 'https://example.org/x.git'}]"
    (place.folder / "cloned.yml").write_text(cloned)
    status, _, err = place.dora("start", "cloned.yml")
    assert status == 1
    assert "has not been cloned" in err
    assert "run `dora build` first" in err


def test_whoever_is_attached_sees_what_dora_run_shows(place: Place) -> None:
    place.up()
    status, out, err = place.dora("start", "fails.yml", "--attach")
    assert status == 1
    triggered, started, here, *_ = out.splitlines()
    assert triggered.startswith("dataflow start triggered: ")
    assert started.startswith("dataflow started: ")
    assert re.fullmatch(r"\d\d:\d\d:\d\d stdout fails: here", here)
    assert "[dora]: node `fails` (pid" in out
    assert "\n[ERROR] Dataflow failed:\nNode `fails` failed: exited with code 1" in err
    assert "ZeroDivisionError" in err
    assert "1 node, 1 failed" in err


def test_lines_of_a_dataflow_that_is_over_at_once_are_shown_too(place: Place) -> None:
    place.up()
    (place.folder / "quick.yml").write_text(
        "nodes: [{id: quick, path: shell, args: echo one; echo two}]"
    )
    for _ in range(5):
        status, out, err = place.dora("start", "quick.yml", "--attach", "--allow-shell-nodes")
        assert status == 0, err
        assert [line.split(": ")[-1] for line in out.splitlines()[2:]] == ["one", "two"]


def test_ctrl_c_stops_what_one_is_attached_to(place: Place) -> None:
    place.up()
    terminal = Terminal(place.folder, "start", "calm.yml")
    terminal.until("calm: pid")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 0, terminal.text
    assert "[dora]: stopping (Ctrl-C)" in terminal.text
    assert "calm: STOP MANUAL" in terminal.text
    assert "1 node, " in terminal.text


def test_a_second_ctrl_c_kills_and_leaves_at_once(place: Place) -> None:
    place.up()
    terminal = Terminal(place.folder, "start", "stubborn.yml", "--attach")
    node = int(terminal.until("stubborn: pid").split()[-1])
    terminal.process.send_signal(signal.SIGINT)
    terminal.until("stopping (Ctrl-C)")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 1
    wait_gone([node])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_dataflow_outlives_the_terminal_that_watches_it(
    place: Place, number: signal.Signals
) -> None:
    place.up()
    terminal = Terminal(place.folder, "start", "calm.yml")
    terminal.until("calm: pid")
    terminal.process.send_signal(number)
    assert terminal.end() == -number
    assert len(place.ok("list", "-q", "--status", "running").split()) == 1


def test_whoever_is_attached_is_told_when_the_daemon_dies(place: Place) -> None:
    pid = place.up().pid
    terminal = Terminal(place.folder, "start", "calm.yml")
    terminal.until("calm: pid")
    os.kill(pid, signal.SIGKILL)
    assert terminal.end() == 1
    assert "[ERROR] the background daemon is gone, and the dataflow with it" in terminal.text


def test_stop_takes_the_only_one_also_of_dora_run(
    place: Place, foreground: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = foreground("calm")
    assert "calm" in place.ok("list", "--status", "running")
    status, _, err = place.dora("restart")
    assert status == 1
    assert "no background daemon" in err
    place.up()
    status, _, err = place.dora("restart", "calm")
    assert status == 1
    assert "is not one of the background daemon" in err
    assert place.ok("stop", "--grace-duration", "5s").startswith("Stopped dataflow `calm` (")
    out, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert "stopping (dora stop)" in out


def test_stop_asks_which_one_at_a_terminal_and_gives_up_elsewhere(
    place: Place, foreground: Callable[[str], subprocess.Popen[str]]
) -> None:
    place.up()
    foreground("calm")
    place.start("stubborn")
    status, _, err = place.dora("stop")
    assert status == 1
    assert "several dataflows run; name one of them:\n  1  calm  " in err
    terminal = Terminal(place.folder, "stop")
    terminal.until("which one")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    assert terminal.text.endswith("which one: \n")  # for the shell to go on in a line of its own
    terminal = Terminal(place.folder, "stop")
    terminal.until("which one")
    terminal.type("1\n")
    assert terminal.end() == 0
    assert "Stopped dataflow `calm`" in terminal.text
    assert place.dora("stop", "--name", "calm")[0] == 1


def test_a_forced_stop_kills_and_tells_of_it(place: Place) -> None:
    place.up()
    dataflow = place.start("stubborn")
    node = int(line_of(dataflow, "pid").split()[1])
    status, out, err = place.dora("stop", "--force", "stubborn")
    assert out == f"Stopped dataflow `stubborn` ({dataflow}).\n"
    assert status == 1
    assert "Node `stubborn` failed: was killed by dora at once, as asked (SIGKILL)" in err
    wait_gone([node])


def test_stopping_what_has_ended_is_no_failure_unless_it_failed(place: Place) -> None:
    place.up()
    calm, fails = place.start("calm"), place.start("fails")
    place.ok("stop", "calm")
    wait_ended(fails)
    assert place.ok("stop", "calm") == f"Dataflow `calm` ({calm}) has ended already: finished.\n"
    status, out, err = place.dora("stop", fails)
    assert (status, out) == (1, f"Dataflow `fails` ({fails}) has ended already: failed.\n")
    assert "ZeroDivisionError" in err
    again = place.start("calm")
    assert place.ok("stop", "calm") == f"Stopped dataflow `calm` ({again}).\n"


def test_dataflows_of_another_checkout_are_left_out_unless_named_by_id(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv(endpoint.VARIABLE)
    mine, other = place.folder / "mine", place.folder / "other"
    for project in (mine, other):
        (project / ".git").mkdir(parents=True)
    monkeypatch.chdir(other)
    there = place.up()
    theirs = place.start("../calm")
    line_of(theirs, "pid")
    monkeypatch.chdir(mine)
    try:
        here = place.up()
        assert (here.checkout, there.checkout) == (str(mine), str(other))
        ours = place.start("../calm", "--name", "ours")
        line_of(ours, "pid")
        assert theirs not in place.ok("list", "-q")
        assert re.search(f"left out: .* of another checkout .*`{other}`", caplog.text)
        with pytest.raises(DoraError, match="no running dataflow is `calm`"):
            client.connect("calm")
        place.ok("stop", "ours")
        assert theirs in [flow.id for flow in _all_running(monkeypatch, other)]
        place.ok("stop", theirs)
    finally:
        place.clean_up()
        monkeypatch.chdir(other)


def _all_running(monkeypatch: pytest.MonkeyPatch, project: Path) -> list[object]:
    with monkeypatch.context() as there:
        there.chdir(project)
        return list(client.running())

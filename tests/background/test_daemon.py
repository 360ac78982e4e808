"""The background daemon as a process: how it comes up, what it survives, how it ends."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daemon.waiting import DEADLINE_S, wait_gone
from dora import client
from dora.background.places import folder_of
from dora.client import DaemonClient
from dora.errors import DoraError
from dora.transport import endpoint
from dora.wire import background, messages
from dora.wire.framing import frame

from .rig import DORA, line_of, wait_ended

if TYPE_CHECKING:
    from .rig import Place


def pid_of(line: str) -> int:
    return int(line.split()[1])


def folder() -> Path:
    return folder_of(endpoint.daemon_address(endpoint.checkout()))


def test_it_comes_up_once_and_goes_down(place: Place) -> None:
    assert place.dora("down")[0] == 1
    assert "started dora daemon (pid " in place.ok("up", "--auth", "--interface", "0.0.0.0")
    assert "daemon already running (pid " in place.ok("up")
    with client.daemon() as daemon:
        pid = daemon.daemon.pid
        assert daemon.daemon.state_file == str(folder() / "state.sqlite")
    assert os.getsid(pid) == pid, "it has no session of its own"
    assert place.ok("down", "--coordinator-port", "6013") == f"daemon ended (pid {pid})\n"
    wait_gone([pid])
    status, _, err = place.dora("down")
    assert (status, err) == (
        1,
        "[ERROR] no background daemon is running; start one with `dora up`\n",
    )


def test_of_two_that_come_up_at_once_one_is_there(place: Place) -> None:
    both = [
        subprocess.Popen([DORA, "up"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    told = [one.communicate(timeout=DEADLINE_S)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0, 0], told
    assert sorted(text.split(" (")[0] for text in told) == [
        "daemon already running",
        "daemon already running",
        "started dora daemon",
    ]
    assert len({text.split(" (")[1] for text in told}) == 1, "they tell of different daemons"


def test_nodes_die_with_a_daemon_that_is_killed_and_the_next_one_tells(place: Place) -> None:
    pid = place.up().pid
    dataflow = place.start("calm")
    node = pid_of(line_of(dataflow, "pid"))
    os.kill(pid, signal.SIGKILL)
    wait_gone([pid, node])
    place.up()
    with client.daemon() as daemon:
        (run,) = daemon.runs()
    assert (run.id, run.status) == (dataflow, "failed")
    assert run.failure == "the daemon died, and its nodes with it"
    assert dataflow in place.ok("list", "--status", "failed", "-q")
    place.start("calm", "--name", run.name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_its_dataflows_in_order(place: Place, number: signal.Signals) -> None:
    pid = place.up().pid
    dataflow = place.start("calm")
    line_of(dataflow, "pid")
    os.kill(pid, number)
    wait_gone([pid])
    (log,) = place.folder.glob("out/*/log_calm.jsonl")
    assert "STOP MANUAL" in log.read_text()
    place.up()
    with client.daemon() as daemon:
        assert [(run.id, run.status) for run in daemon.runs()] == [(dataflow, "finished")]


def test_it_does_not_go_down_while_dataflows_run_unless_forced(place: Place) -> None:
    pid = place.up().pid
    dataflow = place.start("calm")
    line_of(dataflow, "pid")
    status, _, err = place.dora("down")
    assert status == 1
    assert f"1 dataflow(s) still running:\n  {dataflow}  calm\nstop them first" in err
    place.ok("destroy", "--force")
    wait_gone([pid])


def test_its_own_address_is_free_whatever_lies_there(place: Place) -> None:
    address = endpoint.daemon_address("")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(address)
    stale.close()
    assert Path(address).exists()
    place.up()


def test_a_damaged_store_is_told_and_mended_by_a_flag(place: Place) -> None:
    folder().mkdir(parents=True)
    (folder() / "state.sqlite").write_bytes(b"no database" * 99)
    status, _, err = place.dora("up")
    assert status == 1
    assert "did not come up: the daemon's state in" in err
    assert "`dora up --recreate-store` puts it away as `.backup`" in err
    assert "started" in place.ok("up", "--recreate-store")
    assert (folder() / "state.sqlite.backup").read_bytes() == b"no database" * 99
    status, _, err = place.dora("up", "--recreate-store")
    assert status == 1
    assert "is using its store; `dora down` first" in err


def test_it_runs_without_a_state_folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORA_STATE_DIR", "/proc/nowhere")
    status, _, err = place.dora("up")
    assert status == 0
    assert "WARNING `/proc/nowhere/" in err
    dataflow = place.start("calm")
    line_of(dataflow, "pid")
    assert "dataflow restarted: " in place.ok("restart")
    place.ok("stop")
    assert len(place.ok("list", "-q").split()) == 2


def test_a_store_that_goes_bad_stops_nothing_and_is_told_in_the_log(place: Place) -> None:
    place.up()
    with sqlite3.connect(folder() / "state.sqlite") as db:
        db.execute("DROP TABLE runs")
    db.close()
    dataflow = place.start("calm")
    line_of(dataflow, "pid")
    place.ok("stop")
    assert dataflow in place.ok("list", "-q")
    assert "cannot be kept (no such table: runs)" in (folder() / "daemon.log").read_text()


def test_a_server_that_fails_takes_no_other_dataflow_along(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = place.folder / "hooks"
    hooks.mkdir()
    # One server fails at a node that says so, in a callback of the event loop.
    (hooks / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'dora.background' in sys.orig_argv:\n"
        "    from dora.daemon import reception\n"
        "    whole = reception.Reception.on_frame\n"
        "    def on_frame(self, link, body):\n"
        "        if self._carrier._launched.plan.name == 'unlucky':\n"
        "            raise LookupError('a bug of dora')\n"
        "        whole(self, link, body)\n"
        "    reception.Reception.on_frame = on_frame\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{hooks}:{os.environ.get('PYTHONPATH', '')}")
    place.up()
    calm = place.start("calm")
    node = pid_of(line_of(calm, "pid"))
    unlucky = place.start("calm", "--name", "unlucky")
    deadline_s = time.monotonic() + DEADLINE_S
    with client.daemon() as daemon:
        while (run := daemon.runs()[-1]).status == "running":
            assert time.monotonic() < deadline_s
        assert (run.id, run.status) == (unlucky, "failed")
        assert run.failure == "the daemon failed at it (LookupError: a bug of dora); see its log"
        assert [one.id for one in daemon.runs() if one.status == "running"] == [calm]
    os.kill(node, 0)
    log = (folder() / "daemon.log").read_text()
    assert "[unlucky] the daemon failed at this dataflow:\nTraceback" in log
    assert "LookupError: a bug of dora" in log
    place.ok("stop")


def test_what_strangers_say_costs_only_their_connection(place: Place) -> None:
    place.up()
    address = endpoint.daemon_address("")
    hello = messages.encode(background.GreetDaemon(messages.PROTOCOL, "x"))
    for said in (b"\xff" * 100, frame(b"garbage"), frame(hello) + frame(b"garbage")):
        with endpoint.connect(address) as stranger:
            stranger.settimeout(DEADLINE_S)
            stranger.sendall(said)
            while stranger.recv(1 << 16):
                pass
    with endpoint.connect(address) as stranger:
        stranger.sendall(frame(messages.encode(background.AskRuns())))
        assert b"greet first" in stranger.recv(1 << 16)
    with endpoint.connect(address) as stranger:
        stranger.sendall(frame(messages.encode(background.GreetDaemon(999, "9.9"))))
        assert b"dora 9.9 speaks control protocol 999" in stranger.recv(1 << 16)
    with DaemonClient(address) as daemon:
        with pytest.raises(DoraError, match="no plan of this version of dora"):
            daemon.start(b"no plan")
        with pytest.raises(DoraError, match="knows no dataflow nope"):
            daemon.plan_of("nope")
        assert daemon.runs() == []


def test_the_log_is_bounded(place: Place, tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    code = (
        "from pathlib import Path\nfrom dora.background.journal import Journal\n"
        f"journal = Journal(Path({str(log)!r}))\n"
        "for _ in range(10): journal.say('info', 'x' * (1 << 20))\n"
        "print('the last', flush=True)\n"
    )
    with log.open("wb") as out:
        subprocess.run(
            [DORA.with_name("python"), "-c", code], stdout=out, stderr=out, check=True, timeout=50
        )
    assert log.stat().st_size < 5 << 20
    assert log.read_text().endswith("the last\n")
    assert Path(f"{log}.1").stat().st_size < 6 << 20


def test_runs_and_their_plans_outlive_the_daemon(place: Place) -> None:
    place.up()
    fails = place.start("fails", "--name", "mishap")
    wait_ended(fails)
    place.ok("down")
    place.up()
    with client.daemon() as daemon:
        (run,) = daemon.runs()
        assert (run.id, run.name, run.status, run.nodes) == (fails, "mishap", "failed", 1)
        assert run.file == str(place.folder / "fails.yml")
        assert run.log_dir == str(place.folder / "out" / fails)
        assert "ZeroDivisionError" in run.failure
        assert "1 node, 1 failed" in run.summary
        assert daemon.plan_of(fails).name == "mishap"
    out = place.ok("clean", "-f", "json")
    assert out == f'{{"uuid":"{fails}","name":"mishap","status":"Failed"}}\n'
    assert place.dora("clean") == (0, "", "No finished or failed dataflows to clean.\n")


def test_a_dataflow_that_cannot_be_served_ends_at_once_with_all_that_was_launched(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = place.folder / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'dora.background' in sys.orig_argv:\n"
        "    from dora.daemon import wiring\n"
        "    whole = wiring.open_pipes\n"
        "    def open_pipes(queue_size):\n"
        "        if queue_size == 7:\n"
        "            raise OSError(24, os.strerror(24))\n"
        "        return whole(queue_size)\n"
        "    wiring.open_pipes = open_pipes\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{hooks}:{os.environ.get('PYTHONPATH', '')}")
    (place.folder / "wired.yml").write_text(
        "nodes:\n"
        "  - {id: a, path: stubborn.py, outputs: [x]}\n"
        "  - {id: b, path: stubborn.py, inputs: {one: a/x, two: {source: a/x, queue_size: 7}}}\n"
    )
    pid = place.up().pid
    with client.daemon() as daemon:
        fds = len(os.listdir(f"/proc/{pid}/fd"))
        status, _, err = place.dora("start", "wired.yml", "--detach")
        assert (status, "Too many open files" in err) == (1, True)
        (run,) = daemon.runs()
        assert (run.status, "Too many open files" in run.failure) == ("failed", True)
        assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""
        assert len(os.listdir(f"/proc/{pid}/fd")) == fds
    assert endpoint.running() == []


def test_a_daemon_that_cannot_listen_says_where_and_what_mends_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_address: str) -> endpoint.Listener:
        raise OSError(24, os.strerror(24))

    monkeypatch.setattr(endpoint, "Listener", refuse)
    status, _, err = place.dora("run", "calm.yml")
    assert status == 1
    assert "cannot listen at `" in err
    assert "Too many open files; `DORA_RUNTIME_DIR` names another folder" in err

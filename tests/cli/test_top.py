"""`dora top`, `dora node list`, `dora node info`, against a daemon that tells canned states."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from msgspec.structs import replace
from tests.monitor.fake_daemon import daemon
from tests.monitor.states import FLOW, LATER, START, later

from dora.cli.main import main
from dora.monitor import looks
from dora.transport import endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE_S = 20.0


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    """A runtime directory of its own; how long was waited for a second look."""
    monkeypatch.setenv(endpoint.VARIABLE, str(tmp_path / "run"))
    waited: list[float] = []
    monkeypatch.setattr(looks.time, "sleep", waited.append)  # type: ignore[attr-defined]
    return waited


@pytest.fixture
def robot() -> Iterator[None]:
    with daemon([START, LATER]):
        yield


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("robot")
def test_top_once_prints_what_dora_rs_prints_and_more(
    capsys: pytest.CaptureFixture[str], waits: list[float]
) -> None:
    camera, plot, viewer = json.loads(printed(capsys, "top", "--once"))
    assert waits == [2.0]
    ours = {"state", "failed", "dynamic", "uptime_s", "measured_s", "inputs", "outputs"}
    assert {key: value for key, value in camera.items() if key not in ours} == {
        "dataflow_id": "0190-aa",
        "dataflow_name": "robot",
        "node_id": "camera",
        "daemon_id": {"machine_id": None, "uuid": "00000000-0000-0000-0000-000000001073"},
        "metrics": {
            "pid": 71,
            "cpu_usage": 150.0,
            "memory_mb": 86.4,
            "disk_read_mb_s": 0.0,
            "disk_write_mb_s": 2.0,
            "restart_count": 2,
            "broken_inputs": [],
            "status": "running",
            "pending_messages": 0,
        },
        "network": None,
    }
    assert camera["outputs"] == [
        {"id": "image", "rate_hz": 50.0, "mb_s": 27.5, "sent": 100},
        {"id": "depth", "rate_hz": 0.0, "mb_s": 0.0, "sent": 0},
    ]
    (image,) = plot["inputs"]
    assert 2**17 <= image.pop("latency_p50_ms") * 1e6 < 2**18
    assert 2**19 <= image.pop("latency_p99_ms") * 1e6 < 2**20
    assert image == {
        "id": "image",
        "source": "camera/image",
        "open": True,
        "sent_hz": 50.0,
        "rate_hz": 45.0,
        "mb_s": 27.5,
        "queue": 6,
        "queue_size": 10,
        "backpressure": False,
        "sent": 100,
        "received": 90,
        "dropped": 4,
        "dropped_hz": 2.0,
        "flushed": 0,
        "late": 1,
    }
    assert plot["metrics"]["pending_messages"] == 6
    assert (viewer["metrics"]["pid"], viewer["metrics"]["status"]) == (0, "stopped")


@pytest.mark.usefixtures("robot")
@pytest.mark.parametrize("command", [["top"], ["top", "--json"], ["inspect", "top", "--once"]])
def test_json_comes_of_each_way_to_ask_for_it_and_to_whatever_is_no_terminal(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(json.loads(printed(capsys, *command, "-d", "robot"))) == 3


def test_where_nothing_runs_top_prints_an_empty_array(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "top", "--once", "--coordinator-port", "6013") == "[]\n"


def test_inputs_that_timed_out_and_nodes_that_failed_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = later(LATER, 1.0, {"broken": True}, state="finished", failed=True, pid=None)
    with daemon([broken]):
        camera, plot, _ = json.loads(printed(capsys, "top", "--once"))
        assert "camera  Failed     -" in printed(capsys, "node", "list")
    assert plot["metrics"]["broken_inputs"] == ["image"]
    assert camera["metrics"]["status"] == "failed"
    assert camera["metrics"]["pid"] == 0


@pytest.mark.usefixtures("robot")
def test_node_list_is_a_table_with_the_dataflow_if_none_was_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys, "node", "list") == (
        "NODE    STATUS   PID     CPU  MEMORY  RESTARTS  DATAFLOW\n"
        "camera  Running   71  150.0%   86 MB         2  robot\n"
        "plot    Running   72    0.0%   86 MB         0  robot\n"
        "viewer  Absent     -       -       -         0  robot\n"
    )
    assert "DATAFLOW" not in printed(capsys, "node", "list", "-d", "robot")


@pytest.mark.usefixtures("robot")
def test_node_list_as_json_is_one_object_a_line_of_strings_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = printed(capsys, "node", "list", "-f", "json").splitlines()[0]
    assert first == (
        '{"node":"camera","status":"Running","pid":"71","cpu":"150.0%","memory":"86 MB",'
        '"restarts":"2","dataflow":"robot"}'
    )
    named = printed(capsys, "node", "list", "-f", "json", "-d", "0190").splitlines()[0]
    assert "dataflow" not in json.loads(named)


@pytest.mark.usefixtures("robot")
def test_node_list_quiet_prints_ids_and_waits_for_nothing(
    capsys: pytest.CaptureFixture[str], waits: list[float]
) -> None:
    assert printed(capsys, "node", "list", "-q") == "camera\nplot\nviewer\n"
    assert sum(waits) == 0


@pytest.mark.usefixtures("robot")
def test_node_info_tells_all_about_a_node(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "node", "info", "camera") == (
        "Node: camera\nDataflow: robot\nPath: camera.py\nCommand: python -u camera.py\n\n"
        "Restart Policy:\n  Policy: OnFailure\n  Max restarts: 5\n\n"
        "Inputs:\n  tick  <- dora/timer/millis/33\n\n"
        "Outputs:\n"
        "  image  -> plot/image  50.0/s, 27.5 MB/s\n"
        "  depth  -> <none>      0.0/s, 0.0 MB/s\n\n"
        "Runtime Metrics:\n  Status:        Running\n  PID:           71\n"
        "  CPU:           150.0%\n  Memory:        86 MB\n  Restarts:      2\n"
        "  Pending msgs:  0\n  Uptime:        12 s\n"
    )
    plot = printed(capsys, "node", "info", "plot")
    assert "image  <- camera/image  45.0/s, 27.5 MB/s, p50 193 us" in plot
    assert "queue 6/10, dropped 4\n\nOutputs:\n  <none>\n" in plot


@pytest.mark.usefixtures("robot")
def test_node_info_as_json_has_the_keys_of_dora_rs(capsys: pytest.CaptureFixture[str]) -> None:
    told: dict[str, Any] = json.loads(printed(capsys, "node", "info", "camera", "-f", "json"))
    assert told["outputs"][0]["subscribers"] == ["plot/image"]
    assert told["inputs"] == [{"id": "tick", "source": "dora/timer/millis/33"}]
    del told["outputs"], told["inputs"]
    assert told == {
        "node_id": "camera",
        "dataflow": "robot",
        "path": "camera.py",
        "command": ["python", "-u", "camera.py"],
        "restart_policy": "OnFailure",
        "max_restarts": 5,
        "metrics": {
            "status": "Running",
            "pid": 71,
            "cpu": "150.0%",
            "memory": "86 MB",
            "restart_count": 2,
            "pending_messages": 0,
        },
        "uptime_s": 12.0,
    }


@pytest.mark.usefixtures("robot")
def test_a_node_that_is_not_there_is_an_error_that_lists_those_that_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["node", "info", "plott"]) == 1
    told = capsys.readouterr().err
    assert "no running dataflow has a node `plott`" in told
    assert "camera, plot, viewer" in told


def test_a_refresh_interval_of_nothing_is_wrong_usage() -> None:
    assert main(["top", "--refresh-interval", "0"]) == 2


def test_on_a_terminal_top_shows_tables_anew_until_ctrl_c() -> None:
    arm = replace(FLOW, name="arm")
    with daemon([replace(START, dataflow=arm), replace(LATER, dataflow=arm)]), top() as shown:
        got = read_until(shown.screen, b"45.0")
        got += read_until(shown.screen, b"\x1b[J")
        shown.process.send_signal(signal.SIGINT)
        assert shown.process.wait(DEADLINE_S) == 0
    assert got.startswith(b"\x1b[2J\x1b[H")
    for told in (b"arm  running  0190-aa", b"camera/depth  -", b"6/10", b"193 us"):
        assert told in got


def test_without_textual_one_line_says_what_to_install_above_the_tables() -> None:
    with daemon([START, LATER]), top(term="xterm", lacking="textual") as shown:
        got = read_until(shown.screen, b"45.0")
        shown.process.send_signal(signal.SIGINT)
        assert shown.process.wait(DEADLINE_S) == 0
    assert got.count(b"pip install 'dora-py[top]'") >= 1


@pytest.mark.parametrize("term", ["xterm", "screen", "linux"])
def test_on_a_terminal_that_can_it_is_a_full_screen_until_q(term: str) -> None:
    with daemon([START, LATER]), top(term=term) as shown:
        got = read_until(shown.screen, b"robot  running")
        got += read_until(shown.screen, b"Quit")
        os.write(shown.screen, b"q")
        assert shown.process.wait(DEADLINE_S) == 0
    assert b"\x1b[?1049h" in got  # the other screen of the terminal, which is left in the end


def test_without_colours_none_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with daemon([START, LATER]), top(term="xterm-256color") as shown:
        got = read_until(shown.screen, b"robot  running")
        got += read_until(shown.screen, b"Quit")
        os.write(shown.screen, b"q")
        assert shown.process.wait(DEADLINE_S) == 0
    coloured = re.findall(rb"\x1b\[[0-9;]*\b(?:3[0-7]|4[0-7]|9[0-7]|10[0-7]|[34]8;[0-9;]+)m", got)
    assert coloured == []


def test_json_is_printed_without_textual() -> None:
    program = (
        "import sys; from dora.cli.main import main; main(['top', '--once']); "
        "sys.exit('textual' in sys.modules)"
    )
    with daemon([START, LATER]):
        subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE)


def test_top_ends_with_the_dataflow_that_it_was_to_show() -> None:
    with ExitStack() as running:
        running.enter_context(daemon([START, LATER]))
        with top("-d", "robot") as shown:
            read_until(shown.screen, b"45.0")
            running.close()
            read_until(shown.screen, b"dataflow `robot` has ended")
            assert shown.process.wait(DEADLINE_S) == 0


class Shown(NamedTuple):
    process: subprocess.Popen[bytes]
    screen: int


@contextmanager
def top(*arguments: str, term: str = "dumb", lacking: str = "") -> Iterator[Shown]:
    """`dora top` on a terminal, one that cannot show a full screen unless told otherwise."""
    size = {"COLUMNS": "150", "LINES": "50", "TERM": term}
    program = "import sys; from dora.cli.main import main; sys.exit(main())"
    if lacking:
        program = f"import sys; sys.modules[{lacking!r}] = None\n{program}"
    command = [sys.executable, "-c", program, "top", "--refresh-interval", "0.1", *arguments]
    screen, terminal = os.openpty()
    try:
        with subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=os.environ | size
        ) as process:
            try:
                yield Shown(process, screen)
            finally:
                process.kill()
    finally:
        os.close(terminal)
        os.close(screen)


def read_until(screen: int, wanted: bytes) -> bytes:
    """What a program writes until this comes, and to the end of that piece."""
    got = b""
    deadline = time.monotonic() + DEADLINE_S
    while wanted not in got:
        assert select.select([screen], [], [], max(0.0, deadline - time.monotonic()))[0], got
        got += os.read(screen, 4096)
    return got

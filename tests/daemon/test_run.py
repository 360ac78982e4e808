"""`dora run` as a user meets it: a command, real nodes, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .waiting import DEADLINE_S, read_line, wait_gone

if TYPE_CHECKING:
    from collections.abc import Callable

DORA = Path(sys.executable).with_name("dora")

ENDLESS = """
nodes:
  - id: camera
    path: camera.py
    inputs: {tick: dora/timer/millis/20}
    outputs: [image]
  - id: plot
    path: plot.py
    inputs: {image: camera/image}
"""

CAMERA = """
import os
from dora import Node
node = Node()
print("pid", os.getpid())
for event in node:
    if event["type"] == "INPUT":
        node.send_output("image", b"picture")
    print(event["type"])
"""

PLOT = """
import os
from dora import Node
node = Node()
print("pid", os.getpid())
for event in node:
    if event["type"] != "INPUT":
        print(event["type"], event["id"])
"""


@pytest.fixture
def write_flow(tmp_path: Path) -> Callable[..., Path]:
    """Writes `dataflow.yml` and the files beside it."""

    def write(text: str, **files: str) -> Path:
        for name, code in files.items():
            (tmp_path / f"{name}.py").write_text(code)
        flow = tmp_path / "dataflow.yml"
        flow.write_text(text)
        return flow

    return write


def run(flow: Path, *flags: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DORA, "run", flow, *flags],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, **env},
        check=False,
    )


def run_for_long_enough(flow: Path, too_early: str) -> subprocess.CompletedProcess[str]:
    """Run with `--stop-after`, with more time as long as `too_early` is told: machines differ."""
    for limit in ("1500ms", "6s", "15s"):
        done = run(flow, "--stop-after", limit)
        if too_early not in done.stderr:
            break
    return done


def start(flow: Path, *flags: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [DORA, "run", flow, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def lines_until(process: subprocess.Popen[bytes], *texts: str) -> list[str]:
    """Read stdout until each text was seen."""
    assert process.stdout is not None
    lines: list[str] = []
    while not all(any(text in line for line in lines) for text in texts):
        lines.append(read_line(process.stdout.fileno()))
    return lines


def pids_in(lines: list[str]) -> list[int]:
    return [int(line.split()[-1]) for line in lines if ": pid " in line]


def finish(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    out, err = process.communicate(timeout=DEADLINE_S)
    return out.decode(), err.decode()


def test_stop_after_stops_all_nodes_by_message_and_that_is_success(
    write_flow: Callable[..., Path],
) -> None:
    flow = write_flow(ENDLESS, camera=CAMERA, plot=PLOT)
    done = run_for_long_enough(flow, too_early="It never started")
    assert "plot: STOP MANUAL" in done.stdout
    assert "camera: STOP" in done.stdout
    assert "\033[" not in done.stdout
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("2 nodes, ")
    assert " messages, " in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_dataflow_and_leaves_nothing(
    write_flow: Callable[..., Path], number: signal.Signals
) -> None:
    before = signal.signal(number, signal.default_int_handler)  # else ignored under `nohup`
    process = start(write_flow(ENDLESS, camera=CAMERA, plot=PLOT))
    signal.signal(number, before)
    pids = pids_in(lines_until(process, "camera: pid", "plot: pid"))
    process.send_signal(number)
    out, err = finish(process)
    assert "plot: STOP MANUAL" in out
    assert process.returncode == 0, err
    wait_gone(pids)


def test_ctrl_c_while_nodes_still_load_ends_them_at_once(
    write_flow: Callable[..., Path], tmp_path: Path
) -> None:
    loading = "import os, time\nprint('pid', os.getpid())\ntime.sleep(1000)"
    process = start(write_flow(ENDLESS, camera=loading, plot=PLOT))
    pids = pids_in(lines_until(process, "camera: pid"))
    process.send_signal(signal.SIGINT)
    finish(process)
    assert process.returncode == 0
    wait_gone(pids)


@pytest.mark.parametrize("waiting_for", [("camera: pid", "plot: pid"), ("camera: loads",)])
def test_nodes_end_when_dora_run_is_killed(
    write_flow: Callable[..., Path], waiting_for: tuple[str, ...]
) -> None:
    camera = CAMERA
    if waiting_for == ("camera: loads",):
        camera = "import os, time\nprint('pid', os.getpid())\nprint('loads')\ntime.sleep(1000)"
    process = start(write_flow(ENDLESS, camera=camera, plot=PLOT))
    pids = pids_in(lines_until(process, *waiting_for))
    process.kill()
    wait_gone(pids)
    finish(process)
    assert process.returncode == -signal.SIGKILL


def test_a_reader_that_hangs_up_stops_the_dataflow(
    write_flow: Callable[..., Path], tmp_path: Path
) -> None:
    process = start(write_flow(ENDLESS, camera=CAMERA, plot=PLOT))
    lines_until(process, "camera: INPUT")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    error = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(DEADLINE_S) == 0, error
    assert "2 nodes" in error
    (log,) = tmp_path.glob("out/*/log_plot.jsonl")
    assert "STOP MANUAL" in log.read_text()


def test_a_dataflow_stopped_before_it_started_has_failed(write_flow: Callable[..., Path]) -> None:
    flow = "nodes:\n  - {id: slow, path: slow.py}\n  - {id: quick, path: quick.py}\n"
    slow, quick = "import time\ntime.sleep(1000)", "from dora import Node\nNode()"
    path = write_flow(flow, slow=slow, quick=quick)
    done = run_for_long_enough(path, too_early="`quick`")
    assert done.returncode == 1
    assert "It never started: `slow` had not called `Node()`" in done.stderr


@pytest.mark.parametrize(
    "end", ["sys.exit(1)", "with node: raise ValueError", "os._exit(3)", "1 / 0"]
)
def test_consumers_are_told_of_a_failure_before_the_input_closes(
    write_flow: Callable[..., Path], end: str
) -> None:
    camera = "import os, sys, time\nfrom dora import Node\nnode = Node()\n"
    camera += "node.send_output('image', b'x')\nnode.next(timeout=1.0)\n" + end
    plot = PLOT.replace('event["id"]', 'event["id"], event.get("value")')
    done = run(write_flow(ENDLESS, camera=camera, plot=plot))
    assert done.returncode == 1
    assert done.stdout.index("NODE_FAILED camera") < done.stdout.index("INPUT_CLOSED image")


def test_a_reader_that_does_not_read_does_not_hold_up_the_dataflow(
    write_flow: Callable[..., Path],
) -> None:
    flow = "nodes:\n  - {id: flood, path: flood.py}\n"
    flood = "from dora import Node\nNode()\nfor i in range(20000): print('x' * 100)\n"
    process = start(write_flow(flow, flood=flood + "import os\nos.kill(os.getppid(), 10)\n"))
    # The node has printed all that it had, far more than a pipe holds, and nobody has read a byte:
    # SIGUSR1, which `dora run` does not handle, then tells that it came so far.
    assert process.wait(DEADLINE_S) == -signal.SIGUSR1
    finish(process)


def test_the_failure_of_a_node_is_reported_and_the_status_is_1(
    write_flow: Callable[..., Path],
) -> None:
    camera = "from dora import Node\nnode = Node()\nnode.send_output('image', b'x')\n1 / 0\n"
    plot = PLOT.replace('event["id"]', 'event["id"], event.get("value")')
    done = run(write_flow(ENDLESS, camera=camera, plot=plot))
    assert done.returncode == 1
    assert "[ERROR] Dataflow failed:\nNode `camera` failed: exited with code 1" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert "NODE_FAILED camera" in done.stdout
    assert done.stdout.index("NODE_FAILED") < done.stdout.index("INPUT_CLOSED image")


def test_lines_and_log_files_have_the_documented_forms(
    write_flow: Callable[..., Path], tmp_path: Path
) -> None:
    flow = "nodes:\n  - {id: talker, path: talker.py}\n"
    talker = (
        "import logging\nfrom dora import Node\nnode = Node()\n"
        "logging.warning('hot')\nprint('plain')\nnode.log_info('fine')\n"
    )
    path = write_flow(flow, talker=talker)
    done = run(path, "--log-format", "json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["level"], row["message"]) for row in rows] == [
        ("WARN", "hot"),
        ("stdout", "plain"),
        ("INFO", "fine"),
    ]
    (log,) = tmp_path.glob("out/*/log_talker.jsonl")
    assert [json.loads(line)["msg"] for line in log.read_text().splitlines()] == [
        "hot",
        "plain",
        "fine",
    ]
    compact = run(path, "--log-format", "compact", "--log-level", "warn").stdout
    assert compact[8:] == " WARN talker: hot\n"
    filtered = run(path, "--log-filter", "talker=info").stdout
    assert "plain" not in filtered
    assert "INFO   talker: fine" in filtered


def test_drops_are_told_once_and_summed_at_the_end(write_flow: Callable[..., Path]) -> None:
    burst = CAMERA.replace(
        'node.send_output("image", b"picture")',
        'for _ in range(500): node.send_output("image", b"picture")',
    )
    flow = ENDLESS.replace("camera/image", "{source: camera/image, queue_size: 2}")
    process = start(write_flow(flow, camera=burst, plot=PLOT))
    lines = lines_until(process, "input `plot/image` is slower than `camera/image`")
    process.send_signal(signal.SIGINT)
    out, err = finish(process)
    assert "is slower" not in out
    assert "`queue_size: 2`" in lines[-1]
    assert "dropped (`plot/image` " in err


def test_a_dynamic_node_joins_from_outside_and_may_leave_and_return(
    write_flow: Callable[..., Path], tmp_path: Path
) -> None:
    flow = ENDLESS.replace("path: plot.py", "path: dynamic")
    process = start(write_flow(flow, camera=CAMERA))
    lines_until(process, "camera: INPUT")
    code = (
        "from dora import Node\nnode = Node('plot')\n"
        "assert node.next(timeout=10)['type'] == 'INPUT'\nnode.close()\n"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=DEADLINE_S)
    process.send_signal(signal.SIGINT)
    out, _err = finish(process)
    assert "dynamic node `plot`" in out
    assert process.returncode == 0

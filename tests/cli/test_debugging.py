"""Nodes that the user starts, and nodes that are asked what they are doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dora import client
from dora.cli.debug import leave_to_user
from dora.descriptor.planner import load_plan
from dora.errors import DoraError
from dora.wire import messages

if TYPE_CHECKING:
    from collections.abc import Iterator

DORA = Path(sys.executable).with_name("dora")
DEADLINE_S = 40.0
SOURCE = """
from dora import Node
node = Node()
for number, event in enumerate(node):
    if event["type"] == "INPUT":
        node.send_output("number", number)
    if number == 3:
        break
"""
SINK = """
import os
from dora import Node
for event in Node():
    print(os.environ["GREETING"], event["type"], flush=True)
"""
STUCK = """
import threading
from dora import Node
node = Node()
never = threading.Event()
def a_lock_that_nobody_gives_up():
    never.wait()
threading.Thread(target=a_lock_that_nobody_gives_up, daemon=True).start()
def a_loop_without_end():
    while True:
        pass
print("stuck", flush=True)
a_loop_without_end()
"""
LATE = "import signal\nprint('loading', flush=True)\nsignal.pause()\n"


class Running:
    """A `dora run` in the background; its words come line by line."""

    def __init__(self, folder: Path, flow: str, *flags: str) -> None:
        (folder / "flow.yml").write_text(flow)
        self.process = subprocess.Popen(
            [str(DORA), "run", "flow.yml", *flags],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def line(self, containing: str) -> str:
        """The next line that contains this."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if containing in line:
                return line
        raise AssertionError(f"no line with {containing!r} in {seen}")

    def end(self) -> tuple[int, str]:
        """Wait until it has ended; its status and the words that were left."""
        out, _ = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, code in {"source": SOURCE, "sink": SINK, "stuck": STUCK, "late": LATE}.items():
        (tmp_path / f"{name}.py").write_text(code)
    return tmp_path


@pytest.fixture
def stuck(folder: Path) -> Iterator[Running]:
    flow = "nodes: [{id: stuck, path: stuck.py}, {id: calm, path: sink.py, env: {GREETING: hi}, \
        inputs: {tick: dora/timer/millis/20}}]"
    running = Running(folder, flow)
    running.line("stuck: stuck")
    yield running
    running.process.kill()  # the nodes die with it
    running.end()


FLOW = """
nodes:
  - {id: source, path: source.py, inputs: {tick: dora/timer/millis/20}, outputs: [number]}
  - {id: sink, path: sink.py, inputs: {number: source/number}, env: {GREETING: hello there}}
"""


def test_a_node_left_to_the_user_starts_with_the_printed_line_and_the_dataflow_waits_for_it(
    folder: Path,
) -> None:
    running = Running(folder, FLOW, "--debug-node", "sink")
    running.line("node `sink` waits for you")
    command = running.line("DORA_NODE_CONFIG")
    running.line("waiting for `sink` to call `Node()`")
    env = {key: value for key, value in os.environ.items() if key != "GREETING"}
    done = subprocess.run(
        ["sh", "-c", command],
        cwd="/",
        env=env,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert done.stdout.split("\n")[0] == "hello there INPUT"
    assert done.stdout.split("\n")[-2] == "hello there STOP"
    status, words = running.end()
    assert status == 0
    assert "hand-started node `sink`" in words


def test_the_debugger_stops_where_the_node_says_breakpoint(folder: Path) -> None:
    (folder / "sink.py").write_text(
        "from dora import Node\nfor event in Node():\n"
        '    if event["type"] == "INPUT":\n        breakpoint()\n        break\n'
    )
    running = Running(folder, FLOW, "--debug-node", "sink")
    command = running.line("DORA_NODE_CONFIG")
    done = subprocess.run(
        ["sh", "-c", command],
        input='p event["value"].to_pylist()\ncontinue\n',
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert "(Pdb) [0]" in done.stdout
    assert running.end()[0] == 0


@pytest.mark.parametrize(
    ("node", "told"),
    [("sikn", "no such node; did you mean `sink`?"), ("guest", "`path: dynamic`")],
)
def test_only_a_node_that_dora_would_start_can_be_left_to_the_user(
    folder: Path, node: str, told: str
) -> None:
    path = folder / "flow.yml"
    path.write_text(FLOW + "  - {id: guest, path: dynamic}\n")
    plan = load_plan(path, environ={})
    with pytest.raises(DoraError, match=told):
        leave_to_user(plan, [node])


def test_a_node_that_hangs_shows_the_stack_of_all_its_threads_and_goes_on(stuck: Running) -> None:
    for _ in range(2):
        shown = subprocess.run(
            [str(DORA), "node", "stack", "stuck"],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=True,
        )
        assert "in a_loop_without_end" in shown.stdout
        assert "in a_lock_that_nobody_gives_up" in shown.stdout
    assert stuck.process.poll() is None


def test_running_dataflows_are_found_and_told_apart(stuck: Running) -> None:
    (flow,) = [flow for flow in client.running() if "stuck" in flow.nodes]
    assert flow.name == "flow"
    for name in ("flow", flow.id, flow.id[:13], None):
        with client.connect(name, "stuck") as connected:
            assert connected.dataflow == flow
    with pytest.raises(
        DoraError, match=f"(?s)has a node `stick`; did you mean `stuck`\\?; running:.*{flow.id}"
    ):
        client.connect(None, "stick")
    with pytest.raises(DoraError, match="no running dataflow is `other`"):
        client.connect("other")


def test_a_wrong_question_is_answered_in_words(stuck: Running) -> None:
    with client.connect(None, "stuck") as connected:
        with pytest.raises(DoraError, match="no node `stucky`; did you mean `stuck`"):
            connected.stack("stucky")
        assert "in a_loop_without_end" in connected.stack("stuck")


def test_a_stopped_process_is_named_and_answers_when_it_goes_on(stuck: Running) -> None:
    (pid,) = [
        int(entry)
        for entry in os.listdir("/proc")
        if entry.isdigit() and _command(entry).endswith(b"/stuck.py\0")
    ]
    with client.connect(None, "stuck") as connected:
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(DoraError, match="did not answer within 3 s"):
            connected.stack("stuck")
        os.kill(pid, signal.SIGCONT)
        assert connected.stack("stuck").count("Current thread") == 1


def test_a_process_that_has_not_come_to_node_is_left_alone(folder: Path) -> None:
    running = Running(folder, "nodes: [{id: late, path: late.py, outputs: [x]}]")
    running.line("loading")
    with (
        client.connect(None, "late") as connected,
        pytest.raises(DoraError, match="has not come to `Node"),
    ):
        connected.stack("late")
    assert running.process.poll() is None
    running.process.send_signal(signal.SIGINT)
    running.end()


def test_a_client_of_another_protocol_is_told_so(
    stuck: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "PROTOCOL", 99)
    assert client.running() == []
    with pytest.raises(DoraError, match="speaks control protocol 99"):
        client.connect(None, "stuck")
    assert stuck.process.poll() is None


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""

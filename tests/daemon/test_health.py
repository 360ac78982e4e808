"""Nodes that are stuck, late, or take too much; and those that are not and must be left alone."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from .live import Live

if TYPE_CHECKING:
    from pathlib import Path

CHECKED: dict[str, Any] = {"health_check_timeout": 1.0, "restart_policy": "on-failure"}
TICKS = {"inputs": {"tick": "dora/timer/millis/100"}}

STUCK = {
    "computing": "while True: pass",
    "sleeping": "time.sleep(1e6)",
    "in_c": "import ctypes; ctypes.CDLL(None).pause()",
    "in_a_lock": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
}


def stuck(how: str) -> str:
    return f"""
from dora import Node
def the_culprit():
    {how}
node = Node()
say("up", node.restart_count())
for event in node:
    if event["type"] == "STOP":
        break
    if node.restart_count() == 0:
        the_culprit()
    say("well")
"""


def test_a_stuck_node_is_seen_logged_killed_and_started_again(tmp_path: Path) -> None:
    nodes = {name: (stuck(how), {**CHECKED, **TICKS}) for name, how in STUCK.items()}
    with Live(tmp_path, nodes) as live:
        for name in nodes:
            live.heard("well", name)
            assert live.state(name).restarts >= 1
            told = live.noticed(f"node `{name}` (pid")
            assert "was stuck in its own code for more than 1 s" in told
            mine = [line for line in live.lines if line.startswith(f"{name}: ")]
            assert any("in the_culprit" in line for line in mine), mine
        with live.client() as client:
            client.stop("enough")
        assert live.wait_ended().ok


def test_a_node_that_is_stopped_by_a_signal_is_seen_too(tmp_path: Path) -> None:
    """In its own code and in dora's: a stopped process does nothing, wherever it stands."""
    waits = "from dora import Node\nnode = Node()\nsay('up', os.getpid())\nfor _ in node: pass\n"
    nodes = {"waits": (waits, {**CHECKED, "inputs": {"in": "dora/timer/secs/1000"}})}
    with Live(tmp_path, nodes) as live:
        (pid,) = live.heard("up")
        boards = live.server._carrier.wiring.boards
        live.until(lambda: boards.of("waits").reader.turn % 2 == 1, "it waits")  # type: ignore
        os.kill(pid, signal.SIGSTOP)
        (again,) = live.heard("up")
        assert again != pid
        with live.client() as client:
            client.stop("enough")
        assert live.wait_ended().ok


WELL = {
    "waits": "for event in node: pass",
    "polls": """
while (event := node.try_recv()) is None or event["type"] != "STOP":
    time.sleep(0.01)
""",
    "times_out": """
while (event := node.next(timeout=0.05)) is not None:
    pass
""",
    "awaits": """
import asyncio
async def main():
    while (await node.recv_async()) is not None:
        pass
asyncio.run(main())
""",
    "computes": """
for event in node:
    time.sleep(0.6)
""",
    "sends": """
while not node.is_empty() or True:
    node.send_output("out", b"x")
    time.sleep(0.05)
    if os.path.exists("over"):
        break
""",
    "drains": """
while not any(event["type"] == "STOP" for event in node.drain()):
    time.sleep(0.02)
""",
}


def test_a_node_that_waits_polls_or_computes_within_its_time_is_left_alone(tmp_path: Path) -> None:
    head = "from dora import Node\nnode = Node()\nsay('up')\n"
    nodes: dict[str, Any] = {}
    for name, code in WELL.items():
        ports = {"outputs": ["out"]} if name == "sends" else {}
        inputs = {"inputs": {"tick": "dora/timer/secs/1000"}}
        nodes[name] = head + code, {**CHECKED, **ports, **inputs}
    with Live(tmp_path, nodes) as live:
        for name in nodes:
            live.heard("up", name)
        began = time.monotonic()
        live.until(lambda: time.monotonic() - began > 2.5)
        assert not [text for text in live.notices if "stuck" in text]
        assert all(live.state(name).restarts == 0 for name in nodes)
        (tmp_path / "over").touch()
        with live.client() as client:
            client.stop("enough")
        live.wait_ended()


def test_a_sender_that_waits_for_room_is_left_alone(tmp_path: Path) -> None:
    sending = (
        "from dora import Node\nnode = Node()\nfor _ in range(5): node.send_output('out', b'')\n"
    )
    reading = """
from dora import Node
node = Node()
say("up")
while not os.path.exists("go"):
    time.sleep(0.05)
for event in node:
    say(event["type"])
"""
    edge = {"source": "source/out", "queue_size": 1, "queue_policy": "backpressure"}
    nodes = {
        "source": (sending, {"outputs": ["out"], **CHECKED}),
        "sink": (reading, {"inputs": {"in": edge}}),
    }
    with Live(tmp_path, nodes) as live:
        live.heard("up")
        began = time.monotonic()
        live.until(lambda: time.monotonic() - began > 1.5)
        (tmp_path / "go").touch()
        assert live.wait_ended().ok
    assert [facts[0] for _, facts in live._said].count("INPUT") == 5
    assert not [text for text in live.notices if "stuck" in text]


def test_an_event_loop_that_is_blocked_is_seen(tmp_path: Path) -> None:
    code = """
import asyncio
from dora import Node
node = Node()
say("up", node.restart_count())
async def blocks():
    await asyncio.sleep(0.2)
    if not node.restart_count():
        time.sleep(1e6)
async def main():
    task = asyncio.create_task(blocks())
    while (event := await node.recv_async()) is not None:
        pass
asyncio.run(main())
"""
    nodes = {"awaits": (code, {**CHECKED, "inputs": {"in": "dora/timer/secs/1000"}})}
    with Live(tmp_path, nodes) as live:
        assert live.heard("up") == [0]
        assert live.heard("up") == [1]
        assert any("in blocks" in line for line in live.lines)
        with live.client() as client:
            client.stop("enough")
        assert live.wait_ended().ok


def test_a_node_that_hangs_before_it_joins_is_killed_and_started_again(tmp_path: Path) -> None:
    code = """
if not os.path.exists("tried"):
    open("tried", "w").close()
    time.sleep(1e6)
from dora import Node
node = Node()
say("up", node.restart_count())
"""
    keys = {"outputs": ["out"], "startup_timeout": 1.5, "restart_policy": "on-failure"}
    with Live(tmp_path, {"late": (code, keys)}) as live:
        assert live.heard("up") == [1]
        assert live.wait_ended().ok
    assert any("has not called `Node()` within 1.5 s" in text for text in live.notices)


def test_a_node_that_takes_too_much_memory_is_killed_and_started_again(tmp_path: Path) -> None:
    code = """
from dora import Node
node = Node()
say("up", node.restart_count())
if not node.restart_count():
    hog = b"x" * (400 << 20)
    time.sleep(1e6)
"""
    keys = {"outputs": ["out"], "memory_limit": "250M", "restart_policy": "on-failure"}
    with Live(tmp_path, {"hog": (code, keys)}) as live:
        assert live.heard("up") == [0]
        assert live.heard("up") == [1]
        assert live.wait_ended().ok
    assert any("more than its `memory_limit` of 250 MiB" in text for text in live.notices)


def test_nice_and_cores_hold_for_a_restarted_node_too(tmp_path: Path) -> None:
    code = """
from dora import Node
node = Node()
say("up", os.nice(0), sorted(os.sched_getaffinity(0)))
sys.exit(not node.restart_count())
"""
    core = min(os.sched_getaffinity(0))
    own = os.nice(0)
    keys = {"nice": own + 3, "cpu_affinity": [core], "restart_policy": "on-failure"}
    with Live(tmp_path, {"node": (code, {"outputs": ["out"], **keys})}) as live:
        assert live.wait_ended().ok
    assert live.all_heard("up") == [[own + 3, [core]]] * 2


TIMED = """
from dora import Node
node = Node()
say("sink")
last = time.monotonic()
for event in node:
    now = time.monotonic()
    say("event", event["type"], event.get("id"), now - last)
    if event["type"] == "INPUT":
        last = now
"""


def test_an_input_that_falls_silent_closes_when_its_time_is_over_and_recovers(
    tmp_path: Path,
) -> None:
    """Measured in the receiver: from the hand-out of the last message to that of INPUT_CLOSED."""
    sending = """
from dora import Node
node = Node()
def wait(path):
    while not os.path.exists(path):
        time.sleep(0.005)
for n in range(5):
    node.send_output("out", b"x")
    time.sleep(0.1)
wait("go")
node.send_output("out", b"x")
wait("end")
"""
    edge = {"source": "source/out", "input_timeout": 0.4}
    nodes = {
        "source": (sending, {"outputs": ["out"]}),
        "sink": (TIMED, {"inputs": {"in": edge}}),
    }
    with Live(tmp_path, nodes) as live:
        event = live.heard("event")
        while event[0] == "INPUT":
            event = live.heard("event")
        kind, name, after_s = event
        assert (kind, name) == ("INPUT_CLOSED", "in")
        assert 0.399 <= after_s < 0.5, (
            after_s
        )  # it is counted from a little before the node sees it
        view = next(e for e in _edges(live) if e.input == "in")
        assert view.broken
        assert view.timeout_s == 0.4
        (tmp_path / "go").touch()
        assert live.heard("event")[:2] == ["INPUT_RECOVERED", "in"]
        assert live.heard("event")[:2] == ["INPUT", "in"]
        assert live.heard("event")[:2] == ["INPUT_CLOSED", "in"]
        (tmp_path / "end").touch()
        with live.client() as client:
            client.stop("enough")
        live.wait_ended()


def test_a_node_all_of_whose_inputs_are_silent_is_told_and_goes_on(tmp_path: Path) -> None:
    """They may recover: only inputs that are closed for good end the stream."""
    sending = """
from dora import Node
node = Node()
def wait(path):
    while not os.path.exists(path):
        time.sleep(0.005)
node.send_output("out", b"x")
wait("closed1")
node.send_output("out", b"x")
wait("closed2")
"""
    reading = (
        TIMED
        + """
    if event["type"] == "INPUT_CLOSED":
        open("closed2" if os.path.exists("closed1") else "closed1", "w").close()
"""
    )
    edge = {"source": "source/out", "input_timeout": 0.3}
    nodes = {
        "source": (sending, {"outputs": ["out"]}),
        "sink": (reading, {"inputs": {"in": edge}}),
    }
    with Live(tmp_path, nodes) as live:
        assert live.wait_ended().ok
    kinds = [facts[1] for _, facts in live._said if facts[0] == "event"]
    assert kinds == ["INPUT", "INPUT_CLOSED", "INPUT_RECOVERED", "INPUT", "INPUT_CLOSED", "STOP"]


def _edges(live: Live) -> list[Any]:
    with live.client() as client:
        return client.state().edges


@pytest.mark.parametrize("held", [False, True])
def test_a_straggler_is_stopped_unless_a_source_still_works(held: bool, tmp_path: Path) -> None:
    straggler = "from dora import Node\nnode = Node()\nsay('up')\n"
    straggler += "signal.signal(15, lambda *_: sys.exit(0))\n"
    straggler += "while True: time.sleep(0.05)\n"
    source = "from dora import Node\nnode = Node()\n"
    worker = (
        "from dora import Node\nnode = Node()\nwhile not os.path.exists('go'): time.sleep(0.05)\n"
    )
    nodes = {
        "source": (source, {"outputs": ["out"]}),
        "slow": (straggler, {"inputs": {"in": "source/out"}, "finish_grace_secs": 0.5}),
    }
    if held:
        nodes["worker"] = worker, {"outputs": ["out"]}
    with Live(tmp_path, nodes) as live:
        live.heard("up")
        if held:
            began = time.monotonic()
            live.until(lambda: time.monotonic() - began > 1.5)
            assert live.state("slow").state == "running"
            (tmp_path / "go").touch()
        assert live.wait_ended().ok
    assert any("`finish_grace_secs`" in text for text in live.notices)

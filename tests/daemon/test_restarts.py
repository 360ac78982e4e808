"""Nodes that are started again: what happens to what waits, and who is told."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from dora.wire.visits import AskNode

from .live import SINK, Live, counter

if TYPE_CHECKING:
    from pathlib import Path

ALWAYS: dict[str, Any] = {"restart_policy": "always"}
READS = {"inputs": {"in": "source/out"}}
FAILS_TWICE = """
from dora import Node
node = Node()
say("up", node.restart_count(), node.is_restart())
node.send_output("out", b"x")
sys.exit(3 if node.restart_count() < 2 else 0)
"""


def test_a_source_that_fails_is_started_again_and_its_receivers_are_told(tmp_path: Path) -> None:
    nodes = {
        "source": (FAILS_TWICE, {"outputs": ["out"], "restart_policy": "on-failure"}),
        "sink": (SINK, READS),
    }
    with Live(tmp_path, nodes) as live:
        assert [live.heard("up") for _ in range(3)] == [[0, False], [1, True], [2, True]]
        assert live.wait_ended().ok
    told = [facts for who, facts in live._said if who == "sink" and facts[0] != "sink"]
    assert [t for t in told if t[0] == "NODE_RESTARTED"] == [["NODE_RESTARTED", "source"]] * 2
    assert sum(t[0] == "got" for t in told) == 3
    assert [t[0] for t in told if t[0] in ("INPUT_CLOSED", "NODE_FAILED")] == ["INPUT_CLOSED"]


@pytest.mark.parametrize("clean", [True, False])
def test_a_node_that_said_goodbye_and_fails_afterwards_is_started_again(
    clean: bool, tmp_path: Path
) -> None:
    code = """
from dora import Node
with Node() as node:
    say("up", node.restart_count())
    node.send_output("out", b"x", {"n": node.restart_count()})
""" + ("sys.exit(node.restart_count() < 2)" if clean else "os.kill(os.getpid(), 9)")
    keys = {"outputs": ["out"], "restart_policy": "on-failure", "max_restarts": 2}
    with Live(tmp_path, {"source": (code, keys), "sink": (SINK, READS)}) as live:
        assert live.wait_ended().ok is clean
    told = [facts[1:] for who, facts in live._said if who == "sink" and facts[0] == "got"]
    assert told == [["in", 0], ["in", 1], ["in", 2]]


def test_the_failure_is_told_when_it_is_for_good(tmp_path: Path) -> None:
    code = "from dora import Node\nnode = Node()\nos.kill(os.getpid(), 9)\n"
    keys = {"outputs": ["out"], "restart_policy": "always", "max_restarts": 2}
    with Live(tmp_path, {"source": (code, keys), "sink": (SINK, READS)}) as live:
        outcome = live.wait_ended()
    told = [facts[0] for who, facts in live._said if who == "sink"]
    assert told == ["sink", *["NODE_RESTARTED"] * 2, "NODE_FAILED", "INPUT_CLOSED", "STOP"]
    assert [failure.node for failure in outcome.failures] == ["source"]


CRASHES_BEFORE_IT_JOINS = """
from pathlib import Path
tries = Path("tries")
n = len(tries.read_text()) if tries.exists() else 0
tries.write_text("x" * (n + 1))
say("try", n)
if n < 2:
    sys.exit(1)
from dora import Node
node = Node()
say("up", node.restart_count())
"""


def test_a_node_that_fails_before_it_joins_is_started_again_and_the_rest_waits(
    tmp_path: Path,
) -> None:
    nodes = {
        "early": (CRASHES_BEFORE_IT_JOINS, {"outputs": ["out"], "restart_policy": "on-failure"}),
        "sink": (SINK, {"inputs": {"in": "early/out"}}),
    }
    with Live(tmp_path, nodes) as live:
        assert live.heard("up") == [2]
        assert live.wait_ended().ok


CRASHES_AT_THE_BARRIER = """
import threading
from dora import Node
import dora.node.session as session
first = not os.path.exists("crashed")
if first:
    open("crashed", "w").close()
    session.Session._wait_for_start = lambda self: os.kill(os.getpid(), 9)
node = Node()
say("up", node.restart_count())
"""


def test_a_node_that_dies_at_the_barrier_is_started_again(tmp_path: Path) -> None:
    late = "from dora import Node\ntime.sleep(1)\nnode = Node()\nsay('late')\n"
    nodes = {
        "early": (CRASHES_AT_THE_BARRIER, {"outputs": ["out"], "restart_policy": "on-failure"}),
        "late": (late, {"inputs": {"in": "early/out"}}),
    }
    with Live(tmp_path, nodes) as live:
        assert live.heard("up") == [1]
        live.heard("late")
        assert live.wait_ended().ok


SLOW = """
from dora import Node
import numpy as np
node = Node()
say("slow", node.restart_count())
for event in node:
    if event["type"] == "INPUT":
        n = event["metadata"]["n"]
        whole = event["value"]
        assert (whole == n % 251).all(), (n, whole[:3])
        say("got", n)
        time.sleep(0.002)
"""


@pytest.mark.parametrize("backpressure", [True, False])
@pytest.mark.parametrize("size", [8, 300_000])
def test_nothing_is_lost_or_doubled_when_sender_and_receiver_are_started_again(
    size: int, backpressure: bool, tmp_path: Path
) -> None:
    """Both are killed from outside, between two messages of their own, many times."""
    count = 120
    sending = f"""
from pathlib import Path
import numpy as np
from dora import Node
node = Node()
say("source", node.restart_count())
file = Path("sent")
n = int(file.read_text()) if file.exists() else 0
while n < {count}:
    node.send_output("out", np.full({size}, n % 251, np.uint8), {{"n": n}})
    n += 1
    file.write_text(str(n))
    if n % 40 == 20:
        os._exit(1)
"""
    reading = SLOW + "        if n % 30 == 13 and not os.path.exists(f'c{n}'):\n"
    reading += "            open(f'c{n}', 'w').close(); os.kill(os.getpid(), 9)\n"
    edge = {"source": "source/out", "queue_size": 20 if backpressure else 1000}
    edge |= {"queue_policy": "backpressure"} if backpressure else {}
    again = {"restart_policy": "on-failure"}
    nodes = {
        "source": (sending, {"outputs": ["out"], **again}),
        "sink": (reading, {"inputs": {"in": edge}, **again}),
    }
    with Live(tmp_path, nodes) as live:
        outcome = live.wait_ended()
    assert outcome.ok, live.notices
    assert [n for (n,) in live.all_heard("got")] == list(range(count))


def test_a_restarted_receiver_reads_what_waits_of_a_sender_that_has_ended(tmp_path: Path) -> None:
    sending = """
from dora import Node
import numpy as np
node = Node()
for n in range(30):
    node.send_output("out", np.full(100_000, n, np.uint8), {"n": n})
"""
    reading = (
        SLOW.replace("node = Node()", "node = Node()\ntime.sleep(0.3)")
        + """
        if n % 10 == 4 and not os.path.exists(f'c{n}'):
            open(f'c{n}', 'w').close(); os.kill(os.getpid(), 9)
"""
    )
    nodes = {
        "source": (sending, {"outputs": ["out"]}),
        "sink": (
            reading,
            {
                "inputs": {"in": {"source": "source/out", "queue_size": 100}},
                "restart_policy": "on-failure",
            },
        ),
    }
    with Live(tmp_path, nodes) as live:
        outcome = live.wait_ended()
    assert outcome.ok, live.notices
    assert [n for (n,) in live.all_heard("got")] == list(range(30))


def test_a_node_whose_inputs_are_all_closed_and_read_is_not_started_again(tmp_path: Path) -> None:
    source = "from dora import Node\nNode().send_output('out', b'x')\n"
    sink = SINK + "sys.exit(3)\n"
    nodes = {
        "source": (source, {"outputs": ["out"]}),
        "sink": (sink, {**READS, "restart_policy": "always"}),
    }
    with Live(tmp_path, nodes) as live:
        assert not live.wait_ended().ok
    assert live.all_heard("sink") == [[0]]
    assert any("all of its inputs are closed" in text for text in live.notices)


DIES_OF_THE_FIRST_CLOSE = """
from dora import Node
node = Node()
for event in node:
    say(event["type"], event.get("id"), node.restart_count())
    if event["type"] == "INPUT_CLOSED" and not node.restart_count():
        os.kill(os.getpid(), signal.SIGKILL)
say("over")
"""


def test_an_input_that_closed_is_told_again_to_the_next_process_of_its_receiver(
    tmp_path: Path,
) -> None:
    brief = "from dora import Node\nNode().send_output('out', b'x')\n"
    sink_keys = {"inputs": {"brief": "brief/out", "long": "long/out"}, **ALWAYS}
    nodes = {
        "brief": (brief, {"outputs": ["out"]}),
        "long": (counter(every_s=0.05), {"outputs": ["out"]}),
        "sink": (DIES_OF_THE_FIRST_CLOSE, sink_keys),
    }
    with Live(tmp_path, nodes) as live:
        assert live.heard("INPUT_CLOSED") == ["brief", 0]
        assert live.heard("INPUT_CLOSED") == ["brief", 1], "else it would wait for ever"
        live.ask(AskNode("stop", "long"))
        assert live.heard("INPUT_CLOSED") == ["long", 1]
        live.heard("over")
        assert live.wait_ended().ok


def test_a_stop_during_the_backoff_ends_at_once(tmp_path: Path) -> None:
    code = "from dora import Node\nnode = Node()\nsys.exit(1)\n"
    keys = {"outputs": ["out"], "restart_policy": "always", "restart_delay": 60}
    with Live(tmp_path, {"source": (code, keys), "sink": (SINK, READS)}) as live:
        live.noticed("restart 1 in")
        assert live.state("source").state == "backoff"
        with live.client() as client:
            client.stop("enough")
        assert live.wait_ended().duration_s < 50


def test_a_crash_loop_leaves_nothing_behind_in_daemon_or_receiver(tmp_path: Path) -> None:
    """A small node that speaks the protocol by hand would do; a real one has memory, too."""
    sending = """
from dora import Node
import numpy as np
node = Node()
node.send_output("out", np.full(200_000, 7, np.uint8), {"n": node.restart_count()})
os._exit(1)
"""
    reading = """
from dora import Node
node = Node()
for event in node:
    if event["type"] == "INPUT":
        n = event["metadata"]["n"]
        maps = open("/proc/self/maps").read().count("memfd:dora")
        say("got", n, len(os.listdir("/proc/self/fd")), maps)
"""
    restarts = 12
    keys = {"outputs": ["out"], "restart_policy": "always", "max_restarts": restarts}
    with Live(tmp_path, {"source": (sending, keys), "sink": (reading, READS)}) as live:
        first = live.heard("got")
        fds = len(os.listdir("/proc/self/fd"))
        while (last := live.heard("got"))[0] < restarts:
            pass
        assert last[1] <= first[1] + 4, (first, last)
        assert last[2] <= first[2] + 4, (first, last)
        live.until(lambda: len(os.listdir("/proc/self/fd")) <= fds + 4, "all is closed")
        live.wait_ended()


def test_a_restart_asked_for_needs_no_policy_and_counts(tmp_path: Path) -> None:
    from dora.wire.visits import AskNode

    nodes = {"source": (counter(), {"outputs": ["out"]}), "sink": (SINK, READS)}
    with Live(tmp_path, nodes) as live:
        live.heard("got")
        pid = live.state("source").pid
        live.ask(AskNode("restart", "source"))
        assert live.heard("counter") == [0]
        assert live.heard("counter") == [1]
        assert live.heard("NODE_RESTARTED") == ["source"]
        live.until(lambda: live.state("source").state == "running")
        assert live.state("source").pid != pid
        assert live.state("source").restarts == 1


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT])
def test_any_signal_is_a_failure_that_is_followed_by_a_restart(number: int, tmp_path: Path) -> None:
    code = "from dora import Node\nnode = Node()\nsay('up', node.restart_count())\n"
    code += f"if not node.restart_count(): os.kill(os.getpid(), {int(number)})\n"
    keys = {"outputs": ["out"], "restart_policy": "on-failure"}
    with Live(tmp_path, {"source": (code, keys)}) as live:
        assert live.wait_ended().ok
    assert live.all_heard("up") == [[0], [1]]

"""SIGKILL to any process of a dataflow, and to all: what was sent arrives, nothing stays behind."""

from __future__ import annotations

import random
import select
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fault_rig import ROUNDS, Flow, rounds, until

if TYPE_CHECKING:
    from collections.abc import Callable

SENDS_AND_WAITS = """
    from dora import Node
    import numpy as np
    node = Node()
    say("dataflow", node.dataflow_id())
    say("child", fork_a_child())
    for number in range(10):
        node.send_output("out", np.full(3000 if number % 2 else 3, number))
    say("sent")
    while True:
        signal.pause()
"""

READS_TO_THE_END = """
    from dora import Node
    node = Node()
    say("child", fork_a_child())
    numbers, types, kept = [], [], []
    for event in node:
        if event["type"] == "INPUT":
            assert len(set(event["value"].tolist())) == 1
            numbers.append(int(event["value"][0]))
            kept.append(event["value"])
        else:
            types.append(event["type"])
    assert [int(value[0]) for value in kept] == numbers
    say("read", numbers, types)
"""

SENDS_FOREVER = """
    from dora import Node
    import numpy as np
    node = Node()
    say("dataflow", node.dataflow_id())
    say("child", fork_a_child())
    for event in node:
        if event["type"] == "INPUT":
            node.send_output("out", np.zeros(200_000, np.uint8))
"""

READS_FOREVER = """
    from dora import Node
    node = Node()
    say("child", fork_a_child())
    kept = []
    for event in node:
        kept.append(event)
        if len(kept) == 5:
            say("reads")
"""

TICK = {"tick": "dora/timer/millis/2"}


def endless(folder: Path) -> Flow:
    """A sender and two receivers, each with a forked child, that end only by force."""
    return Flow(
        folder,
        {
            "sender": (SENDS_FOREVER, {"inputs": TICK, "outputs": ["out"]}),
            "first": (READS_FOREVER, {"inputs": {"in": "sender/out"}}),
            "second": (READS_FOREVER, {"inputs": {"in": "sender/out"}}),
        },
    )


def test_what_a_killed_sender_had_sent_arrives_then_its_failure_is_told(
    tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    nodes = {
        "sender": (SENDS_AND_WAITS, {"outputs": ["out"]}),
        "reader": (READS_TO_THE_END, {"inputs": {"in": "sender/out"}}),
    }
    for folder in rounds(tmp_path):
        with Flow(folder, nodes) as flow:
            flow.start()
            flow.heard("sent")
            flow.kill(flow.pids["sender"])
            numbers, types = flow.heard("read")
            assert numbers == list(range(10))
            assert "NODE_FAILED" in types
            assert types.index("INPUT_CLOSED") < types.index("STOP")
            status, _, err = flow.end()
            assert status == 1
            assert "SIGKILL" in err
    measured("kill -9 of a sender", f"{ROUNDS} kills, 10 messages waited each time: all arrived")


def test_a_receiver_killed_in_mid_read_harms_nobody_and_its_memory_comes_back(
    tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    sender = """
        from dora import Node
        import numpy as np
        node = Node()
        number, after = 0, None
        for event in node:
            if event["type"] != "INPUT":
                continue
            node.send_output("out", np.full(20_000, number))
            number += 1
            if len(node._sender._edges) == 1 and after is None:
                after = number + 50
            if number == after:
                for edge in node._sender._edges.values():
                    edge.collect()
                say("held", node._sender.arena.held, number - 1)
                break
    """
    doomed = """
        from dora import Node
        node, kept = Node(), []
        for event in node:
            kept.append(event)
            if len(kept) == 7:
                os.kill(os.getpid(), signal.SIGKILL)
    """
    reader = """
        from dora import Node
        node, numbers = Node(), []
        for event in node:
            if event["type"] == "INPUT":
                numbers.append(int(event["value"][0]))
        say("read", numbers == sorted(set(numbers)), numbers[-1])
    """
    nodes = {
        "sender": (sender, {"inputs": TICK, "outputs": ["out"]}),
        "doomed": (doomed, {"inputs": {"in": "sender/out"}}),
        "reader": (reader, {"inputs": {"in": "sender/out"}}),
    }
    for folder in rounds(tmp_path):
        with Flow(folder, nodes) as flow:
            flow.start()
            held, sent_last = flow.heard("held")
            assert held <= 12
            assert flow.heard("read") == [True, sent_last]
            status, _, err = flow.end()
            assert status == 1
            assert "doomed" in err
    measured("kill -9 of a receiver that holds messages", f"{ROUNDS} kills, the other one read on")


@pytest.mark.parametrize("target", ["dora", "all", "all but dora"])
def test_kill_of_the_daemon_or_of_everything_leaves_nothing(
    target: str, tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    for folder in rounds(tmp_path):
        with endless(folder) as flow:
            process = flow.start()
            flow.heard("reads", "first")
            flow.heard("reads", "second")
            assert flow.dataflow_id is not None
            assert len(flow.children) == 3
            nodes = [*flow.pids.values(), *flow.children]
            doomed = {"dora": [process.pid], "all": [process.pid, *nodes], "all but dora": nodes}
            flow.kill(*doomed[target])
            status, _, _ = flow.end()
            assert status == (1 if target == "all but dora" else -9)
    what = {"dora": "`dora run`", "all": "`dora run` and its nodes", "all but dora": "all nodes"}
    measured(f"kill -9 of {what[target]}", f"{ROUNDS} times 6 node processes, nothing left")


def test_kill_of_the_daemon_before_its_nodes_have_joined_leaves_nothing(tmp_path: Path) -> None:
    waits = "say('up'); signal.pause()"
    with Flow(tmp_path, {"one": (waits, {"outputs": ["a"]}), "two": (waits, {})}) as flow:
        process = flow.start()
        flow.heard("up", "one")
        flow.heard("up", "two")
        flow.kill(process.pid)
        assert flow.end()[0] == -9


def test_kill_of_the_daemon_while_a_sender_waits_for_room_leaves_nothing(tmp_path: Path) -> None:
    sender = """
        from dora import Node
        node = Node()
        say("dataflow", node.dataflow_id())
        for number in range(100):
            if number == 5:
                say("full")
            node.send_output("out", number)
    """
    stalls = "from dora import Node; node = Node(); say('up'); signal.pause()"
    lossless = {"source": "sender/out", "queue_size": 5, "queue_policy": "backpressure"}
    nodes = {
        "sender": (sender, {"outputs": ["out"]}),
        "stalls": (stalls, {"inputs": {"in": lossless}}),
    }
    with Flow(tmp_path, nodes) as flow:
        process = flow.start()
        flow.heard("full")
        flow.heard("up")
        flow.kill(process.pid)
        assert flow.end()[0] == -9


def test_a_node_that_is_killed_takes_the_children_it_forked_along(tmp_path: Path) -> None:
    with endless(tmp_path) as flow:
        flow.start()
        flow.heard("reads", "first")
        flow.heard("child", "sender")
        flow.kill(flow.pids["sender"])
        status, _, _ = flow.end()
        assert status == 1


def test_kill_of_dora_run_while_it_starts_programs_leaves_none(
    tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    programs = 8
    draw = random.Random(programs)
    nodes = {f"n{number}": ("", {"path": "sleep", "args": "1000"}) for number in range(programs)}
    for folder in rounds(tmp_path):
        with Flow(folder, nodes) as flow:
            pid = flow.start().pid
            children = Path(f"/proc/{pid}/task/{pid}/children")
            until(lambda path=children: bool(path.read_text()), "it starts none")
            select.select([], [], [], draw.uniform(0, 0.05))  # any moment will do
            flow.kill(pid)
    # That none is left is what every test is held to.
    measured(
        "kill -9 of `dora run` while it starts programs",
        f"{ROUNDS} kills, {programs} programs each, none left",
    )

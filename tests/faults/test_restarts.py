"""Nodes of a running pipeline are killed again and again and come back: what waited is not lost.

Every edge is lossless (`backpressure`). A killed node loses what it had in its hands, one message
at most; the rest waits in the pipes, for its next process. Each node notes the numbers that it
takes in a file, so that for each that did not arrive it is known whose hands it was in.
"""

from __future__ import annotations

import random
import signal
import struct
import time
from typing import TYPE_CHECKING

from fault_rig import LONG, Flow, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KILL_FOR_S = 180.0 if LONG else 0.0
LEAST_KILLS = 6
SEED = 99

SOURCE = """
    import numpy as np
    from dora import Node
    node = Node()
    say("dataflow", node.dataflow_id())
    say("up")
    number = 0
    while node.try_recv() is None:
        # Small ones travel in the pipe itself, large ones lie in the sender's memory.
        node.send_output("out", np.full(4000 if number % 3 == 0 else 4, number))
        number += 1
        if os.path.exists("enough"):
            break
    say("sent", number)
"""

TAKES = """
    import struct
    import numpy as np
    from dora import Node
    file = os.open(os.environ["FLOW_NODE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    def note(number):
        os.write(file, struct.pack("<q", number))
    node = Node()
    note(-1)
    say("up")
    for event in node:
        if event["type"] == "INPUT":
            assert event["value"].min() == event["value"].max()
            note(int(event["value"][0]))
            if os.environ["FLOW_NODE"] != "sink":
                node.send_output("out", event["value"].copy())
"""


def test_kills_at_random_lose_only_what_a_node_had_in_its_hands(
    tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    def reads(source: str) -> dict[str, object]:
        return {"in": {"source": f"{source}/out", "queue_size": 20, "queue_policy": "backpressure"}}

    again = {"restart_policy": "on-failure"}
    nodes = {
        "source": (SOURCE, {"outputs": ["out"]}),
        "first": (TAKES, {"inputs": reads("source"), "outputs": ["out"], **again}),
        "second": (TAKES, {"inputs": reads("first"), "outputs": ["out"], **again}),
        "sink": (TAKES, {"inputs": reads("second"), **again}),
    }
    draw = random.Random(SEED)
    kills = dict.fromkeys(("first", "second", "sink"), 0)
    with Flow(tmp_path, nodes) as flow:
        flow.start()
        for node in nodes:
            flow.heard("up", node)
        until_s = time.monotonic() + KILL_FOR_S
        while time.monotonic() < until_s or sum(kills.values()) < LEAST_KILLS:
            doomed = draw.sample(list(kills), draw.choice([1, 1, 1, 2, 3]))
            grown(tmp_path / "sink", draw.randrange(1, 200))
            for node in doomed:
                flow.signal(node, signal.SIGKILL)
                kills[node] += 1
            for node in doomed:
                flow.heard("up", node)
        (tmp_path / "enough").touch()
        (sent,) = flow.heard("sent")
        status, _, err = flow.end()
        assert status == 0, err
    total = sum(kills.values())
    before = [list(range(sent))]
    for node in kills:
        taken = lives(tmp_path / node)
        assert_lost_in_hands_only(before, taken)
        before = taken
    lost = sent - sum(map(len, taken))
    assert taken[-1][-1] == sent - 1, "what was sent last waited in a queue"
    measured(
        "nodes of a lossless pipeline are killed at random and restart",
        f"{total:,} kills in {KILL_FOR_S:.0f} s; {sent:,} messages sent, {lost} lost, all in "
        "the hands of a killed node; none twice, none out of order",
    )


def lives(file: Path) -> list[list[int]]:
    """What each process of a node took."""
    taken: list[list[int]] = []
    for (number,) in struct.iter_unpack("<q", file.read_bytes()):
        if number < 0:
            taken.append([])
        else:
            taken[-1].append(number)
    return taken


def assert_lost_in_hands_only(sender: list[list[int]], receiver: list[list[int]]) -> None:
    """What the receiver did not take was in the hands of a process that was killed."""
    sent = [number for life in sender for number in life]
    taken = [number for life in receiver for number in life]
    assert taken == sorted(set(taken)), "twice, or out of order"
    in_senders_hands = {life[-1] for life in sender if life}
    lost = set(sent) - set(taken) - in_senders_hands
    last, ended = -1, 0
    for life in receiver:
        if life:
            between = {number for number in lost if last < number < life[0]}
            assert len(between) <= ended, f"{between} waited in a queue"
            lost -= between
            last, ended = life[-1], 0
        ended += 1  # what it read last it may not have noted
    assert not lost, f"{lost} waited in a queue"


def grown(file: Path, by: int) -> None:
    """Wait until the sink has kept so many more."""
    wanted = size_of(file) + 8 * by
    until(lambda: size_of(file) >= wanted, "nothing arrives any more")


def size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0

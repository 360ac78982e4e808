"""Nodes of a running pipeline are killed again and again and come back: what waited is not lost.

Every edge is lossless (`backpressure`). A killed node loses what it had in its hands, one message
at most; the rest waits in the pipes, for its next process. The sink keeps the numbers in a file.
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

RELAY = """
    import numpy as np
    from dora import Node
    node = Node()
    say("up")
    for event in node:
        if event["type"] == "INPUT":
            assert event["value"].min() == event["value"].max()
            node.send_output("out", event["value"].copy())
"""

SINK = """
    import struct
    from dora import Node
    node = Node()
    say("up")
    kept = os.open("kept", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for event in node:
        if event["type"] == "INPUT":
            assert event["value"].min() == event["value"].max()
            os.write(kept, struct.pack("<q", int(event["value"][0])))
"""


def test_kills_at_random_lose_only_what_a_node_had_in_its_hands(
    tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    def reads(source: str) -> dict[str, object]:
        return {"in": {"source": f"{source}/out", "queue_size": 20, "queue_policy": "backpressure"}}

    again = {"restart_policy": "on-failure"}
    nodes = {
        "source": (SOURCE, {"outputs": ["out"]}),
        "first": (RELAY, {"inputs": reads("source"), "outputs": ["out"], **again}),
        "second": (RELAY, {"inputs": reads("first"), "outputs": ["out"], **again}),
        "sink": (SINK, {"inputs": reads("second"), **again}),
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
            grown(tmp_path / "kept", draw.randrange(1, 200))
            for node in doomed:
                flow.signal(node, signal.SIGKILL)
                kills[node] += 1
            for node in doomed:
                flow.heard("up", node)
        (tmp_path / "enough").touch()
        (sent,) = flow.heard("sent")
        status, _, err = flow.end()
        assert status == 0, err
    kept = [number for (number,) in struct.iter_unpack("<q", (tmp_path / "kept").read_bytes())]
    assert kept == sorted(set(kept)), "twice, or out of order"
    lost = set(range(sent)) - set(kept)
    total = sum(kills.values())
    assert len(lost) <= total
    assert kept[-1] == sent - 1, "what was sent last waited in a queue"
    measured(
        "nodes of a lossless pipeline are killed at random and restart",
        f"{total} kills in {KILL_FOR_S:.0f} s; {sent:,} messages sent, {len(lost)} lost, all in "
        "the hands of a killed node; none twice, none out of order",
    )


def grown(file: Path, by: int) -> None:
    """Wait until the sink has kept so many more."""
    wanted = size_of(file) + 8 * by
    until(lambda: size_of(file) >= wanted, "nothing arrives any more")


def size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0

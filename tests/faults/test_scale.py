"""Many dataflows one after the other, and one of many nodes: nothing grows, all of it starts."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

from background_rig import Background
from fault_rig import LONG, Flow, resident_bytes, until

from dora.descriptor.packing import pack_plan
from dora.descriptor.planner import load_plan
from dora.wire.visits import Shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CYCLES = 1_000 if LONG else 6
NODES, EDGES_EACH = (200, 5) if LONG else (12, 5)
MIB = 1 << 20

WAITS = """
from dora import Node
node = Node()
print("up", flush=True)
for event in node:
    pass
"""


def test_starting_and_stopping_again_and_again_leaves_the_daemon_as_it_was(
    tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    sender = {"id": "sender", "path": "waits.py", "outputs": ["out"]}
    reader = {"id": "reader", "path": "waits.py", "inputs": {"in": "sender/out"}}
    flow = tmp_path / "flow.yml"
    flow.write_text(json.dumps({"nodes": [sender, reader]}))
    plan = pack_plan(load_plan(flow, environ=os.environ, before_build=False))
    with Background(tmp_path) as daemon:
        daemon.up()

        def cycle() -> None:
            with daemon.client() as client:
                started = client.start(plan)
                with daemon.look(started.id) as watching, daemon.look(started.id) as asking:
                    up = 0
                    for shown in watching.watch(from_start=True):
                        if isinstance(shown, Shown):
                            up += sum(line.message == "up" for line in shown.lines)
                            if up == 2:
                                asking.stop("the test")
                                up = 0
                until(lambda: client.runs()[-1].status != "running", "it does not end")
                assert client.runs()[-1].status == "finished", client.runs()[-1].failure

        def size() -> tuple[int, int, int, set[Path]]:
            files = {*daemon.runtime_dir.rglob("*"), *daemon.state_dir.rglob("*")}
            return daemon.descriptors(), daemon.children(), resident_bytes(daemon.pid), files

        cycle()
        first = size()
        began_s = time.monotonic()
        for _ in range(CYCLES // 2):
            cycle()
        middle = size()
        for _ in range(CYCLES - CYCLES // 2):
            cycle()
        took_s = time.monotonic() - began_s
        until(lambda: daemon.descriptors() <= first[0], "descriptors are left open")
        last = size()
        assert last[1] == first[1] == 0, "processes"
        assert last[3] == first[3], "files"
        assert last[2] - middle[2] < 4 * MIB, "memory"
        daemon.dora("down")
    measured(
        "a dataflow of 2 nodes is started and stopped",
        f"{CYCLES:,} cycles, {took_s / CYCLES * 1000:.0f} ms each; processes {first[1]} and "
        f"{last[1]}, descriptors {first[0]} and {last[0]}, files {len(first[3])} and "
        f"{len(last[3])} before and after; memory of the daemon {first[2] / MIB:.1f} MiB before, "
        f"{middle[2] / MIB:.1f} half-way, {last[2] / MIB:.1f} after",
    )


ONE_OF_MANY = """
    from dora import Node
    node, heard = Node(), set()
    if os.environ["FLOW_NODE"] == "n0":
        say("dataflow", node.dataflow_id())
    for event in node:
        if event["type"] == "INPUT" and event["id"] == "tick":
            node.send_output("out", 1)
        elif event["type"] == "INPUT" and event["id"] not in heard:
            heard.add(event["id"])
            if len(heard) == len(node.node_config()["inputs"]) - 1:
                say("heard all")
    say("stopped")
"""


def test_many_nodes_with_many_edges_start_run_and_stop(
    tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    def inputs(number: int) -> dict[str, str]:
        others = [(number + 1 + step * 7) % NODES for step in range(EDGES_EACH)]
        return {f"from{other}": f"n{other}/out" for other in others}

    nodes = {
        f"n{number}": (
            ONE_OF_MANY,
            {"inputs": {"tick": "dora/timer/millis/500", **inputs(number)}, "outputs": ["out"]},
        )
        for number in range(NODES)
    }
    with Flow(tmp_path, nodes) as flow:
        began_s = time.monotonic()
        process = flow.start()
        for number in range(NODES):
            flow.heard("heard all", f"n{number}")
        up_s = time.monotonic() - began_s
        daemon = resident_bytes(process.pid)
        all_nodes = sum(resident_bytes(pid, "RssAnon") for pid in flow.pids.values())
        process.send_signal(signal.SIGINT)
        began_s = time.monotonic()
        status, _, err = flow.end()
        down_s = time.monotonic() - began_s
        assert status == 0, err
        for number in range(NODES):
            flow.heard("stopped", f"n{number}")
    measured(
        f"{NODES} nodes, {NODES * EDGES_EACH:,} edges",
        f"a message went over every edge {up_s:.1f} s after the start; stopped in {down_s:.1f} s; "
        f"memory of the daemon {daemon / MIB:.0f} MiB, of a node {all_nodes / NODES / MIB:.1f} MiB",
    )

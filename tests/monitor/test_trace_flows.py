"""Real dataflows, looked into while they run: each trace is whole, and its tree is right."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from tests.daemon.live import Live
from tests.daemon.waiting import DEADLINE_S

from dora.monitor.trace_feed import TraceFeed
from dora.monitor.traces import Tree, trees, wait_of
from dora.wire.visits import AskNode

if TYPE_CHECKING:
    from pathlib import Path

CAMERA = """
import numpy as np
from dora import Node
node = Node()
for event in node:
    if event["type"] == "INPUT":
        node.send_output("image", np.zeros((48, 64, 3), np.uint8), {"encoding": "rgb8"})
"""
DETECTOR = """
from dora import Node
node = Node()
say("detector", node.restart_count())
for event in node:
    if event["type"] == "INPUT":
        time.sleep(0.004)
        node.send_output("boxes", [1, 2, 3, 4])
"""
ACTUATOR = """
from dora import Node
node = Node()
for event in node:
    if event["type"] == "INPUT":
        time.sleep(0.002)
"""
TICKS = {"inputs": {"tick": "dora/timer/millis/10"}, "outputs": ["image"]}
DETECTS = {"inputs": {"image": "camera/image"}, "outputs": ["boxes"]}
ACTS = {"inputs": {"boxes": "detector/boxes"}}


def whole(feed: TraceFeed, lines: list[str], after_ns: int = 0) -> list[Tree]:
    """Wait until traces that began later have this tree."""
    spans = []
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        spans += feed.news()
        found = [tree for tree in trees(spans) if tree.start_ns > after_ns]
        if fits := [tree for tree in found if drawn(tree) == lines]:
            return fits
        threading.Event().wait(0.05)  # spans come as messages do: nobody tells of them
    raise AssertionError([drawn(tree) for tree in trees(spans)][-10:])


def drawn(tree: Tree) -> list[str]:
    return [f"{twig}{branch.name}" for twig, branch in tree.lines()]


def test_a_frame_is_followed_from_the_camera_to_the_actuator(tmp_path: Path) -> None:
    nodes: dict[str, Any] = {
        "camera": (CAMERA, TICKS),
        "detector": (DETECTOR, DETECTS),
        "actuator": (ACTUATOR, ACTS),
    }
    tree = ["camera/tick", "└─ detector/image", "   └─ actuator/boxes"]
    with Live(tmp_path, nodes) as live:
        live.heard("detector")
        with live.client() as client:
            feed = TraceFeed(client)
            assert not feed.switch("on", rate_hz=50).was_on
            one = whole(feed, tree)[0]
            _, detector, actuator = (branch.span for _, branch in one.lines())
            assert (detector.source, actuator.source) == ("camera/image", "detector/boxes")
            way = one.way()
            assert [part.node for part in way] == ["camera", "detector", "actuator"]
            assert way[1].compute_ns >= 4_000_000
            assert way[2].compute_ns >= 2_000_000
            # A node that is started again goes on with what waits for it.
            live.ask(AskNode("restart", "detector"))
            assert live.heard("detector") == [1]
            whole(feed, tree, after_ns=time.time_ns())
            assert not feed.switch("off").on
            assert feed.lost == feed.missed == 0


def test_requests_operators_and_asyncio_hand_the_trace_on(tmp_path: Path) -> None:
    (tmp_path / "op.py").write_text(
        "from dora import DoraStatus\n"
        "class Operator:\n"
        "    def on_event(self, event, send):\n"
        "        if event['type'] == 'INPUT':\n"
        "            send('done', event['value'])\n"
        "        return DoraStatus.CONTINUE\n"
    )
    client_code = """
        from dora import Node
        node = Node()
        say("up")
        for event in node:
            if event["type"] == "INPUT":
                answer = node.request("ask", 1, timeout=20)
                node.send_output("out", answer["value"])
        """
    server_code = """
        from dora import Node
        with Node() as node:
            node.serve({"ask": lambda event: event["value"]})
        """
    async_code = """
        import asyncio
        from dora import Node

        async def main():
            node = Node()
            async for event in node:
                if event["type"] == "INPUT":
                    await asyncio.sleep(0.001)
                    node.send_output("end", event["value"])

        asyncio.run(main())
        """
    operators = [
        {"id": name, "python": "op.py", "inputs": {"in": source}, "outputs": ["done"]}
        for name, source in (("first", "client/out"), ("second", "ops/first/done"))
    ]
    nodes: dict[str, Any] = {
        "client": (
            client_code,
            {
                "inputs": {"tick": "dora/timer/millis/20", "answer": "server/answer"},
                "outputs": ["ask", "out"],
            },
        ),
        "server": (server_code, {"inputs": {"ask": "client/ask"}, "outputs": ["answer"]}),
        "ops": ("", {"operators": operators}),
        "tasks": (async_code, {"inputs": {"in": "ops/second/done"}, "outputs": ["end"]}),
        "sink": (ACTUATOR, {"inputs": {"in": "tasks/end"}}),
    }
    with Live(tmp_path, nodes) as live:
        live.heard("up")
        with live.client() as client:
            feed = TraceFeed(client)
            feed.switch("on", rate_hz=50)
            found = whole(
                feed,
                [
                    "client/tick",
                    "└─ server/ask",
                    "   └─ client/answer",
                    "      └─ ops/first/in",
                    "         └─ ops/second/in",
                    "            └─ tasks/in",
                    "               └─ sink/in",
                ],
            )
    for tree in found:
        assert all(sum(wait_of(b.span)) > 0 for _, b in tree.lines() if b.span.sent_ns)


def test_a_circle_is_followed_once_round(tmp_path: Path) -> None:
    ping = """
        from dora import Node
        node = Node()
        node.send_output("out", 0)
        say("up")
        for event in node:
            if event["type"] == "INPUT":
                node.send_output("out", event["value"])
        """
    nodes: dict[str, Any] = {
        "ping": (ping, {"inputs": {"in": "pong/out"}, "outputs": ["out"]}),
        "pong": (
            ping.replace('node.send_output("out", 0)', ""),
            {"inputs": {"in": "ping/out"}, "outputs": ["out"]},
        ),
    }
    with Live(tmp_path, nodes) as live:
        live.heard("up", "ping")
        with live.client() as client:
            feed = TraceFeed(client)
            feed.switch("on", rate_hz=50)
            whole(feed, ["ping/out", "└─ pong/in", "   └─ ping/in", "      └─ pong/in"])

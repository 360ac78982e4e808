"""Type checkers know what an event holds."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NODE = """
from typing import Any, assert_never, assert_type

from dora import Event, Node, NodeFailedEvent, StopEvent

node = Node()
for event in node:
    match event["type"]:
        case "INPUT":
            assert_type(event["id"], str)
            metadata: dict[str, Any] = event["metadata"]
            node.send_output("out", event["value"], metadata)
        case "INPUT_CLOSED" | "INPUT_RECOVERED" | "NODE_RESTARTED":
            assert_type(event["id"], str)
        case "STOP":
            assert_type(event, StopEvent)
            break
        case "ERROR":
            assert_type(event["error"], str)
        case "NODE_FAILED":
            assert_type(event["value"]["affected_input_ids"], list[str])
            assert_type(event, NodeFailedEvent)
        case _:
            assert_never(event["type"])


def handle(event: Event | None) -> None:
    if event is not None and event["type"] == "INPUT":
        print(event["value"], event["metadata"]["timestamp"])
    elif event is not None and event["type"] == "ERROR":
        print(event["error"])


handle(node.next(timeout=1.0))
handle(node.try_recv())


async def main() -> None:
    async for event in node:
        handle(event)
    handle(await node.recv_async(0.5))
"""

WRONG = """
from dora import Node

for event in Node():
    if event["type"] == "STOP":
        print(event["value"])
    elif event["type"] == "IMPUT":
        print(event["id"])
    elif event["type"] == "ERROR":
        print(event["id"])
"""


def check(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "a_node.py").write_text(textwrap.dedent(source))
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder / "cache", "a_node.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_matching_on_the_type_of_an_event_narrows_it(tmp_path: Path) -> None:
    done = check(tmp_path, NODE)
    assert done.returncode == 0, done.stdout


def test_mistakes_about_events_are_found(tmp_path: Path) -> None:
    done = check(tmp_path, WRONG)
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if "error:" in line]
    assert any(":6:" in line and '"value"' in line for line in lines), done.stdout
    assert any(":10:" in line and '"id"' in line for line in lines), done.stdout

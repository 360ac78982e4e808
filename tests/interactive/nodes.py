"""Node files for these tests, and how they are started."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 20.0

ECHO = """
from dora import Node
node = Node()
for event in node:
    print(event["type"], event.get("id"))
    if event["type"] == "INPUT":
        node.send_output("out", event["value"], event["metadata"])
"""


def node_file(folder: Path, code: str = ECHO) -> Path:
    path = folder / "node_under_test.py"
    path.write_text(code)
    return path


def environment(**more: str) -> dict[str, str]:
    """This process's, without what would make the node join something."""
    left_out = {"DORA_NODE_CONFIG", "PYTHONUNBUFFERED"}
    kept = {name: text for name, text in os.environ.items() if name not in left_out}
    return {**kept, "TERM": "xterm", **more}


def piped(
    file: Path, lines: str | None, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a node with this at its stdin; None is `/dev/null`."""
    return subprocess.run(
        [sys.executable, str(file), *arguments],
        input=lines,
        stdin=subprocess.DEVNULL if lines is None else None,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=file.parent,
        env=environment(**more),
        check=False,
    )

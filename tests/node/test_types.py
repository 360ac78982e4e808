"""Type checkers know what an event holds."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

NODE = """
from typing import Any, Literal, assert_never, assert_type

from dora import Event, Node, NodeFailedEvent, StopEvent

node = Node()
for event in node:
    match event["type"]:
        case "INPUT":
            assert_type(event["id"], str)
            metadata: dict[str, Any] = event["metadata"]
            node.send_output("out", event["value"], metadata)
        case "INPUT_CLOSED" | "INPUT_RECOVERED" | "NODE_RESTARTED" | "RELOAD":
            assert_type(event["id"], str)
        case "PARAM_UPDATE" | "PARAM_DELETED":
            print(event["id"], event["value"])
        case "EXTERNAL":
            assert_type(event["kind"], Literal["external"])
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


EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
OF_THE_SPECIFICATION = (
    "basic",
    "events",
    "async",
    "numpy_arrays",
    "arrow_arrays",
    "metadata",
    "logging",
    "environment",
    "processor",
    "spec_vision",
)
WITHOUT_ANNOTATIONS = (
    "--allow-untyped-defs",
    "--allow-untyped-calls",
    "--ignore-missing-imports",
)
"""The specification's functions have none; all else of `--strict` holds."""


def mypy(folder: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    cache = folder.parent / "cache"  # for all tests of this run
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, *args],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def check(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "a_node.py").write_text(textwrap.dedent(source))
    return mypy(folder, "a_node.py")


def test_matching_on_the_type_of_an_event_narrows_it(tmp_path: Path) -> None:
    done = check(tmp_path, NODE)
    assert done.returncode == 0, done.stdout


def test_mistakes_about_events_are_found(tmp_path: Path) -> None:
    done = check(tmp_path, WRONG)
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if "error:" in line]
    assert any(":6:" in line and '"value"' in line for line in lines), done.stdout
    assert any(":10:" in line and '"id"' in line for line in lines), done.stdout


def pyright(folder: Path, *files: Path) -> list[dict[str, Any]]:
    """The errors that pyright finds in files, at its standard strictness."""
    settings = {"typeCheckingMode": "standard", "include": [str(file) for file in files]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "basedpyright",
            "--outputjson",
            "--pythonpath",
            sys.executable,
            "-p",
            str(folder),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] >= len(files), done.stdout
    return [told for told in found["generalDiagnostics"] if told["severity"] == "error"]


def test_pyright_narrows_and_finds_mistakes_too(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(NODE)
    wrong.write_text(WRONG)
    errors = pyright(tmp_path, right, wrong)
    places = {(Path(told["file"]).name, told["range"]["start"]["line"] + 1) for told in errors}
    assert places == {("wrong.py", 6), ("wrong.py", 10)}


def specification(folder: Path) -> list[Path]:
    """The nodes of the specification's examples, under names of their own."""
    copies = []
    for name in OF_THE_SPECIFICATION:
        for node in sorted((EXAMPLES / name).glob("*.py")):
            copy = folder / f"{name}_{node.name}"
            copy.write_text(node.read_text())
            copies.append(copy)
    assert len(copies) > len(OF_THE_SPECIFICATION)
    return copies


def test_pyright_takes_the_examples_of_the_specification(tmp_path: Path) -> None:
    errors = pyright(tmp_path, *specification(tmp_path))
    assert [told for told in errors if told.get("rule") != "reportMissingImports"] == []


def test_mypy_takes_the_examples_of_the_specification(tmp_path: Path) -> None:
    done = mypy(tmp_path, *WITHOUT_ANNOTATIONS, *specification(tmp_path))
    assert done.returncode == 0, done.stdout

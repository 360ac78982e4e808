"""Real dataflows for tests: nodes given as source text, run by `dora run`, and what they said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 40
PRELUDE = '''
import json, os, sys

def say(*facts):
    """One line for the test."""
    sys.stdout.write(json.dumps(["SAID", *facts], default=str) + "\\n")
    sys.stdout.flush()

'''
_RUN = "import sys; from dora.cli.main import main; sys.argv[0] = 'dora'; sys.exit(main())"


class Ran:
    """A dataflow that has ended."""

    def __init__(self, folder: Path, status: int, text: str) -> None:
        self.status = status
        self.text = text
        """All that `dora run` showed."""
        self._folder = folder

    def said(self, node: str) -> list[Any]:
        """What a node told by `say`, in order; a single fact stands for itself."""
        facts = [json.loads(line) for line in self.lines(node) if line.startswith('["SAID"')]
        return [fact[1] if len(fact) == 2 else fact[1:] for fact in facts]

    def lines(self, node: str, stream: str = "stdout") -> list[str]:
        """The lines that a node wrote."""
        return [entry["msg"] for entry in self.entries(node) if entry["stream"] == stream]

    def entries(self, node: str) -> list[dict[str, Any]]:
        """The entries of a node's log file."""
        (file,) = self._folder.glob(f"out/*/log_{node}.jsonl")
        return [json.loads(line) for line in file.read_text().splitlines()]


class Flow:
    """A dataflow in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._nodes: list[dict[str, Any]] = []

    def node(
        self,
        node_id: str,
        source: str,
        inputs: dict[str, Any] | None = None,
        outputs: list[str] | None = None,
        **more: Any,
    ) -> Flow:
        """Add a node whose file holds `source`, behind `say`."""
        file = self.folder / f"{node_id}.py"
        file.write_text(PRELUDE + textwrap.dedent(source))
        entry: dict[str, Any] = {"id": node_id, "path": file.name, **more}
        if inputs:
            entry["inputs"] = inputs
        if outputs:
            entry["outputs"] = outputs
        self._nodes.append(entry)
        return self

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `dora run`; its output is a pipe."""
        file = self.folder / "flow.yml"
        file.write_text(json.dumps({"nodes": self._nodes}))
        return subprocess.Popen(
            [sys.executable, "-c", _RUN, "run", str(file), *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONFAULTHANDLER": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, status: int | None = 0) -> Ran:
        """Run the dataflow until it ends."""
        return self.finish(self.start(*arguments), status)

    def finish(self, process: subprocess.Popen[str], status: int | None = 0) -> Ran:
        """Wait until a started dataflow ends."""
        try:
            text, _ = process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.kill()
            text, _ = process.communicate()
            raise AssertionError(f"the dataflow did not end:\n{text}") from None
        ran = Ran(self.folder, process.returncode, text)
        if status is not None:
            assert process.returncode == status, text
        return ran

"""`dora build`, and the first step of `dora run`: the `build` commands of the nodes.

Each command is words, read by no shell. `python` and `pip` mean those of the interpreter that runs
dora, so that a node finds what its build installed.

Takes a plan from `descriptor.planner`. Elsewhere: splitting the lines (`descriptor.command`).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections import deque
from importlib.util import find_spec
from typing import TYPE_CHECKING

from dora.errors import DoraError

if TYPE_CHECKING:
    from pathlib import Path

    from dora.descriptor.plan import NodePlan, Plan

_LAST_LINES = 10


class BuildError(DoraError):
    """A build command of a node failed."""


def build_plan(plan: Plan, *, uv: bool = False) -> None:
    """Run the build commands of all nodes, in file order, and show what they print.

    Args:
        plan: What to build; its nodes need not be runnable yet.
        uv: `pip` means `uv pip`.

    Raises:
        BuildError: a command failed or does not exist; later ones are not run.
    """
    for node in plan.nodes:
        for words in node.build:
            _run(node, words, _translate(words, uv=uv), plan.working_dir)


def _translate(words: tuple[str, ...], *, uv: bool) -> tuple[str, ...]:
    """The command with `python` and `pip` of the interpreter that runs dora."""
    name, *rest = words
    if name in {"python", "python3"}:
        return (sys.executable, *rest)
    if name not in {"pip", "pip3"}:
        return words
    # Environments made by uv hold no pip.
    if (uv or find_spec("pip") is None) and (found := shutil.which("uv")):
        into = ["--python", sys.executable] if rest[:1] in (["install"], ["uninstall"]) else []
        return (found, "pip", *rest[:1], *into, *rest[1:])
    return (sys.executable, "-m", "pip", *rest)


def _run(node: NodePlan, words: tuple[str, ...], argv: tuple[str, ...], cwd: Path) -> None:
    line = shlex.join(words)
    print(f"{node.id}: build: {line}", flush=True)
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **node.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as exc:
        raise BuildError(
            f"node `{node.id}`: the build command `{line}` cannot be run: {exc.strerror}: "
            f"`{argv[0]}`"
        ) from exc
    with process:
        assert process.stdout is not None
        for raw in process.stdout:
            text = raw.decode(errors="replace").rstrip("\r\n")
            last.append(text)
            print(f"{node.id}: {text}", flush=True)
    if process.returncode != 0:
        raise BuildError(_failure(node, line, process.returncode, list(last)))


def _failure(node: NodePlan, line: str, status: int, last: list[str]) -> str:
    how = f"exited with status {status}" if status > 0 else f"was ended by signal {-status}"
    told = f"node `{node.id}`: the build command `{line}` {how}"
    if not last:
        return f"{told}; it printed nothing"
    return "\n".join([f"{told}; its last lines:", *(f"  {text}" for text in last)])

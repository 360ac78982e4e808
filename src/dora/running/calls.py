"""`dora.build` and `dora.run`: what the commands of these names do, for programs.

They may be called from any thread, and where an event loop runs already. What nodes print goes to
standard output, as with `dora run`. Mistakes and failures are exceptions, with the texts that the
commands print.

Elsewhere: planning (`descriptor.planner`), building (`building.dataflow`), running
(`running.foreground`), the commands (`cli.main`).
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dora.building.dataflow import BuildOptions, Built, build_dataflow
from dora.daemon.report import failure_text, summary_text
from dora.descriptor.planner import load_plan
from dora.errors import DataflowFailedError
from dora.running.foreground import Foreground
from dora.running.options import RunOptions

if TYPE_CHECKING:
    from dora.descriptor.plan import Plan

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})


def build(
    dataflow_path: str | os.PathLike[str],
    uv: bool | None = None,
    coordinator_addr: str | None = None,
    coordinator_port: int | None = None,
    force_local: bool = False,
) -> None:
    """Build the nodes of a dataflow: run their `build` lines, fetch their repositories and files.

    Args:
        dataflow_path: The dataflow file.
        uv: Build by uv, in environments of their own.
        coordinator_addr: Accepted for dora-rs's sake: all is built on this machine.
        coordinator_port: Likewise.
        force_local: Likewise.

    Raises:
        DescriptorError: the file has mistakes; it carries all of them.
        DoraError: a node could not be built; the message has the last lines of the command.
    """
    del coordinator_addr, coordinator_port, force_local
    plan = _plan(dataflow_path, uv=bool(uv), allow_shell=True, before_build=True)
    _warn(plan)
    _build(plan, BuildOptions(uv=bool(uv)))


def run(
    dataflow_path: str | os.PathLike[str],
    uv: bool | None = None,
    stop_after: float | None = None,
) -> None:
    """Build the nodes of a dataflow, run it, and return when all have finished.

    In the main thread, Ctrl-C stops the dataflow, and this returns.

    Args:
        dataflow_path: The dataflow file.
        uv: Build and run Python nodes by uv.
        stop_after: Stop the dataflow after so many seconds.

    Raises:
        DescriptorError: the file has mistakes; it carries all of them.
        DataflowFailedError: a node failed; the message is what `dora run` prints.
        DoraError: a node could not be built.
        ValueError: `stop_after` is negative or not finite.
    """
    if stop_after is not None and not (stop_after >= 0 and math.isfinite(stop_after)):
        raise ValueError(f"`stop_after` is {stop_after}; it is a finite number of seconds")
    allow = os.environ.get("DORA_ALLOW_SHELL_NODES", "").strip().lower() in _TRUE
    plan = _plan(dataflow_path, uv=bool(uv), allow_shell=allow, before_build=True)
    _warn(plan)
    if plan.needs_build:
        built = _build(plan, BuildOptions(uv=bool(uv), trusting=True))
        plan = _plan(dataflow_path, uv=bool(uv), allow_shell=allow, clones=built.clones)
    foreground = Foreground(plan, RunOptions(stop_after_s=stop_after))
    outcome = foreground.run_aside() if _in_a_loop() else foreground.run()
    print(summary_text(outcome), file=sys.stderr)
    if not outcome.ok:
        raise DataflowFailedError(failure_text(outcome))


def _plan(
    path: str | os.PathLike[str],
    *,
    uv: bool,
    allow_shell: bool,
    before_build: bool = False,
    clones: dict[str, Path] | None = None,
) -> Plan:
    return load_plan(
        Path(path),
        environ=os.environ,
        uv=uv,
        allow_shell=allow_shell,
        before_build=before_build,
        clones=clones,
    )


def _warn(plan: Plan) -> None:
    for warning in plan.all_warnings:
        print(f"WARNING {warning}", file=sys.stderr)


def _build(plan: Plan, options: BuildOptions) -> Built:
    if not plan.needs_build:
        return Built()
    return build_dataflow(plan, options, lambda node, line: print(f"{node}: {line}", flush=True))


def _in_a_loop() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True

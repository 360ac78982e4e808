"""`dora build`, and the first step of `dora run`: progress on the terminal, what it came to.

Takes a plan from `descriptor.planner`. Elsewhere: building (`building.dataflow`), flags
(`cli.main`), making an environment fit for node packages (`building.prepare`).
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dora.building.commands import BuildError
from dora.building.dataflow import BuildOptions, Built, build_dataflow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dora.descriptor.plan import Plan

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def options_of(
    fetch: Mapping[str, Any], *, uv: bool, parallel: bool = False, trusting: bool = False
) -> BuildOptions:
    """How to build, from what the command line says.

    Args:
        fetch: The flags that `dora build` and `dora run` share.
        uv: Build by uv.
        parallel: Build nodes side by side.
        trusting: Leave out what was done before.

    Raises:
        BuildError: flags contradict each other, or one makes no sense.
    """
    for override in fetch["hub_override"]:
        if "=" not in override:
            raise BuildError(f"`--hub-override {override}` has no path; write `NAME=PATH`")
    if fetch["locked"] and fetch["write_lockfile"]:
        raise BuildError(
            "`--locked` obeys the lock file and `--write-lockfile` writes it: keep one"
        )
    known = {name: value for name, value in fetch.items() if name != "hub_override"}
    return BuildOptions(uv=uv, parallel=parallel, trusting=trusting, **known)


def build_plan(plan: Plan, options: BuildOptions) -> Built:
    """Build the nodes of a plan and show what happens, each line with its node's name.

    SIGTERM and SIGHUP end it as Ctrl-C does: what it runs must not outlive it.

    Raises:
        BuildError: a node could not be built.
    """
    if not plan.needs_build:
        return Built()
    with _ended_by_signals():
        return build_dataflow(plan, options, _say)


def build_and_tell(plan: Plan, options: BuildOptions, flow: str) -> str:
    """Build the nodes of a plan; what it came to, in a sentence.

    Raises:
        BuildError: a node could not be built.
    """
    if not plan.needs_build:
        return f"{flow}: no builds"
    started_s = time.monotonic()
    built = build_plan(plan, options)
    took_s = time.monotonic() - started_s
    commands = "1 build command" if built.commands == 1 else f"{built.commands} build commands"
    return f"{flow}: built in {took_s:.1f} s ({commands} run)"


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Have the signals that would kill this process interrupt it instead."""
    # Where another handler stands, somebody wants it otherwise, as `nohup` does.
    deadly = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in deadly:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in deadly:
            signal.signal(number, signal.SIG_DFL)


def _say(node_id: str, line: str) -> None:
    print(f"{node_id}: {line}", flush=True)

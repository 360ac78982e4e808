"""`dora start`: plan here, have the background daemon run it, and maybe watch.

Mistakes in the file are told at this terminal. Elsewhere: flags (`cli.start_command`), watching
(`running.attached`), the daemon (`background.daemon`).
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dora import client
from dora.cli.options import LOG_FORMATS, parse_choice, parse_log_filter
from dora.cli.run import tell_end
from dora.descriptor.packing import pack_plan
from dora.errors import DoraError
from dora.ids import LOG_LEVELS
from dora.running.options import RunOptions

if TYPE_CHECKING:
    from dora.client import DaemonClient
    from dora.descriptor.plan import Plan
    from dora.wire.background import Run


def shown_as() -> RunOptions:
    """How lines are shown, by the variables that `dora run` obeys too.

    Raises:
        ValueError: one of them makes no sense.
    """
    told = os.environ.get
    return RunOptions(
        log_level=parse_choice(told("DORA_LOG_LEVEL") or "stdout", LOG_LEVELS, "log level"),
        log_format=parse_choice(told("DORA_LOG_FORMAT") or "pretty", LOG_FORMATS, "log format"),
        log_filter=parse_log_filter(told("DORA_LOG_FILTER") or ""),
    )


def start_flow(
    flow: Path,
    *,
    options: RunOptions,
    name: str | None,
    attach: bool | None,
    hot_reload: bool,
    **how: Any,
) -> int:
    """Start a dataflow; the exit status of the command.

    Args:
        flow: Its file.
        options: How lines are shown, where they are.
        name: What to call it.
        attach: Whether to stay and watch; None: at a terminal.
        hot_reload: Whether nodes are started again when their files change.
        how: What `load_plan` is told besides.

    Raises:
        DoraError: there is no daemon, the file has mistakes, or it cannot be started.
    """
    with client.daemon() as daemon:
        packed = pack_plan(_planned(flow, how))
        if attach is None:
            attach = os.isatty(1)
            if not attach:
                click.echo("non-interactive mode: running in background", err=True)
        if attach:
            import dora.running.attached  # noqa: F401  # now, not while the first lines come
        started = daemon.start(packed, name, hot_reload)
        click.echo(f"dataflow start triggered: {started.id}")
        click.echo(f"dataflow started: {started.id}")
        sys.stdout.flush()
        return _attach(daemon, started.id, options) if attach else 0


def _planned(flow: Path, how: dict[str, Any]) -> Plan:
    """The plan of what was built before; this builds nothing."""
    from dora.descriptor.planner import load_plan

    load = partial(load_plan, flow, environ=os.environ, **how)
    plan = load(before_build=True)
    for warning in plan.all_warnings:
        click.echo(f"WARNING {warning}", err=True)
    if not plan.needs_build:
        return plan
    from dora.building.record import clones_of, read_record

    record = read_record(plan.working_dir, plan.name)
    unbuilt = [node.id for node in plan.nodes if node.build and node.id not in record.nodes]
    if unbuilt:
        listed = ", ".join(f"`{node}`" for node in unbuilt)
        click.echo(f"WARNING {listed}: never built here; `dora build {flow}` does", err=True)
    return load(before_build=False, clones=clones_of(plan))


def _attach(daemon: DaemonClient, dataflow: str, options: RunOptions) -> int:
    from dora.running.attached import AbandonedError, Attached

    attached = Attached(dataflow, options)
    try:
        ended = attached.run()
    except AbandonedError as exc:
        if str(exc):
            click.echo(f"[ERROR] {exc}", err=True)
        return 1
    if ended is not None:
        return tell_end(ended.failures, ended.summary)
    try:
        run = next(run for run in daemon.runs() if run.id == dataflow)
    except DoraError as exc:
        raise DoraError("the background daemon is gone, and the dataflow with it") from exc
    if not attached.seen:
        _show_afterwards(run, options)
    return tell_end(run.failure, run.summary)


def _show_afterwards(run: Run, options: RunOptions) -> None:
    """Show the lines of a dataflow that was over before it could be watched."""
    from dora.cli.logs import Logs
    from dora.monitor.log_places import Place
    from dora.monitor.log_records import Wanted

    folder = Path(run.log_dir)
    if folder.is_dir():  # else nothing was printed
        wanted = Wanted(level=options.log_level, levels=options.log_filter)
        Logs(Place(folder, run.id), None, wanted, options.log_format).show(None, follow=False)

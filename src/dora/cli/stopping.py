"""`dora stop` and `dora restart`: which dataflow, and waiting until it has really ended.

Elsewhere: flags (`cli.dataflow_commands`), the stop itself (`daemon.supervisor`).
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click

from dora import client
from dora.client import Client, GoneError
from dora.errors import DoraError
from dora.monitor.log_places import known_runs
from dora.transport import endpoint
from dora.wire.visits import Ended

if TYPE_CHECKING:
    from dora.wire.background import Run
    from dora.wire.visits import Dataflow

_NONE = "No dataflows are running."


def stop_one(wanted: str | None, grace_s: float | None, force: bool) -> int:
    """Stop one dataflow; the exit status of the command.

    Raises:
        DoraError: there is no such dataflow.
    """
    if wanted is not None and (run := _over(wanted)) is not None:
        click.echo(f"Dataflow `{run.name}` ({run.id}) has ended already: {run.status}.")
        return _told([run.failure] if run.failure else [])
    dataflow = _chosen(wanted)
    if dataflow is None:
        click.echo(f"{_NONE} Use `dora list` to check dataflow status.")
        return 0
    failure = _stop([dataflow], "dora stop", grace_s, force)
    click.echo(f"Stopped dataflow `{dataflow.name}` ({dataflow.id}).")
    return _told(failure)


def stop_all(grace_s: float | None, force: bool) -> int:
    """Stop all dataflows; the exit status of the command."""
    here = client.running()
    if not here:
        click.echo(_NONE)
        return 0
    failures = _stop(here, "dora stop --all", grace_s, force)
    click.echo(f"Stopped {len(here)} dataflow(s).")
    return _told(failures)


def restart_one(wanted: str | None, grace_s: float | None, force: bool) -> int:
    """Stop one dataflow of the background daemon and start it again.

    Raises:
        DoraError: there is no such dataflow, it is one of `dora run`, or it cannot be started.
    """
    dataflow = _chosen(wanted)
    if dataflow is None:
        click.echo(_NONE)
        return 0
    with client.daemon() as daemon:
        if dataflow.id not in {run.id for run in daemon.runs()}:
            raise DoraError(
                f"`{dataflow.name}` ({dataflow.id}) is not one of the background daemon; stop it "
                "(`dora stop`) and start it where it was started"
            )
        before = daemon.plan_of(dataflow.id)
        failures = _stop([dataflow], "dora restart", grace_s, force)
        started = daemon.start(before.plan, dataflow.name, before.hot_reload, dataflow.id)
    for failure in failures:
        click.echo(f"WARNING before: {failure}", err=True)
    click.echo(f"dataflow restarted: {dataflow.id} -> {started.id}")
    return 0


def _over(wanted: str) -> Run | None:
    """The latest dataflow of the background daemon that is meant, if none that runs is."""
    if any(wanted == flow.name or flow.id.startswith(wanted) for flow in client.running()):
        return None
    meant = [run for run in known_runs() if wanted == run.name or run.id.startswith(wanted)]
    return meant[-1] if meant and meant[-1].status != "running" else None


def _chosen(wanted: str | None) -> Dataflow | None:
    """The dataflow that is meant; None if none runs."""
    if wanted is not None:
        with client.connect(wanted) as connected:
            return connected.dataflow
    here = client.running()
    if len(here) <= 1:
        return here[0] if here else None
    lines = [f"  {number}  {one.name}  {one.id}" for number, one in enumerate(here, 1)]
    listed = "\n".join(lines)
    if not (os.isatty(0) and os.isatty(1)):
        raise DoraError(f"several dataflows run; name one of them:\n{listed}")
    click.echo(f"several dataflows run:\n{listed}")
    number = click.prompt("which one", type=click.IntRange(1, len(here)))
    return here[number - 1]


def _stop(dataflows: list[Dataflow], why: str, grace_s: float | None, force: bool) -> list[str]:
    """Stop dataflows, all at once, and wait until they have ended; what is told of failures."""
    failures = []
    with contextlib.ExitStack() as stack:
        watching = []
        for dataflow in dataflows:
            address = endpoint.address_of(dataflow.id)
            try:
                watched = stack.enter_context(Client(address))
                asking = stack.enter_context(Client(address))
                shown = watched.watch()
                asking.stop(why, grace_s, force)
            except (OSError, GoneError):
                continue  # it has just ended by itself
            watching.append((asking, shown))
        for asking, shown in watching:
            with contextlib.suppress(GoneError):  # it was killed
                for answer in shown:
                    if isinstance(answer, Ended) and not answer.ok:
                        failures.append(answer.failures)
            asking.wait_ended()
    return failures


def _told(failures: list[str]) -> int:
    for failure in failures:
        click.echo(f"\n[ERROR] {failure}", err=True)
    return 1 if failures else 0

"""`dora doctor`, `dora status` (`check`, `system status`): their flags, and what they print.

Elsewhere: the single checks, and asking the background daemon (`cli.health`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dora.cli.flags import FLOW, Command, Group, coordinator_flags, format_flag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dora.cli.health import Background
    from dora.wire.visits import Dataflow

_FLOW = click.option("--dataflow", "flow", type=FLOW, metavar="PATH", help="Check this file too.")


@click.command(cls=Command, epilog="Example: dora doctor --dataflow dataflow.yml")
@_FLOW
@coordinator_flags
def doctor(flow: Path | None) -> int:
    """Check whether this machine can run dataflows."""
    from dora.cli.health import examine
    from dora.errors import DoraError

    levels = []
    for finding in examine(flow):
        click.echo(f"  {finding.level}  {finding.subject}: {finding.told}")
        levels.append(finding.level)
    click.echo()
    if failed := levels.count("FAIL"):
        raise DoraError(f"{failed} check(s) failed")
    warned = levels.count("WARN")
    click.echo(f"  PASS  All checks passed{f', {warned} with a warning' if warned else ''}")
    return 0


@click.command(cls=Command, epilog="Example: dora status -f json")
@_FLOW
@format_flag("How to print it.")
@coordinator_flags
def status(flow: Path | None, form: str) -> int:
    """Tell whether the daemon runs, and which dataflows. The status is 1 if it does not.

    Dataflows of `dora run`, which needs no background daemon, count too.
    """
    from dora import client
    from dora.cli.health import ask_background, validated
    from dora.errors import DoraError

    background, dataflows = ask_background(), client.running()
    if form == "json":
        import json

        click.echo(json.dumps(_document(background, len(dataflows)), indent=2))
    else:
        for line in _lines(background, dataflows):
            click.echo(line)
    if flow is not None:
        told = validated(flow)
        if form != "json":
            click.echo(f"✓ Dataflow: {told}")
    if background.daemon is None:
        raise DoraError(background.refusal or "no background daemon runs; start it with `dora up`")
    return 0


@click.group(cls=Group)
def system() -> None:
    """Look after what runs dataflows."""


system.add_command(status, "status")


def _document(background: Background, dataflows: int) -> dict[str, Any]:
    """What `status -f json` prints; documented in `docs/commands.md`."""
    if background.daemon is not None:
        daemon = {
            "status": "running",
            "pid": background.daemon.pid,
            "version": background.daemon.version,
            "started": background.started,
        }
    else:
        daemon = {"status": "unknown" if background.refusal else "not running"}
    coordinator = {"status": "not running"}
    if background.listens:
        coordinator = {"status": "running", "address": background.address}
    return {"coordinator": coordinator, "daemon": daemon, "active_dataflows": dataflows}


def _lines(background: Background, dataflows: list[Dataflow]) -> Iterator[str]:
    """The same for people, in dora-rs's words."""
    if background.listens:
        yield "✓ Coordinator: Running"
        yield f"  Address: {background.address}"
    else:
        yield "✗ Coordinator: Not running"
    if background.daemon is not None:
        yield "✓ Daemon: Running"
        yield f"  {background.described}"
    else:
        yield f"✗ Daemon: {'Unknown' if background.refusal else 'Not running'}"
    yield f"Active dataflows: {len(dataflows)}"
    for flow in dataflows:
        yield f"  {flow.id}  {flow.name}: {', '.join(flow.nodes)}"

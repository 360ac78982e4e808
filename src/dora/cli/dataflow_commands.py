"""`dora stop`, `restart`, `list` and `clean`: their flags and help.

Elsewhere: stopping and choosing (`cli.stopping`), what is listed (`cli.listing`).
"""

from __future__ import annotations

import click

from dora.cli.flags import Command, coordinator_flags, format_flag, parsed
from dora.cli.options import parse_duration


@click.command(cls=Command, epilog="Example: dora stop demo --grace-duration 5s")
@click.argument("dataflow", metavar="[NAME_OR_UUID]", required=False)
@click.option("-n", "--name", metavar="NAME_OR_UUID", help="The same, as a flag.")
@click.option("--all", "everything", is_flag=True, help="Stop every dataflow that runs here.")
@click.option(
    "--grace-duration",
    "grace_s",
    metavar="DURATION",
    callback=parsed(parse_duration),
    help="Send SIGTERM to nodes that have not ended so long after STOP (10s), SIGKILL half as "
    "long after that.",
)
@click.option("-f", "--force", is_flag=True, help="Kill all nodes at once.")
@coordinator_flags
def stop(
    dataflow: str | None, name: str | None, everything: bool, grace_s: float | None, force: bool
) -> int:
    """Stop a running dataflow. Without a name the only one, also that of `dora run`."""
    wanted = _one_of(dataflow, name)
    if everything and wanted:
        raise click.UsageError("`--all` and a name exclude each other")
    from dora.cli.stopping import stop_all, stop_one

    return stop_all(grace_s, force) if everything else stop_one(wanted, grace_s, force)


@click.command(cls=Command, epilog="Example: dora restart demo")
@click.argument("dataflow", metavar="[NAME_OR_UUID]", required=False)
@click.option("-n", "--name", metavar="NAME_OR_UUID", help="The same, as a flag.")
@click.option(
    "--grace-duration",
    "grace_s",
    metavar="DURATION",
    callback=parsed(parse_duration),
    help="As with `dora stop`.",
)
@click.option("-f", "--force", is_flag=True, help="Kill all nodes at once, before.")
@coordinator_flags
def restart(dataflow: str | None, name: str | None, grace_s: float | None, force: bool) -> int:
    """Start a background dataflow again, as it was started before."""
    from dora.cli.stopping import restart_one

    return restart_one(_one_of(dataflow, name), grace_s, force)


@click.command("list", cls=Command, epilog="Example: dora list --format json")
@format_flag("json: one object a line.")
@click.option("--status", type=click.Choice(["running", "finished", "failed"]), help="Only those.")
@click.option("--name", metavar="PATTERN", help="Only those with this in their name.")
@click.option("--sort-by", type=click.Choice(["cpu", "memory"]), help="The largest first.")
@click.option("-q", "--quiet", is_flag=True, help="Print UUIDs only.")
@coordinator_flags
def list_(form: str, status: str | None, name: str | None, sort_by: str | None, quiet: bool) -> int:
    """List dataflows that run, and those the daemon remembers."""
    from dora.cli.listing import as_json, as_table, listed

    rows = listed(status, name, sort_by, measured=not quiet)
    for line in (
        [row.uuid for row in rows] if quiet else (as_json if form == "json" else as_table)(rows)
    ):
        click.echo(line)
    return 0


@click.command(cls=Command, epilog="Example: dora clean")
@format_flag("json: one object a line.")
@click.option("-q", "--quiet", is_flag=True, help="Print UUIDs only.")
@coordinator_flags
def clean(form: str, quiet: bool) -> int:
    """Have the daemon forget dataflows that are over; log files stay."""
    from dora import client
    from dora.cli.listing import as_forgotten

    with client.daemon() as daemon:
        runs = daemon.forget()
    if not runs:
        click.echo("No finished or failed dataflows to clean.", err=True)
        return 0
    for line in as_forgotten(runs, "quiet" if quiet else form):
        click.echo(line)
    if form == "table" and not quiet:
        click.echo(f"Cleaned {len(runs)} dataflow(s).", err=True)
    return 0


def _one_of(argument: str | None, flag: str | None) -> str | None:
    if argument and flag and argument != flag:
        raise click.UsageError(f"which one: `{argument}` or `{flag}`?")
    return argument or flag

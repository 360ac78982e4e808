"""`dora up` and `dora down`: their flags and help.

Elsewhere: starting the daemon (`background.spawn`), talking to it (`dora.client`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dora.cli.flags import Command, coordinator_flags

if TYPE_CHECKING:
    from dora.wire.background import Daemon


@click.command(cls=Command, epilog="Example: dora up")
@click.option(
    "--recreate-store",
    is_flag=True,
    help="Put the state of earlier daemons away as `.backup` and begin anew.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Have this dora take over from the daemon that runs, as after an upgrade; no node stops.",
)
@click.option("--auth", is_flag=True, hidden=True, help="Accepted; only you can reach it anyway.")
@click.option("--interface", hidden=True, help="Accepted; it listens on no network.")
@coordinator_flags
def up(recreate_store: bool, replace: bool, auth: bool, interface: str | None) -> int:
    """Start the background daemon of this checkout, for `dora start`."""
    del auth, interface
    from dora.background.spawn import bring_up, replace_daemon

    if replace and (replaced := replace_daemon()) is not None:
        click.echo(f"daemon replaced ({_who(replaced)}): dora {replaced.version}")
        return 0
    daemon, started = bring_up(recreate_store=recreate_store, warn=_warn)
    if started:
        click.echo(f"started dora daemon ({_who(daemon)})")
    else:
        click.echo(f"daemon already running ({_who(daemon)})")
    return 0


@click.command(cls=Command, epilog="Example: dora down")
@click.option("--force", is_flag=True, help="Stop the dataflows that it runs, first.")
@coordinator_flags
def down(force: bool) -> int:
    """End the background daemon. Refused while it runs dataflows."""
    from dora import client

    with client.daemon() as daemon:
        if force and daemon.daemon.running:
            click.echo(f"stopping {daemon.daemon.running} dataflow(s)")
        daemon.shutdown(force)
        click.echo(f"daemon ended (pid {daemon.daemon.pid})")
    return 0


def _who(daemon: Daemon) -> str:
    where = f"pid {daemon.pid}"
    return f"{where}, for `{daemon.checkout}`" if daemon.checkout else where


def _warn(text: str) -> None:
    click.echo(f"WARNING {text}", err=True)

"""`dora node ...`: commands on single nodes of running dataflows.

Elsewhere: talking to the daemon (`dora.client`).
"""

from __future__ import annotations

import click

from dora.cli.flags import complete_nodes, dataflow_flag


@click.group()
def node() -> None:
    """Look at single nodes of running dataflows."""


@node.command(epilog="Example: dora node stack camera")
@click.argument("node_id", metavar="NODE", shell_complete=complete_nodes)
@dataflow_flag
def stack(node_id: str, dataflow: str | None) -> int:
    """Print what NODE is doing: the Python stack of all its threads, without disturbing it."""
    from dora import client

    with client.connect(dataflow, node_id) as connected:
        click.echo(connected.stack(node_id), nl=False)
    return 0

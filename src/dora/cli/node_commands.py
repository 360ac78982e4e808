"""`dora node ...`: commands on single nodes of running dataflows.

Elsewhere: talking to the daemon (`dora.client`), what listings look like (`cli.top`).
"""

from __future__ import annotations

import click

from dora.cli.flags import (
    Group,
    complete_nodes,
    coordinator_flags,
    dataflow_flag,
    format_flag,
    only_dataflow_flag,
)
from dora.cli.node_change_commands import CHANGES

_format_flag = format_flag("How it looks.")


@click.group(cls=Group)
def node() -> None:
    """Look at single nodes of running dataflows, and change them."""


for _command in CHANGES:
    node.add_command(_command)


@node.command("list", epilog="Example: dora node list -f json")
@only_dataflow_flag
@_format_flag
@click.option("-q", "--quiet", is_flag=True, help="Print the ids only, one a line.")
@coordinator_flags
def list_(dataflow: str | None, form: str, quiet: bool) -> int:
    """List the nodes of running dataflows: status, process, CPU, memory, restarts.

    CPU and memory are those of a node with all processes it started; 100% is one core. JSON is one
    object a line, all values strings.
    """
    from dora.cli.top import print_nodes

    print_nodes(dataflow, as_json=form == "json", quiet=quiet)
    return 0


@node.command(epilog="Example: dora node info camera")
@click.argument("node_id", metavar="NODE", shell_complete=complete_nodes)
@dataflow_flag
@_format_flag
@coordinator_flags
def info(node_id: str, dataflow: str | None, form: str) -> int:
    """Tell everything about NODE: inputs, outputs, who reads them, restart policy, what it uses."""
    from dora.cli.top import print_node

    print_node(node_id, dataflow, as_json=form == "json")
    return 0


@node.command(epilog="Example: dora node stack camera")
@click.argument("node_id", metavar="NODE", shell_complete=complete_nodes)
@dataflow_flag
def stack(node_id: str, dataflow: str | None) -> int:
    """Print what NODE is doing: the Python stack of all its threads, without disturbing it."""
    from dora import client

    with client.connect(dataflow, node_id) as connected:
        click.echo(connected.stack(node_id), nl=False)
    return 0

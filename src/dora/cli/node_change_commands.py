"""`dora node restart|stop|remove|add|replace|connect|disconnect`: changing a dataflow that runs.

Elsewhere: what these do (`cli.node_changes`), the group (`cli.node_commands`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dora.cli.flags import (
    FLOW,
    Command,
    complete_nodes,
    coordinator_flags,
    dataflow_flag,
    parsed,
    shell_flag,
)
from dora.cli.options import parse_duration

if TYPE_CHECKING:
    from pathlib import Path

_node_argument = click.argument("node_id", metavar="NODE", shell_complete=complete_nodes)
_grace_flag = click.option(
    "--grace",
    metavar="DURATION",
    callback=parsed(parse_duration),
    help="From STOP to SIGTERM, 5s by default; half as long again to SIGKILL.",
)
_from_yaml_flag = click.option(
    "--from-yaml",
    "file",
    type=FLOW,
    required=True,
    help="The node: a mapping with `id` and `path` as under `nodes:` of a dataflow file.",
)
_uv_flag = click.option("--uv", is_flag=True, help="Run Python nodes by uv.")


@click.command(cls=Command, epilog="Example: dora node restart camera --grace 2s")
@_node_argument
@dataflow_flag
@_grace_flag
@coordinator_flags
def restart(node_id: str, dataflow: str | None, grace: float | None) -> int:
    """Stop NODE and start it again: what waits for it is read by its next process."""
    from dora.cli.node_changes import end_node

    return end_node("restart", node_id, dataflow, grace)


@click.command(cls=Command, epilog="Example: dora node stop camera")
@_node_argument
@dataflow_flag
@_grace_flag
@coordinator_flags
def stop(node_id: str, dataflow: str | None, grace: float | None) -> int:
    """Stop NODE for good, whatever its restart policy; the others go on."""
    from dora.cli.node_changes import end_node

    return end_node("stop", node_id, dataflow, grace)


@click.command(cls=Command, epilog="Example: dora node remove filter")
@_node_argument
@dataflow_flag
@_grace_flag
@coordinator_flags
def remove(node_id: str, dataflow: str | None, grace: float | None) -> int:
    """Stop NODE and take it out of the dataflow; those that read from it get INPUT_CLOSED."""
    from dora.cli.node_changes import end_node

    return end_node("remove", node_id, dataflow, grace)


@click.command(cls=Command, epilog="Example: dora node add --from-yaml recorder.yml")
@_from_yaml_flag
@dataflow_flag
@_uv_flag
@shell_flag
@coordinator_flags
def add(file: Path, dataflow: str | None, uv: bool, allow_shell: bool) -> int:
    """Start one more node, or several, in a running dataflow."""
    from dora.cli.node_changes import add_nodes

    return add_nodes(file, dataflow, uv=uv, allow_shell=allow_shell)


@click.command(cls=Command, epilog="Example: dora node replace filter --from-yaml better.yml")
@_node_argument
@_from_yaml_flag
@dataflow_flag
@_grace_flag
@_uv_flag
@shell_flag
@coordinator_flags
def replace(
    node_id: str,
    file: Path,
    dataflow: str | None,
    grace: float | None,
    uv: bool,
    allow_shell: bool,
) -> int:
    """Start another process in place of NODE, which goes on until that has come up.

    It must have the same inputs, and all outputs that are read. Messages wait meanwhile.
    """
    from dora.cli.node_changes import replace_node

    return replace_node(node_id, file, dataflow, grace, uv=uv, allow_shell=allow_shell)


@click.command(cls=Command, epilog="Example: dora node connect camera/image plot/image")
@click.argument("source", metavar="NODE/OUTPUT")
@click.argument("target", metavar="NODE/INPUT")
@dataflow_flag
@click.option(
    "--queue-size",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="How many messages may wait.",
)
@click.option("--backpressure", is_flag=True, help="The sender waits for room: nothing is lost.")
@coordinator_flags
def connect(
    source: str, target: str, dataflow: str | None, queue_size: int, backpressure: bool
) -> int:
    """Wire an output to an input, which may be new to its node."""
    from dora.cli.node_changes import wire

    return wire(source, target, dataflow, on=True, size=queue_size, backpressure=backpressure)


@click.command(cls=Command, epilog="Example: dora node disconnect camera/image plot/image")
@click.argument("source", metavar="NODE/OUTPUT")
@click.argument("target", metavar="NODE/INPUT")
@dataflow_flag
@coordinator_flags
def disconnect(source: str, target: str, dataflow: str | None) -> int:
    """Take a wire away: what waits is read, then the input is closed (INPUT_CLOSED)."""
    from dora.cli.node_changes import wire

    return wire(source, target, dataflow, on=False)


CHANGES = (restart, stop, remove, add, replace, connect, disconnect)

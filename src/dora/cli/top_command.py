"""`dora top` and `dora inspect top`: what nodes use and what flows between them.

Elsewhere: what is printed (`cli.top`).
"""

from __future__ import annotations

import click

from dora.cli.flags import Command, Group, coordinator_flags, only_dataflow_flag


@click.group(cls=Group)
def inspect() -> None:
    """Look at running dataflows."""


@click.command(cls=Command, epilog="Example: dora top --once | jq '.[].metrics.cpu_usage'")
@click.option("--once", is_flag=True, help="Print JSON once, measured over the interval, and exit.")
@click.option("--json", "as_json", is_flag=True, help="The same.")
@click.option(
    "--refresh-interval",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="How often to look anew.",
)
@only_dataflow_flag
@coordinator_flags
def top(once: bool, as_json: bool, refresh_interval: float, dataflow: str | None) -> int:
    """Show what nodes use, and what flows between them; q leaves.

    CPU, memory and disk of each node with all processes it started; rates, delays, queues and
    losses of each input; the log of one node. Nodes are not disturbed: the figures lie in shared
    memory. Where the output is no terminal, JSON is printed once.

    The full screen needs `pip install 'dora-py[top]'`; without it, tables are shown anew.
    """
    from dora.cli.tables import at_terminal
    from dora.cli.top import print_snapshot, show_live

    if once or as_json or not at_terminal():
        print_snapshot(refresh_interval, dataflow)
        return 0
    return show_live(refresh_interval, dataflow)


inspect.add_command(top)

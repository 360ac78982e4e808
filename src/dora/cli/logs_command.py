"""`dora logs`: its flags.

Elsewhere: what they mean (`cli.options`), showing lines (`cli.logs`), which dataflow is meant
(`monitor.log_places`).
"""

from __future__ import annotations

import time

import click

from dora.cli.flags import Command, coordinator_flags, log_flags, parsed
from dora.cli.options import parse_moment

_WHEN = parsed(lambda text: parse_moment(text, time.time()))


@click.command(cls=Command, epilog="Example: dora logs -f --node camera --level warn")
@click.argument("dataflow", metavar="[ID_OR_NAME]", required=False)
@click.option("-n", "--node", metavar="NODE", help="Only this node; `dora` is the daemon.")
@click.option("--all-nodes", is_flag=True, help="All nodes, merged by time; the default.")
@click.option(
    "--tail", "last", type=click.IntRange(min=0), metavar="N", help="Only the last N lines."
)
@click.option("-f", "--follow", is_flag=True, help="Go on until the dataflow ends.")
@click.option("--local", is_flag=True, help="Look only under ./out, not for what runs.")
@click.option(
    "--since",
    metavar="WHEN",
    callback=_WHEN,
    help="Only lines since: 30s, 5m, 1h30m ago, or 2026-01-31T12:00:00Z.",
)
@click.option("--until", metavar="WHEN", callback=_WHEN, help="Only lines until then.")
@log_flags("--level")
@click.option("--grep", metavar="TEXT", help="Only lines with this text, in upper or lower case.")
@coordinator_flags
def logs(
    dataflow: str | None,
    node: str | None,
    all_nodes: bool,
    last: int | None,
    follow: bool,
    local: bool,
    since: float | None,
    until: float | None,
    log_level: str,
    log_format: str,
    log_filter: dict[str, str] | None,
    grep: str | None,
) -> int:
    """Show what nodes printed, while they run and afterwards.

    ID_OR_NAME is the name of a dataflow, the beginning of its id, its file, or a log folder.
    Without it: the only dataflow that runs, else the latest one under ./out.
    """
    if node is not None and all_nodes:
        raise click.UsageError("`--all-nodes` and `--node` exclude each other")
    if since is not None and until is not None and since > until:
        raise click.UsageError("`--since` is later than `--until`: no line can be both")
    from dora.cli.logs import Logs
    from dora.monitor.log_places import find_place
    from dora.monitor.log_records import Wanted

    place = find_place(dataflow, node, local=local)
    wanted = Wanted(since, until, log_level, log_filter or {}, grep or "")
    return Logs(place, node, wanted, log_format).show(last, follow=follow)

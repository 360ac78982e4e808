"""`dora web`: its flags and help. Elsewhere: what it does (`cli.web`)."""

from __future__ import annotations

import click

from dora.cli.flags import Command, coordinator_flags, only_dataflow_flag


@click.command(cls=Command, epilog="Example: dora web --open")
@only_dataflow_flag
@click.option(
    "--host",
    "--interface",
    "host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen. Anything but this machine itself needs a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="3672 by default, or the next that is free; 0 takes any.",
)
@click.option(
    "--token",
    metavar="TEXT",
    envvar="DORA_WEB_TOKEN",
    show_envvar=True,
    help="What browsers must know. Made up and printed where one is needed.",
)
@click.option("--read-only", is_flag=True, help="Browsers may look, and change nothing.")
@click.option("--open", "open_it", is_flag=True, help="Open the page in the browser.")
@coordinator_flags
def web(
    dataflow: str | None,
    host: str,
    port: int | None,
    token: str | None,
    read_only: bool,
    open_it: bool,
) -> int:
    """Show dataflows in the browser: graph, images, plots, logs.

    All dataflows of this checkout are there to choose from, those of `dora run` too. Without a
    token, only your own programs on this machine may connect.
    """
    from dora.cli.web import serve_page

    return serve_page(dataflow, host, port, token, read_only=read_only, open_it=open_it)

"""`dora new`: its flags and help.

Elsewhere: names, templates, writing (`cli.new`).
"""

from __future__ import annotations

import click

from dora.cli.flags import Command

_PYTHON = "python"


@click.command(cls=Command, epilog="Example: dora new my-robot")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["dataflow", "node"]),
    default="dataflow",
    show_default=True,
    help="A dataflow of three nodes, or one node.",
)
@click.option(
    "--lang", metavar="[python]", default=_PYTHON, show_default=True, help="Of the nodes."
)
def new(name: str, kind: str, lang: str) -> int:
    """Make a folder NAME with a dataflow, or a node, to start from."""
    if lang != _PYTHON:
        raise click.BadParameter(
            f"`{lang}`: nodes are Python here; leave `--lang` out, or say `--lang {_PYTHON}`",
            param_hint="'--lang'",
        )
    from dora.cli.new import make_dataflow, make_node

    for line in make_node(name) if kind == "node" else make_dataflow(name):
        click.echo(line)
    return 0

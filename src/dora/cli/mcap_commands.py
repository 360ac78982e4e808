"""`dora mcap ...`: look into recordings, and make other files of them.

Elsewhere: what is printed (`cli.mcap_info`), `export` and `import` (`cli.transfer_commands`).
"""

from __future__ import annotations

from pathlib import Path

import click

from dora.cli.flags import FORMATS, Command, Group
from dora.cli.transfer_commands import export, import_


@click.group(cls=Group)
def mcap() -> None:
    """Look into recordings, export them, and import bags of ROS."""


@mcap.command(cls=Command, epilog="Example: dora mcap info recording.mcap --format json")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-f", "--format", "form", type=FORMATS, default="table", help="How to print it.")
def info(file: Path, form: str) -> int:
    """Print what is in FILE: topics, times, sizes.

    FILE may be the first of several, or their folder. MCAP files that others wrote will do, and
    those whose recorder was killed.
    """
    from dora.cli.mcap_info import print_info

    return print_info(file, form)


mcap.add_command(export)
mcap.add_command(import_)

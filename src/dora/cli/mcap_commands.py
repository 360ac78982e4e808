"""`dora mcap`: the group of commands about recordings.

Elsewhere: `export` and `import` (`cli.transfer_commands`).
"""

from __future__ import annotations

import click

from dora.cli.flags import Group
from dora.cli.transfer_commands import export, import_


@click.group(cls=Group, epilog="Example: dora mcap export recording.mcap --to parquet")
def mcap() -> None:
    """Look into recordings, make other files of them, and recordings of bags."""


mcap.add_command(export)
mcap.add_command(import_)

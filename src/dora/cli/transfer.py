"""`dora mcap export` and `import`: recordings become other files, bags become recordings.

Elsewhere: flags (`cli.transfer_commands`), each kind of files (`recording.export`,
`recording.lerobot`), bags (`recording.bags`).
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from dora.errors import DoraError
from dora.recording.reader import Recording

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dora.recording.lerobot import Wanted


def export_files(file: Path, kind: str, folder: Path, topics: Sequence[str] | None) -> int:
    """Export the topics of a recording, each by itself."""
    from dora.recording.export import export

    with Recording(file) as recording:
        written = export(recording, kind, folder, topics, lambda line: click.echo(line, err=True))
    for path in written:
        click.echo(f"wrote {path}")
    return 0


def export_set(files: Sequence[Path], folder: Path, wanted: Wanted) -> int:
    """Export recordings as a data set."""
    from dora.recording.lerobot import export_lerobot

    with ExitStack() as stack:
        recordings = [stack.enter_context(Recording(file)) for file in files]
        told = export_lerobot(recordings, folder, wanted)
    click.echo(f"wrote {folder}: {told}")
    return 0


def import_bag(
    bag: Path,
    file: Path,
    topics: Sequence[str] | None,
    names: Mapping[str, str],
    node: str,
    compression: str,
    *,
    force: bool,
) -> int:
    """Make a recording of a bag."""
    from dora.cli.tables import table
    from dora.recording.bags import Bag
    from dora.recording.writer import RecordingWriter

    if file.exists() and bag.exists() and file.samefile(bag):
        raise DoraError(f"`{file}` is the bag itself; name another file: `--output`")
    with Bag(bag, node, names, topics) as opened:
        counts: dict[str, int] = {}
        with RecordingWriter(file, None, compression, force=force) as writer:
            for message, declared in opened.messages():
                writer.add(message, declared)
                counts[message.topic] = counts.get(message.topic, 0) + 1
        rows = [
            (one.name, one.kind, one.output, f"{counts.get(one.output, 0):,}")
            for one in opened.topics
        ]
    click.echo(table(("TOPIC", "TYPE", "OUTPUT", "MESSAGES"), rows, right=("MESSAGES",)))
    for topic, why in opened.skipped.items():
        click.echo(f"WARNING left out: `{topic}`: {why}", err=True)
    click.echo(f"wrote {file}: {sum(counts.values()):,} messages", err=True)
    return 0

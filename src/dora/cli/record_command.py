"""`dora record`: its flags and help, and those of `dora run`, which it has too.

Elsewhere: what it does (`cli.recording`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dora.cli.flags import (
    FLOW,
    ExitFlagCommand,
    complete_dataflows,
    coordinator_flags,
    parsed,
)
from dora.cli.main import run
from dora.cli.options import parse_duration, parse_size

_COMPRESSIONS = click.Choice(["none", "lz4", "zstd"])
_UNCHANGED = (
    "recording changes nothing in a dataflow file: run it as it is, and record it with "
    "`dora record --attach`"
)


def _topics(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    wrong = next((name for name in names if name.count("/") < 1), None)
    if wrong is not None or not names:
        raise ValueError(f"`{wrong or text}` is no output; write `node/output,node/output`")
    return names


def _split_duration(text: str) -> float:
    seconds = parse_duration(text)
    if not seconds:
        raise ValueError("a file holds some time; write 30s, 5m")
    return seconds


@click.command(cls=ExitFlagCommand, epilog="Example: dora record dataflow.yml -o drive.mcap")
@click.argument("flow", type=FLOW, required=False)
@click.option(
    "--attach",
    metavar="NAME_OR_ID",
    shell_complete=complete_dataflows,
    help="Record this running dataflow instead: its name, or the beginning of its id.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write; recording_<time>.mcap by default.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option(
    "--topics",
    metavar="NODE/OUTPUT,...",
    callback=parsed(_topics),
    help="Record these outputs only.",
)
@click.option(
    "--compression",
    type=_COMPRESSIONS,
    default="zstd",
    show_default=True,
    help="zstd makes the smallest files; lz4 takes less time, none the least.",
)
@click.option(
    "--split-size",
    metavar="SIZE",
    callback=parsed(parse_size),
    help="Begin another file after so many bytes: 500MB, 2GB.",
)
@click.option(
    "--split-duration",
    metavar="DURATION",
    callback=parsed(_split_duration),
    help="Begin another file after this time: 30s, 5m.",
)
@click.option(
    "--buffer",
    metavar="SIZE",
    default="1GB",
    show_default=True,
    callback=parsed(parse_size),
    help="Messages that may wait for the disk, in the memory of their senders.",
)
@click.option(
    "--lossy",
    is_flag=True,
    help="When the buffer is full, count messages as lost; by default their senders wait.",
)
@click.option(
    "--queue-size",
    type=click.IntRange(1, 1 << 20),
    default=500,
    show_default=True,
    metavar="N",
    help="Messages of one output that may wait to be taken.",
)
@click.option("--name", metavar="NAME", help="Like --attach, as in dora-rs.")
@click.option("--proxy", is_flag=True, hidden=True, help="Record a running dataflow.")
@click.option("--output-yaml", hidden=True, help="There is nothing to change in a dataflow file.")
@coordinator_flags
def record(
    flow: Path | None,
    attach: str | None,
    output: Path | None,
    force: bool,
    topics: tuple[str, ...] | None,
    compression: str,
    split_size: int | None,
    split_duration: float | None,
    buffer: int,
    lossy: bool,
    queue_size: int,
    name: str | None,
    proxy: bool,
    output_yaml: str | None,
    **running: Any,
) -> int:
    """Run FLOW and record what its nodes send; or record what runs.

    The file is MCAP: Foxglove and Rerun open it, `dora replay` plays it. Nothing is lost: when
    the disk is too slow, the nodes wait. Ctrl-C ends it.
    """
    if output_yaml is not None:
        raise click.UsageError(_UNCHANGED)
    attach = attach or name
    if (flow is None) == (attach is None) and not proxy:
        raise click.UsageError("name either a dataflow file, or what runs: --attach NAME_OR_ID")
    from dora.cli.recording import record_flow, record_running
    from dora.recording.options import RecordOptions

    options = RecordOptions(
        path=output or _default_path(),
        topics=topics or (),
        compression=compression,
        split_bytes=split_size,
        split_s=split_duration,
        buffer_bytes=buffer,
        queue_size=queue_size,
        lossy=lossy,
        force=force,
    )
    if attach is not None or proxy or flow is None:
        return record_running(attach, options, running["stop_after"])
    context = click.get_current_context()
    return record_flow(options, lambda: context.invoke(run, flow=flow, **running))


record.params += [param for param in run.params if isinstance(param, click.Option)]


def _default_path() -> Path:
    import time

    return Path(time.strftime("recording_%Y%m%d_%H%M%S.mcap"))

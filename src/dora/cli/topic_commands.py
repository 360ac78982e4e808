"""`dora topic ...`: look at what nodes of running dataflows send, and send in their name.

Elsewhere: what the commands do (`cli.topics`), reading outputs (`monitor.taps`).
"""

from __future__ import annotations

from pathlib import Path

import click

from dora.cli.flags import Group, coordinator_flags, dataflow_flag, format_flag

_SECONDS = click.FloatRange(min=0, min_open=True)


@click.group(cls=Group)
def topic() -> None:
    """List, show and measure what nodes send, or send in their name."""


@topic.command("list", epilog="Example: dora topic list --format json")
@dataflow_flag
@format_flag("How to print it.")
@coordinator_flags
def list_(dataflow: str | None, form: str) -> int:
    """List the outputs of a dataflow, and the inputs that read them."""
    from dora.cli.topics import print_list

    return print_list(dataflow, form)


@topic.command(epilog="Example: dora topic echo camera/image --count 1")
@click.argument("names", metavar="[NODE/OUTPUT]...", nargs=-1)
@dataflow_flag
@format_flag("json: one object a line, whole.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N messages.")
@click.option("--duration", type=_SECONDS, metavar="SECONDS", help="End after so many seconds.")
@coordinator_flags
def echo(
    names: tuple[str, ...],
    dataflow: str | None,
    form: str,
    count: int | None,
    duration: float | None,
) -> int:
    """Print messages as they are sent on these outputs, or on all."""
    from dora.cli.topics import print_messages

    return print_messages(dataflow, names, form, count, duration)


@topic.command(epilog="Example: dora topic hz camera/image --duration 10")
@click.argument("names", metavar="[NODE/OUTPUT]...", nargs=-1)
@dataflow_flag
@click.option(
    "--window",
    type=_SECONDS,
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How far back the figures of the live table reach.",
)
@click.option(
    "--duration",
    type=_SECONDS,
    metavar="SECONDS",
    help="Measure for so long, then print tab-separated figures. Needed if nobody watches.",
)
@coordinator_flags
def hz(names: tuple[str, ...], dataflow: str | None, window: float, duration: float | None) -> int:
    """Measure how often and how regularly messages are sent on these outputs, or on all."""
    from dora.cli.topics import measure

    return measure(dataflow, names, window, duration)


@topic.command(epilog="Example: dora topic info camera/image --duration 2")
@click.argument("name", metavar="NODE/OUTPUT")
@dataflow_flag
@click.option(
    "--duration",
    type=_SECONDS,
    default=5,
    show_default=True,
    metavar="SECONDS",
    help="Measure for so long.",
)
@coordinator_flags
def info(name: str, dataflow: str | None, duration: float) -> int:
    """Print type, rate, bandwidth and readers of one output."""
    from dora.cli.topics import print_info

    return print_info(dataflow, name, duration)


@topic.command(epilog="""Example: dora topic pub motors/speed '[0.5, -0.5]' --dtype float32""")
@click.argument("name", metavar="NODE/OUTPUT")
@click.argument("data", required=False)
@dataflow_flag
@click.option("--file", type=click.Path(path_type=Path), help="JSON; or .npy, .arrow, an image.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, metavar="N")
@click.option("--dtype", metavar="DTYPE", help="Send a NumPy array of this dtype: float32.")
@click.option("--shape", metavar="N,N", help="Send a NumPy array of this shape: 2,3.")
@click.option("--metadata", metavar="JSON", help="""Metadata: '{"encoding": "rgb8"}'.""")
@coordinator_flags
def pub(
    name: str,
    data: str | None,
    dataflow: str | None,
    file: Path | None,
    count: int,
    dtype: str | None,
    shape: str | None,
    metadata: str | None,
) -> int:
    """Have a node send DATA, which is JSON, on its output, as if it were its own."""
    if (data is None) == (file is None):
        raise click.UsageError("give either DATA or --file")
    from dora.cli.topics import publish

    lengths = None if shape is None else _shape(shape)
    return publish(dataflow, name, data, file, count, dtype, lengths, metadata)


def _shape(text: str) -> list[int]:
    try:
        return [int(part) for part in text.strip("()[] ").split(",") if part.strip()]
    except ValueError:
        told = f"`{text}` is no shape; write whole numbers: 480,640,3"
        raise click.BadParameter(told, param_hint="--shape") from None

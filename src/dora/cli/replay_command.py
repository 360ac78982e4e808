"""`dora replay`: its flags and help. Elsewhere: what it does (`cli.replay`)."""

from __future__ import annotations

import math
from pathlib import Path

import click

from dora.cli.flags import FLOW, Command, parsed
from dora.cli.options import parse_names


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """`a/x=b/y`, repeated or between commas."""
    pairs: dict[str, str] = {}
    for pair in (one.strip() for text in texts for one in text.split(",")):
        recorded, equals, output = pair.partition("=")
        if not (recorded and equals and "/" in output):
            raise ValueError(f"`{pair}` is not of the form `recorded/output=node/output`")
        if recorded in pairs:
            raise ValueError(f"`{recorded}` is given twice")
        pairs[recorded] = output
    return pairs


def _not_negative(number: float) -> float:
    if not (number >= 0 and math.isfinite(number)):
        raise ValueError(f"{number} is negative or not finite")
    return number


@click.command(cls=Command, epilog="Example: dora replay recording.mcap --speed 2")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--speed",
    type=float,
    default=1.0,
    show_default=True,
    callback=parsed(_not_negative),
    help="Recorded seconds in each second; 0: as fast as receivers take it.",
)
@click.option("--max", "at_most", is_flag=True, help="The same as --speed 0.")
@click.option("--loop", is_flag=True, help="Begin anew at the end, until stopped.")
@click.option(
    "--start",
    "start_s",
    type=float,
    metavar="SECONDS",
    callback=parsed(_not_negative),
    help="Begin so far behind the beginning of the recording.",
)
@click.option(
    "--end",
    "end_s",
    type=float,
    metavar="SECONDS",
    callback=parsed(_not_negative),
    help="End so far behind the beginning of the recording.",
)
@click.option(
    "--replace",
    metavar="NODES",
    callback=parsed(parse_names),
    help="Replay these nodes, separated by commas. Default: all that read from no other node.",
)
@click.option(
    "--remap",
    metavar="RECORDED=NODE/OUTPUT",
    multiple=True,
    callback=parsed(_pairs),
    help="Replay a recorded output as another one. Repeatable.",
)
@click.option("--dataflow", type=FLOW, help="A dataflow file in place of the recorded one.")
@click.option("--step", is_flag=True, help="Send one message for each Enter, and print it.")
@click.option(
    "--deterministic",
    is_flag=True,
    help="In virtual time: clocks and timers of nodes follow the recording, and each replay sends "
    "the same. Prints a fingerprint of each output.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="With --deterministic: write what the nodes send into this recording.",
)
@click.option("--force", is_flag=True, help="Replace a recording that is there.")
@click.option(
    "--output-yaml",
    type=click.Path(path_type=Path),
    help="Only write the dataflow with the replay nodes into this file.",
)
@click.option("--uv", is_flag=True, help="Build and run Python nodes by uv.")
@click.option(
    "--allow-shell-nodes",
    is_flag=True,
    envvar="DORA_ALLOW_SHELL_NODES",
    show_envvar=True,
    help="Allow nodes with `path: shell`.",
)
def replay(
    file: Path,
    speed: float,
    at_most: bool,
    loop: bool,
    start_s: float | None,
    end_s: float | None,
    replace: tuple[str, ...] | None,
    remap: dict[str, str],
    dataflow: Path | None,
    step: bool,
    deterministic: bool,
    output: Path | None,
    force: bool,
    output_yaml: Path | None,
    uv: bool,
    allow_shell_nodes: bool,
) -> int:
    """Run a recorded dataflow again. FILE plays the part of its sources."""
    _check_pace(at_most, loop, step, deterministic)
    if output is not None and not deterministic:
        raise click.UsageError("`--output` goes with `--deterministic`; else use `dora record`")
    if output_yaml is not None and (deterministic or step):
        raise click.UsageError("`--output-yaml` runs nothing: leave out the flags about running")
    from dora.cli.replay import replay_file
    from dora.recording.replay import Wishes

    wishes = Wishes(
        speed=0.0 if at_most else speed,
        loop=loop,
        start_s=start_s,
        end_s=end_s,
        replace=replace,
        remap=remap,
        step=step,
        dataflow=dataflow,
    )
    return replay_file(
        file,
        wishes,
        deterministic=deterministic,
        output=output,
        force=force,
        output_yaml=output_yaml,
        uv=uv,
        allow_shell=allow_shell_nodes,
    )


def _check_pace(at_most: bool, loop: bool, step: bool, deterministic: bool) -> None:
    """Refuse flags about time that exclude each other."""
    given = click.get_current_context().get_parameter_source("speed")
    has_speed = given is click.core.ParameterSource.COMMANDLINE
    if at_most and has_speed:
        raise click.UsageError("`--max` and `--speed` exclude each other")
    if step and (loop or at_most or has_speed):
        raise click.UsageError("`--step` has no pace: leave out `--speed`, `--max` and `--loop`")
    if deterministic and (at_most or loop or step or has_speed):
        raise click.UsageError(
            "`--deterministic` runs in virtual time, once: leave out `--speed`, `--max`, `--loop` "
            "and `--step`"
        )

"""`dora mcap export` and `import`: flags and help. Elsewhere: what they do (`cli.transfer`)."""

from __future__ import annotations

from pathlib import Path

import click

from dora.cli.flags import Command, parsed
from dora.cli.options import parse_names


def _names(texts: tuple[str, ...]) -> dict[str, str]:
    """`/scan=lidar/scan`, repeated."""
    names = {}
    for text in texts:
        topic, equals, output = text.partition("=")
        if not (topic and equals and "/" in output):
            raise ValueError(f"`{text}` is not of the form `/topic=node/output`")
        names[topic] = output
    return names


def _rate(number: float) -> float:
    if not 0 < number <= 100_000:
        raise ValueError(f"{number} is no rate: frames a second")
    return number


@click.command(cls=Command, epilog="Example: dora mcap export recording.mcap --to parquet")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--to",
    "kind",
    type=click.Choice(["parquet", "numpy", "png", "mp4", "lerobot"]),
    required=True,
    help="parquet, numpy: a file for each topic; png, mp4: topics of images; lerobot: a data set "
    "(layout v3) in which each FILE is an episode.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The folder; by default called as FILE is.",
)
@click.option(
    "--topics",
    metavar="TOPICS",
    callback=parsed(parse_names),
    help="Only these, separated by commas. Default: all that have a place there.",
)
@click.option(
    "--fps", type=float, callback=parsed(_rate), help="lerobot: frames a second; as the camera's."
)
@click.option("--task", metavar="TEXT", help="lerobot: what the robot does, in words.")
@click.option("--robot", metavar="NAME", help="lerobot: the type of the robot.")
@click.option(
    "--action",
    "actions",
    metavar="TOPICS",
    callback=parsed(parse_names),
    help="lerobot: the topics that make up `action`; by default those called action or command.",
)
def export(
    files: tuple[Path, ...],
    kind: str,
    output: Path | None,
    topics: tuple[str, ...] | None,
    fps: float | None,
    task: str | None,
    robot: str | None,
    actions: tuple[str, ...] | None,
) -> int:
    """Write a recording as Parquet, NumPy, PNG, MP4 or LeRobot."""
    is_set = kind == "lerobot"
    if not is_set and (fps, task, robot, actions) != (None, None, None, None):
        raise click.UsageError("`--fps`, `--task`, `--robot` and `--action` go with `--to lerobot`")
    if len(files) > 1 and not is_set:
        raise click.UsageError(f"`--to {kind}` takes one FILE")
    from dora.cli.transfer import export_files, export_set

    folder = output or files[0].with_suffix("") if files[0].suffix else output or files[0]
    if not is_set:
        return export_files(files[0], kind, folder, topics)
    from dora.recording.lerobot import Wanted

    return export_set(files, folder, Wanted(topics, actions, fps, task or "", robot))


@click.command("import", cls=Command, epilog="Example: dora mcap import robot.bag -o robot.mcap")
@click.argument("bag", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The recording; by default called as BAG is, in this folder.",
)
@click.option(
    "--topics",
    metavar="TOPICS",
    callback=parsed(parse_names),
    help="Only these topics of the bag, separated by commas.",
)
@click.option(
    "--name",
    "names",
    metavar="TOPIC=NODE/OUTPUT",
    multiple=True,
    callback=parsed(_names),
    help="What a topic becomes. Repeatable. Default: /camera/image_raw is camera/image_raw.",
)
@click.option(
    "--node",
    metavar="NODE",
    default="robot",
    show_default=True,
    help="The node of topics without a namespace, as /scan.",
)
@click.option(
    "--compression",
    type=click.Choice(["zstd", "lz4", "none"]),
    default="none",
    show_default=True,
    help="Of the recording.",
)
@click.option("--force", is_flag=True, help="Replace a recording that is there.")
def import_(
    bag: Path,
    output: Path | None,
    topics: tuple[str, ...] | None,
    names: dict[str, str],
    node: str,
    compression: str,
    force: bool,
) -> int:
    """Make a recording of BAG, of ROS 1 or ROS 2, for `dora replay`."""
    from dora.cli.transfer import import_bag

    file = output or Path(bag.with_suffix("").name + ".mcap")
    return import_bag(bag, file, topics, names, node, compression, force=force)

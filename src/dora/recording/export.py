"""A recording → files of other kinds: Parquet, NumPy, PNG, MP4, one or a folder for each topic.

Topic `camera/image` becomes `camera/image.parquet`, and so on. Where not named, the topics are
those that the kind of files has a place for.

Used by `cli.transfer`. Elsewhere: rows and arrays (`recording.tables`), pixels
(`recording.pictures`), data sets for robot learning (`recording.lerobot`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dora.errors import ExportError
from dora.ids import suggest
from dora.node.image_files import png_of
from dora.recording.pictures import IMAGE_KINDS, as_bytes, as_rgb, pixels_of
from dora.recording.tables import write_npz, write_parquet
from dora.recording.videos import VideoWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from dora.recording.reader import RecordedTopic, Recording
    from dora.recording.tables import Messages

KINDS = ("parquet", "numpy", "png", "mp4")


def export(
    recording: Recording,
    kind: str,
    folder: Path,
    topics: Collection[str] | None = None,
    tell: Callable[[str], None] = lambda _line: None,
) -> list[Path]:
    """Write the messages of a recording as other files.

    Args:
        recording: The recording.
        kind: One of `KINDS`.
        folder: Where to; it is made.
        topics: Only these; None: all that have a place in such files.
        tell: Takes a line about each topic that is left out.

    Returns:
        The files; of pictures their folders.

    Raises:
        ExportError: a topic is not there, or has no place in such files.
    """
    chosen = chosen_topics(recording, topics)
    if kind in ("png", "mp4"):
        chosen = _images(chosen, topics, tell)
    write = {"parquet": write_parquet, "numpy": write_npz, "png": _write_png, "mp4": _write_mp4}
    written: list[Path] = []
    for topic in chosen:
        target = folder / topic
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            written += write[kind](_reading(recording, topic), target)
        except ExportError as exc:
            if topics is not None:
                raise
            tell(f"left out: {exc}")
    if not written:
        raise ExportError(f"`{recording.path}` holds nothing that has a place in {kind} files")
    return written


def chosen_topics(
    recording: Recording, topics: Collection[str] | None
) -> dict[str, list[RecordedTopic]]:
    """The topics to export, each with the channels it has.

    Raises:
        ExportError: there is no such topic, or dora did not write it.
    """
    there: dict[str, list[RecordedTopic]] = {}
    for topic in recording.topics:
        if topic.messages:
            there.setdefault(topic.name, []).append(topic)
    for name in topics or ():
        if name not in there:
            near = suggest(name, there)
            hint = f"did you mean `{near}`?" if near else f"topics: {', '.join(there) or 'none'}"
            raise ExportError(f"`{recording.path}` has no topic `{name}`; {hint}")
    playable = {name for name, found in there.items() if all(one.playable for one in found)}
    foreign = [name for name in (topics or there) if name not in playable]
    if foreign and (topics is not None or not playable):
        raise ExportError(
            f"`{foreign[0]}` was not written by dora (but by `{recording.library}`); if this is a "
            "bag of ROS, import it first: `dora mcap import`"
        )
    return {name: there[name] for name in (topics or there) if name in playable}


def _images(
    chosen: dict[str, list[RecordedTopic]],
    wished: Collection[str] | None,
    tell: Callable[[str], None],
) -> dict[str, list[RecordedTopic]]:
    """The topics that hold pictures."""
    found, others = {}, []
    for name, channels in chosen.items():
        if all(channel.kind in IMAGE_KINDS for channel in channels):
            found[name] = channels
            continue
        if wished is not None:
            raise ExportError(f"`{name}` is no topic of images but of {channels[0].kind}s")
        others.append(f"`{name}`")
    if others and found:
        tell(f"left out, as they hold no images: {', '.join(others)}")
    return found


def _reading(recording: Recording, topic: str) -> Messages:
    return lambda: recording.messages([topic])


def _write_png(messages: Messages, target: Path) -> list[Path]:
    """A file for each message; depth in floats becomes bytes, 16 bits stay."""
    target.mkdir(parents=True, exist_ok=True)
    for number, message in enumerate(messages()):
        image = pixels_of(message)
        if image.dtype != np.uint16 or image.ndim != 2:
            image = as_bytes(image)
        content = png_of(np.ascontiguousarray(image))
        (target / f"{number:06}_{message.sent_ns}.png").write_bytes(content)
    return [target]


def _write_mp4(messages: Messages, target: Path) -> list[Path]:
    path = target.with_name(f"{target.name}.mp4")
    first_ns: int | None = None
    with VideoWriter(path, rate_of(message.sent_ns for message in messages())) as video:
        for message in messages():
            first_ns = message.sent_ns if first_ns is None else first_ns
            video.add(as_rgb(pixels_of(message)), message.sent_ns - first_ns)
    return [path]


def rate_of(times_ns: Iterator[Any]) -> float:
    """How many messages came in a second, by the gap that is usual."""
    gaps = np.diff(np.fromiter(times_ns, np.int64))
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    return 1e9 / usual if usual > 0 else 30.0

"""Messages as Foxglove's protobuf messages, which Foxglove and Rerun draw: the fields of each.

A `Drawn` leaves the payload where it lies: it says which slice of it is which field. Elsewhere:
which of these a message becomes (`recording.kinds`), the wire format (`recording.fields`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from dora.recording.fields import (
    bytes_field,
    double_field,
    fixed32_field,
    message_field,
    text_field,
    timestamp_field,
    varint_field,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dora.recording.message import RecordedMessage

_LEVELS = {"trace": 1, "debug": 1, "info": 2, "stdout": 2, "warn": 3, "warning": 3, "error": 4}
_FLOAT_TYPES = {4: 7, 8: 8}
"""Foxglove's number for floats of so many bytes."""
_AXES = ("x", "y", "z", "intensity")
_LINE_LOOP = 2
_COLOUR = b"".join(double_field(n, v) for n, v in ((1, 0.2), (2, 0.9), (3, 0.3), (4, 1.0)))
_BLACK = b"".join(double_field(n, v) for n, v in ((1, 0.0), (2, 0.0), (3, 0.0), (4, 0.6)))


class Drawn(NamedTuple):
    """One message as viewers know it, but for the payload's bytes."""

    schema: str
    fields: bytes
    """All fields but the one that is a slice of the payload."""
    field: int = 0
    """The number of that one; 0: there is none."""
    start: int = 0
    """Where in the payload it begins."""
    end: int = 0
    """Where it ends."""


class Box(NamedTuple):
    """A box in an image, pixels from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float
    text: str = ""


def image(
    message: RecordedMessage, frame: str, size: tuple[int, int, int], encoding: str, start: int
) -> Drawn:
    """`foxglove.RawImage`; the size is width, height, bytes of a row."""
    width, height, step = size
    fields = (
        timestamp_field(1, message.sent_ns)
        + fixed32_field(2, width)
        + fixed32_field(3, height)
        + text_field(4, encoding)
        + fixed32_field(5, step)
        + text_field(7, frame)
    )
    return Drawn("foxglove.RawImage", fields, 6, start, start + step * height)


def compressed(
    message: RecordedMessage, frame: str, form: str, start: int, end: int, *, video: bool
) -> Drawn:
    """`foxglove.CompressedImage`, or `CompressedVideo`."""
    time = timestamp_field(1, message.sent_ns)
    if video:
        fields = time + text_field(2, frame) + text_field(4, form)
        return Drawn("foxglove.CompressedVideo", fields, 3, start, end)
    fields = time + text_field(3, form) + text_field(4, frame)
    return Drawn("foxglove.CompressedImage", fields, 2, start, end)


def cloud(
    message: RecordedMessage, frame: str, columns: int, width: int, start: int, end: int
) -> Drawn:
    """`foxglove.PointCloud` of floats: so many columns of so many bytes each."""
    named = [
        text_field(1, name) + fixed32_field(2, at * width) + varint_field(3, _FLOAT_TYPES[width])
        for at, name in enumerate((*_AXES, *(f"c{n}" for n in range(4, columns)))[:columns])
    ]
    fields = (
        timestamp_field(1, message.sent_ns)
        + text_field(2, frame)
        + message_field(3, _pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
        + fixed32_field(4, columns * width)
        + b"".join(message_field(5, field) for field in named)
    )
    return Drawn("foxglove.PointCloud", fields, 6, start, end)


def pose(
    message: RecordedMessage, frame: str, position: Sequence[float], turn: Sequence[float]
) -> Drawn:
    """`foxglove.PoseInFrame`; the orientation is a quaternion x, y, z, w."""
    fields = timestamp_field(1, message.sent_ns) + text_field(2, frame)
    return Drawn("foxglove.PoseInFrame", fields + message_field(3, _pose(position, turn)))


def transform(
    message: RecordedMessage,
    parent: str,
    child: str,
    translation: Sequence[float],
    turn: Sequence[float],
) -> Drawn:
    """`foxglove.FrameTransform`; the rotation is a quaternion x, y, z, w."""
    fields = (
        timestamp_field(1, message.sent_ns)
        + text_field(2, parent)
        + text_field(3, child)
        + message_field(4, _numbers(translation))
        + message_field(5, _numbers(turn))
    )
    return Drawn("foxglove.FrameTransform", fields)


def boxes(message: RecordedMessage, found: Iterable[Box]) -> Drawn:
    """`foxglove.ImageAnnotations`: an outline for each box, and its text."""
    time = timestamp_field(1, message.sent_ns)
    drawn = bytearray(timestamp_field(5, message.sent_ns))
    for box in found:
        left, top, right, bottom, text = box
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        outline = (
            time
            + varint_field(2, _LINE_LOOP)
            + b"".join(message_field(3, _numbers(corner)) for corner in corners)
            + message_field(4, _COLOUR)
            + double_field(7, 2.0)
        )
        drawn += message_field(2, outline)
        if text:
            label = (
                time
                + message_field(2, _numbers((left, top)))
                + text_field(3, text)
                + double_field(4, 12.0)
                + message_field(5, _COLOUR)
                + message_field(6, _BLACK)
            )
            drawn += message_field(3, label)
    return Drawn("foxglove.ImageAnnotations", bytes(drawn))


def log(message: RecordedMessage) -> Drawn:
    """`foxglove.Log` of a text; of a log line as `send_logs_as` sends it, with its level."""
    raw = bytes(message.view)
    node = message.topic.partition("/")[0]
    time = timestamp_field(1, message.sent_ns)
    line = _log_line(raw) if raw[:1] == b"{" else None
    if line is None:
        fields = time + varint_field(2, _LEVELS["info"]) + text_field(4, node)
        return Drawn("foxglove.Log", fields, 3, 0, len(raw))
    number = line.get("line")
    fields = (
        time
        + varint_field(2, _LEVELS.get(str(line["level"]).lower(), 0))
        + text_field(3, str(line["message"]))
        + text_field(4, str(line.get("node_id") or node))
        + text_field(5, str(line.get("file") or ""))
        + (fixed32_field(6, number) if isinstance(number, int) and 0 <= number < 1 << 32 else b"")
    )
    return Drawn("foxglove.Log", fields)


def numbers(message: RecordedMessage, values: bytes, payload_is_values: bool) -> Drawn:
    """`dora.Numbers`: the first, and all as doubles in `values`."""
    fields = timestamp_field(1, message.sent_ns)
    if values:
        fields += b"\x11" + values[:8]
    if payload_is_values:
        return Drawn("dora.Numbers", fields, 3, 0, len(values))
    return Drawn("dora.Numbers", fields + bytes_field(3, values))


def _log_line(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) and {"level", "message"} <= line.keys() else None


def _pose(position: Sequence[float], turn: Sequence[float]) -> bytes:
    return message_field(1, _numbers(position)) + message_field(2, _numbers(turn))


def _numbers(values: Sequence[float]) -> bytes:
    """A vector, point or quaternion: its fields are doubles numbered from 1."""
    return b"".join(double_field(at, value) for at, value in enumerate(values, 1))

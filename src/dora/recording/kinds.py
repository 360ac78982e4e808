"""Which picture a message becomes: an image, boxes, a pose, ..., or none.

In this order: what the metadata says (`encoding`, dora-rs's `primitive`), the type that the
dataflow file declares for the output, and shapes that hardly mean anything else. What claims to be
an image and has too few bytes for one is none. `docs/recording.md` has the table.

Elsewhere: the pictures' fields (`recording.drawings`), what has none (`recording.arrow_stream`).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import msgspec

from dora.descriptor.types_text import parse_type
from dora.recording import drawings
from dora.recording.structs import boxes_of, pose_of, slice_of, transform_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.recording.drawings import Drawn
    from dora.recording.message import RecordedMessage

PIXEL_BYTES = {
    **dict.fromkeys(("mono8", "8UC1"), 1),
    **dict.fromkeys(("mono16", "16UC1", "yuyv", "uyvy", "yuv422", "yuv422_yuy2"), 2),
    **dict.fromkeys(("rgb8", "bgr8", "8UC3"), 3),
    **dict.fromkeys(("rgba8", "bgra8", "32FC1"), 4),
    **{f"bayer_{order}8": 1 for order in ("rggb", "bggr", "gbrg", "grbg")},
}
"""Bytes of a pixel, by encoding."""

_COMPRESSED = {"jpeg": "jpeg", "jpg": "jpeg", "png": "png", "webp": "webp", "avif": "avif"}
_VIDEO = {"h264": "h264", "h265": "h265", "hevc": "h265", "vp9": "vp9", "av1": "av1"}
_MAGIC = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"RIFF": "webp"}
_BY_LAYOUT = {
    ("|u1", 1): "mono8",
    ("|u1", 3): "rgb8",
    ("|u1", 4): "rgba8",
    ("<u2", 1): "mono16",
    ("<f4", 1): "32FC1",
}
"""The encoding of an image that does not name it, by dtype and channels."""
_SMALLEST_SIDE = 16
"""A matrix of bytes with fewer rows or columns is no image unless it is called one."""
_MOST_NUMBERS = 4096
_WORLD = "world"
_PRIMITIVES = {
    "image": "std/media/v1/Image",
    "depth": "std/media/v1/Image",
    "points3d": "std/media/v1/PointCloud",
    "boxes2d": "std/vision/v1/Detection",
    "pose": "std/math/v1/Pose",
}


class Layout(msgspec.Struct, frozen=True):
    """What a type header says of a payload that is numbers: dtype, shape, whether from NumPy."""

    dtype: str
    shape: tuple[int, ...] | None
    """None: as many as there are."""

    @property
    def width(self) -> int:
        """Bytes of an element; 0 if it is no number, or longer than a double."""
        width = int(self.dtype[2:]) if self.dtype[1:2] in ("i", "u", "f") else 0
        return width if width <= 8 else 0


class Declared(msgspec.Struct, frozen=True):
    """What the dataflow file says of an output."""

    name: str = ""
    params: dict[str, str] = {}


@functools.lru_cache(1024)
def declared_type(text: str) -> Declared:
    """A type as the dataflow file has it, resolved; nothing for one that is no type."""
    if not text:
        return Declared()
    try:
        ref = parse_type(text)
    except ValueError:
        return Declared()
    return Declared("List" if ref.item is not None else ref.name, dict(ref.params))


def drawn(message: RecordedMessage, declared: Declared) -> Drawn | None:
    """The message as viewers know it; None if it is nothing that they draw."""
    metadata = message.metadata_dict() if message.metadata else {}
    encoding = metadata.get("encoding")
    named = _PRIMITIVES.get(str(metadata.get("primitive")))
    if isinstance(encoding, str):
        encoding = encoding.lower() if encoding.lower() in (*_COMPRESSED, *_VIDEO) else encoding
        if encoding in _COMPRESSED or encoding in _VIDEO:
            return _compressed(message, metadata, encoding)
        if encoding in PIXEL_BYTES:
            return _image(message, metadata, encoding)
    name = named or declared.name
    draw = _BY_TYPE.get(name)
    if draw is not None:
        found = draw(message, metadata, declared)
        if found is not None:
            return found
    return _by_shape(message, metadata)


def _by_shape(message: RecordedMessage, metadata: dict[str, Any]) -> Drawn | None:
    """What a message is that does not say it."""
    kind = message.header[:1]
    if kind == b"t":
        return drawings.log(message)
    if kind == b"a":
        if not message.header.startswith(b"astruct<"):
            return None
        for draw in (_declared_image, _boxes, _pose, _transform):
            found = draw(message, metadata, Declared())
            if found is not None:
                return found
        return None
    layout = layout_of(message.header)
    shape = layout.shape
    if shape is not None and len(shape) >= 2:
        channels = shape[2] if len(shape) == 3 else 1
        whole = len(shape) <= 3 and min(shape[:2]) >= _SMALLEST_SIDE and channels in (1, 3, 4)
        if layout.dtype == "|u1" and whole:
            return _image(message, metadata, _BY_LAYOUT["|u1", channels])
        return None
    return _numbers(message, layout)


# ---- images ----


def _declared_image(
    message: RecordedMessage, metadata: dict[str, Any], declared: Declared
) -> Drawn | None:
    given = metadata.get("encoding") or declared.params.get("encoding")
    return _image(message, metadata, str(given) if given else None)


def _image(
    message: RecordedMessage, metadata: dict[str, Any], encoding: str | None
) -> Drawn | None:
    frame = _frame(metadata, message.topic)
    if message.header[:1] == b"a":
        return _struct_image(message, frame, encoding)
    layout = layout_of(message.header)
    if not layout.width:
        return None
    shape = layout.shape
    width: Any
    height: Any
    if shape is not None and len(shape) in (2, 3):
        height, width = shape[:2]
        channels = shape[2] if len(shape) == 3 else 1
    else:
        width, height = metadata.get("width"), metadata.get("height")
        if not isinstance(width, int) or not isinstance(height, int) or min(width, height) < 1:
            return None
        channels = max(1, message.view.nbytes // (layout.width * width * height))
    encoding = encoding or _BY_LAYOUT.get((layout.dtype, channels))
    pixel = PIXEL_BYTES.get(encoding or "")
    if encoding is None or pixel is None:
        return None
    step = width * pixel
    if shape is not None and len(shape) >= 2 and channels * layout.width != pixel:
        return None
    if not 0 < step * height <= message.view.nbytes:
        return None
    return drawings.image(message, frame, (width, height, step), encoding, 0)


def _struct_image(message: RecordedMessage, frame: str, encoding: str | None) -> Drawn | None:
    """An image as dora-rs's struct of width, height, encoding and data."""
    row = _row(message, {"width", "height", "data"})
    if row is None:
        return None
    encoding = row["encoding"][0].as_py() if "encoding" in row else encoding
    width, height = row["width"][0].as_py(), row["height"][0].as_py()
    place = slice_of(message, row["data"])
    pixel = PIXEL_BYTES.get(encoding or "")
    if encoding is None or pixel is None or place is None or not width or not height:
        return None
    if place[1] - place[0] < width * pixel * height:
        return None
    return drawings.image(message, frame, (width, height, width * pixel), encoding, place[0])


def _compressed(
    message: RecordedMessage, metadata: dict[str, Any], form: str | None
) -> Drawn | None:
    start, end = 0, message.view.nbytes
    if message.header[:1] == b"a":
        place = slice_of(message, message.value())
        if place is None:
            return None
        start, end = place
    elif layout_of(message.header).dtype != "|u1":
        return None
    raw = bytes(message.view[start : start + 4])
    form = form or next((name for magic, name in _MAGIC.items() if raw.startswith(magic)), "")
    if not form:
        return None
    frame = _frame(metadata, message.topic)
    if form in _VIDEO:
        return drawings.compressed(message, frame, _VIDEO[form], start, end, video=True)
    return drawings.compressed(message, frame, _COMPRESSED[form], start, end, video=False)


# ---- what stands in space ----


def _cloud(message: RecordedMessage, metadata: dict[str, Any], _: Declared) -> Drawn | None:
    frame = _frame(metadata, _WORLD)
    size = message.view.nbytes
    if message.header[:1] == b"a":
        row = _row(message, {"points", "width", "height"})
        place = slice_of(message, row["points"]) if row is not None else None
        if row is None or place is None:
            return None
        count = (row["width"][0].as_py() or 0) * (row["height"][0].as_py() or 0)
        stride = (place[1] - place[0]) // count if count else 0
        if stride < 12 or stride % 4:
            return None
        return drawings.cloud(message, frame, stride // 4, 4, *place)
    layout = layout_of(message.header)
    if layout.dtype not in ("<f4", "<f8"):
        return None
    shape = layout.shape
    columns = shape[1] if shape is not None and len(shape) == 2 else 3
    if columns < 3 or size % (columns * layout.width):
        return None
    return drawings.cloud(message, frame, columns, layout.width, 0, size)


def _pose(message: RecordedMessage, metadata: dict[str, Any], _: Declared) -> Drawn | None:
    found = pose_of(message)
    if found is None:
        return None
    position, turn, frame = found
    return drawings.pose(message, frame or _frame(metadata, _WORLD), position, turn)


def _transform(message: RecordedMessage, metadata: dict[str, Any], _: Declared) -> Drawn | None:
    found = transform_of(message)
    if found is None:
        return None
    child = metadata.get("child_frame_id")
    child = child if isinstance(child, str) and child else message.topic
    return drawings.transform(message, _frame(metadata, _WORLD), child, *found)


def _boxes(message: RecordedMessage, metadata: dict[str, Any], _: Declared) -> Drawn | None:
    found = boxes_of(message, str(metadata.get("format", "xyxy")))
    return None if found is None else drawings.boxes(message, found)


# ---- numbers ----


def _numbers(message: RecordedMessage, layout: Layout) -> Drawn | None:
    """A few numbers, for plots. Bytes are none: they may be anything."""
    size, width = message.view.nbytes, layout.width
    if not width or layout.dtype == "|u1" or not 0 < size <= width * _MOST_NUMBERS:
        return None
    if layout.dtype == "<f8":
        return drawings.numbers(message, bytes(message.view), payload_is_values=True)
    import numpy as np

    values = np.frombuffer(message.view, layout.dtype).astype("<f8").tobytes()
    return drawings.numbers(message, values, payload_is_values=False)


@functools.lru_cache(1024)
def layout_of(header: bytes) -> Layout:
    """What the header says of a payload that is the values themselves."""
    if header[:1] == b"p":
        name = header[1:].decode()
        kind = name.rstrip("0123456789")
        width = int(name[len(kind) :]) // 8
        return Layout(f"{'|' if width == 1 else '<'}{kind[0]}{width}", None)
    if header[:1] == b"n":
        dtype, shape = msgspec.msgpack.decode(header[1:])
        if isinstance(dtype, str):
            return Layout(dtype, tuple(shape))
    return Layout("", None)


def _row(message: RecordedMessage, names: set[str]) -> dict[str, Any] | None:
    """The fields of a struct that has at least these, and one row: arrays of one value."""
    if not message.header.startswith(b"astruct<"):
        return None
    value = message.value()
    have = {field.name for field in value.type}
    if len(value) != 1 or not names <= have or not value[0].is_valid:
        return None
    return {name: value.field(name) for name in have}


def _frame(metadata: dict[str, Any], otherwise: str) -> str:
    """The coordinate frame that the metadata names."""
    given = metadata.get("frame_id")
    return given if isinstance(given, str) and given else otherwise


_BY_TYPE: dict[str, Callable[[RecordedMessage, dict[str, Any], Declared], Drawn | None]] = {
    "std/media/v1/Image": _declared_image,
    "std/media/v1/CompressedImage": lambda message, metadata, _: _compressed(
        message, metadata, None
    ),
    "std/media/v1/PointCloud": _cloud,
    "std/vision/v1/Detection": _boxes,
    "std/vision/v1/BoundingBox": _boxes,
    "std/math/v1/Pose": _pose,
    "std/control/v1/Odometry": _pose,
    "std/math/v1/Transform": _transform,
}

"""Images, point clouds and laser scans of ROS → NumPy arrays and metadata. Pure.

Used by `recording.ros_values`, which has the table of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dora.errors import ReplayError

if TYPE_CHECKING:
    import numpy.typing as npt

    Value = tuple[Any, dict[str, Any]]

_PIXELS: dict[str, tuple[str, int]] = {
    "mono8": ("u1", 1),
    "mono16": ("u2", 1),
    "rgb8": ("u1", 3),
    "bgr8": ("u1", 3),
    "rgba8": ("u1", 4),
    "bgra8": ("u1", 4),
    "rgb16": ("u2", 3),
    "bgr16": ("u2", 3),
    "rgba16": ("u2", 4),
    "bgra16": ("u2", 4),
    "yuv422": ("u1", 2),
    "uyvy": ("u1", 2),
    "yuyv": ("u1", 2),
    "yuv422_yuy2": ("u1", 2),
    **{f"bayer_{order}8": ("u1", 1) for order in ("rggb", "bggr", "gbrg", "grbg")},
    **{f"bayer_{order}16": ("u2", 1) for order in ("rggb", "bggr", "gbrg", "grbg")},
    **{
        f"{name}C{channels}": (code, channels)
        for name, code in (
            ("8U", "u1"),
            ("8S", "i1"),
            ("16U", "u2"),
            ("16S", "i2"),
            ("32S", "i4"),
            ("32F", "f4"),
            ("64F", "f8"),
        )
        for channels in (1, 2, 3, 4)
    },
}
"""Encodings of `sensor_msgs/Image`: the type of a channel, and how many a pixel has."""

_POINT_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_SCAN_FACTS = (
    "angle_min",
    "angle_max",
    "angle_increment",
    "time_increment",
    "scan_time",
    "range_min",
    "range_max",
)


def image(message: Any) -> Value:
    """The pixels, without padding, in this machine's byte order."""
    height, width, encoding = message.height, message.width, message.encoding
    facts = {"encoding": encoding, "width": width, "height": height}
    raw = np.asarray(message.data, np.uint8)
    if encoding not in _PIXELS:
        rows = raw.reshape(height, message.step) if raw.size == height * message.step else raw
        return rows, facts
    code, channels = _PIXELS[encoding]
    dtype = np.dtype(code).newbyteorder(">" if message.is_bigendian else "<")
    row_bytes = width * channels * dtype.itemsize
    if message.step < row_bytes or raw.size < height * message.step:
        raise ReplayError(
            f"an image of {width} x {height} pixels of `{encoding}` has only {raw.size} bytes"
        )
    rows = raw[: height * message.step].reshape(height, message.step)[:, :row_bytes]
    pixels = np.ascontiguousarray(rows).view(dtype).astype(dtype.newbyteorder("="), copy=False)
    return pixels.reshape((height, width, channels) if channels > 1 else (height, width)), facts


def compressed(message: Any) -> Value:
    """The file, as it came."""
    text = message.format.lower()
    if "compresseddepth" in text:
        encoding = "compressedDepth"
    else:
        known = ("jpeg", "jpg", "png", "webp", "h264", "h265")
        encoding = next((name for name in known if name in text), text)
    encoding = "jpeg" if encoding == "jpg" else encoding
    return np.asarray(message.data, np.uint8), {"encoding": encoding, "format": message.format}


def points(message: Any) -> Value:
    """All fields as columns: x, y, z, then the others in their order."""
    order = "><"[not message.is_bigendian]
    wide = any(_POINT_TYPES.get(field.datatype) == "f8" for field in message.fields)
    dtype = np.dtype("f8" if wide else "f4")
    count = message.width * message.height
    raw = np.asarray(message.data, np.uint8)
    packed = message.width * message.point_step
    if raw.size < message.height * message.row_step or message.row_step < packed:
        raise ReplayError(f"a cloud of {count} points has only {raw.size} bytes")
    if message.row_step != packed:
        rows = raw[: message.height * message.row_step].reshape(message.height, -1)
        raw = np.ascontiguousarray(rows[:, :packed]).reshape(-1)
    columns: dict[str, npt.NDArray[Any]] = {}
    for field in message.fields:
        code = _POINT_TYPES.get(field.datatype)
        if code is None:
            raise ReplayError(
                f"field `{field.name}` of a cloud has the unknown type {field.datatype}"
            )
        for number in range(max(1, field.count)):
            name = field.name if field.count <= 1 else f"{field.name}_{number}"
            offset = field.offset + number * np.dtype(code).itemsize
            columns[name] = np.ndarray(
                (count,), order + code, raw, offset=offset, strides=(message.point_step,)
            )
    names = sorted(columns, key=lambda name: "xyz".find(name) if name in ("x", "y", "z") else 3)
    cloud = np.empty((count, len(names)), dtype)
    for at, name in enumerate(names):
        cloud[:, at] = columns[name]
    facts = {"fields": names, "width": message.width, "height": message.height}
    return cloud, {"primitive": "points3d", **facts}


def scan(message: Any) -> Value:
    """The ranges; all else as metadata."""
    facts: dict[str, Any] = {name: float(getattr(message, name)) for name in _SCAN_FACTS}
    if len(message.intensities):
        facts["intensities"] = np.asarray(message.intensities, np.float32).tolist()
    return np.asarray(message.ranges, np.float32), facts

"""What Arrow structs and flat numbers mean that are poses, transforms or boxes.

Elsewhere: which messages are looked at so (`recording.kinds`).
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dora.recording.drawings import Box

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from dora.recording.message import RecordedMessage

Vector = tuple[float, ...]

_BOX_FORMATS = ("xyxy", "xywh")
_CLASS_KEYS = ("label", "class_name", "name", "class")


def slice_of(message: RecordedMessage, array: Any) -> tuple[int, int] | None:
    """Where in the payload the bytes of an array's only value lie; None if it is not binary.

    Args:
        message: The message.
        array: Its value, or a field of that.
    """
    kind = array.type
    long = pa.types.is_large_binary(kind)
    if len(array) != 1 or array.null_count or not (long or pa.types.is_binary(kind)):
        return None
    _, ends, data = array.buffers()
    if data is None:
        return None
    width = 8 if long else 4
    raw = memoryview(ends)[array.offset * width : (array.offset + 2) * width]
    first, last = struct.unpack("<qq" if long else "<ii", raw)
    start = data.address + first - pa.py_buffer(message.payload).address
    end = start + last - first
    return (start, end) if 0 <= start <= end <= message.view.nbytes else None


def pose_of(message: RecordedMessage) -> tuple[Vector, Vector, str] | None:
    """Position, quaternion and frame of a Pose or Odometry, or of seven numbers."""
    row = _only_row(message)
    frame = ""
    if row is None:
        flat = _flat_numbers(message)
        if flat is None or len(flat) != 7:
            return None
        return tuple(flat[:3]), tuple(flat[3:]), ""
    if isinstance(row.get("pose"), dict):
        frame = str(row.get("frame_id") or "")
        row = row["pose"]
    position, turn = _vector(row.get("position"), "xyz"), _vector(row.get("orientation"), "xyzw")
    return None if position is None or turn is None else (position, turn, frame)


def transform_of(message: RecordedMessage) -> tuple[Vector, Vector] | None:
    """Translation and quaternion of a Transform, or of a matrix of four rows."""
    row = _only_row(message)
    if row is not None:
        shift, turn = _vector(row.get("translation"), "xyz"), _vector(row.get("rotation"), "xyzw")
        return None if shift is None or turn is None else (shift, turn)
    if message.header[:1] != b"n":
        return None
    matrix = message.value()
    if matrix.shape != (4, 4) or matrix.dtype.kind != "f":
        return None
    return tuple(float(value) for value in matrix[:3, 3]), _quaternion(matrix)


def boxes_of(message: RecordedMessage, form: str) -> list[Box] | None:
    """The boxes of a Detection, of an array of boxes, or of dora's hub packages; None if none.

    Args:
        message: The message.
        form: What the hub's four numbers are: `xyxy` or `xywh`, with the centre first.
    """
    if not message.header.startswith(b"astruct<"):
        return None
    value = message.value()
    names = {field.name for field in value.type}
    if "boxes" in names and len(value) == 1:
        listed = value[0].as_py()
        rows = listed and listed["boxes"]
    elif "bbox" in names and len(value) == 1:
        return _hub_boxes(value[0].as_py(), form)
    elif {"x1", "y1", "x2", "y2"} <= names or {"x", "y", "width", "height"} <= names:
        rows = value.to_pylist()
    else:
        return None
    if not isinstance(rows, list):
        return None
    found = [_box(row) for row in rows]
    return None if None in found else [box for box in found if box is not None]


def _box(row: Any) -> Box | None:
    if not isinstance(row, dict):
        return None
    corners = _vector(row, ("x1", "y1", "x2", "y2"))
    if corners is None:
        size = _vector(row, ("x", "y", "width", "height"))
        if size is None:
            return None
        corners = (size[0], size[1], size[0] + size[2], size[1] + size[3])
    left, top, right, bottom = corners
    return Box(left, top, right, bottom, _label(row))


def _label(row: dict[str, Any]) -> str:
    name = next((row[key] for key in _CLASS_KEYS if row.get(key) is not None), "")
    confidence = row.get("confidence")
    sure = f"{confidence:.2f}" if isinstance(confidence, float) else ""
    return f"{name} {sure}".strip()


def _hub_boxes(row: Any, form: str) -> list[Box] | None:
    """Boxes as `dora-yolo` sends them: four numbers of each in one list."""
    flat = row.get("bbox") if isinstance(row, dict) else None
    if form not in _BOX_FORMATS or not isinstance(flat, list) or len(flat) % 4:
        return None
    if not all(isinstance(value, (int, float)) for value in flat):
        return None
    labels, sure = row.get("labels") or [], row.get("conf") or []
    found = []
    for at, (a, b, c, d) in enumerate(_fours(flat)):
        corners = (a, b, c, d) if form == "xyxy" else (a - c / 2, b - d / 2, a + c / 2, b + d / 2)
        text = {
            "label": labels[at] if at < len(labels) else None,
            "confidence": sure[at] if at < len(sure) else None,
        }
        found.append(Box(*corners, _label(text)))
    return found


def _fours(flat: list[float]) -> Iterator[tuple[float, ...]]:
    return (tuple(flat[at : at + 4]) for at in range(0, len(flat), 4))


def _only_row(message: RecordedMessage) -> dict[str, Any] | None:
    """The one row of a struct, as a dict."""
    if not message.header.startswith(b"astruct<"):
        return None
    value = message.value()
    row = value[0].as_py() if len(value) == 1 else None
    return row if isinstance(row, dict) else None


def _flat_numbers(message: RecordedMessage) -> list[float] | None:
    if message.header[:1] not in (b"n", b"p"):
        return None
    value = message.value()
    if message.header[:1] == b"n" and value.dtype.kind not in "iuf":
        return None
    flat = value.reshape(-1) if message.header[:1] == b"n" else value
    return [float(number) for number in flat.tolist()]


def _vector(row: Any, keys: Sequence[str]) -> Vector | None:
    """These values of a struct, if all are numbers."""
    values = [row.get(key) for key in keys] if isinstance(row, dict) else [None]
    if not all(isinstance(value, (int, float)) for value in values):
        return None
    return tuple(float(value) for value in values if value is not None)


def _quaternion(matrix: np.ndarray[Any, Any]) -> Vector:
    """The rotation of a matrix, x, y, z, w."""
    m = [[float(matrix[i, j]) for j in range(3)] for i in range(3)]
    w = math.sqrt(max(0.0, 1 + m[0][0] + m[1][1] + m[2][2])) / 2
    x = math.copysign(math.sqrt(max(0.0, 1 + m[0][0] - m[1][1] - m[2][2])) / 2, m[2][1] - m[1][2])
    y = math.copysign(math.sqrt(max(0.0, 1 - m[0][0] + m[1][1] - m[2][2])) / 2, m[0][2] - m[2][0])
    z = math.copysign(math.sqrt(max(0.0, 1 - m[0][0] - m[1][1] + m[2][2])) / 2, m[1][0] - m[0][1])
    return x, y, z, w

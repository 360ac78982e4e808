"""A message → what a browser can show of it: picture, plot, level, table, text, first values. Pure.

A preview is small whatever the message is. What cannot be shown is told in words: no message,
however odd, is an error. Elsewhere: images (`web.images`), where messages come from
(`web.peeking`), how it looks (`static/preview.js`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from dora.errors import DoraError
from dora.monitor.message_text import data_text, type_of
from dora.node.json_metadata import plain_metadata
from dora.node.json_values import to_json, to_line
from dora.web.images import image_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dora.node.event_types import InputEvent

MOST_SERIES = 8
"""Numbers of one message that are drawn over time; more are drawn as one curve, by their index."""
MOST_POINTS = 400
"""Of a curve."""
_LOUDEST = 1000.0
"""Of samples that should lie within 1."""
_MOST_ROWS = 50
_MOST_COLUMNS = 12
_MOST_TEXT = 4000
_MOST_CELL = 200


class Preview(msgspec.Struct, frozen=True):
    """What is sent to browsers."""

    told: dict[str, Any]
    """For JSON: `kind`, `type`, `sent_ms`, `metadata`, and what the kind needs."""
    content: bytes = b""
    """Of a picture."""


def preview_of(event: InputEvent, declared: str = "") -> Preview:
    """Make a message small and visible.

    Args:
        event: As a tap gives it.
        declared: The type of the output, if the dataflow file names one.
    """
    metadata = event["metadata"]
    sent = metadata.get("timestamp")
    told: dict[str, Any] = {
        "type": type_of(event),
        "sent_ms": None if sent is None else sent.timestamp() * 1000,
        "metadata": _facts(metadata),
    }
    try:
        with np.errstate(all="ignore"):  # infinities of others are no fault of ours
            shown, content = _shown(event["value"], metadata, declared)
    except (ValueError, TypeError, OverflowError, pa.ArrowException, DoraError) as exc:
        shown, content = {"kind": "value", "text": "", "note": _cut(str(exc), _MOST_CELL)}, b""
    return Preview({**told, **shown}, content)


def _shown(value: Any, metadata: Mapping[str, Any], declared: str) -> tuple[dict[str, Any], bytes]:
    picture = image_of(value, metadata, declared)
    if picture is not None:
        size = {"width": picture.width, "height": picture.height}
        return {"kind": "image", "mime": picture.mime, **size}, picture.content
    if isinstance(value, np.ndarray):
        return _numbers(value, metadata, declared), b""
    if _is_text(value.type):
        return {"kind": "text", "text": _text(value)}, b""
    if pa.types.is_struct(value.type):
        return _records(value), b""
    if _is_number(value.type) and not value.null_count and len(value):
        return _numbers(value.to_numpy(zero_copy_only=False), metadata, declared), b""
    return {"kind": "value", "text": data_text(value)}, b""


def _numbers(
    array: np.ndarray[Any, Any], metadata: Mapping[str, Any], declared: str
) -> dict[str, Any]:
    if array.dtype.kind not in "biuf" or not array.size:
        return {"kind": "value", "text": data_text(array)}
    if _is_audio(array, metadata, declared):
        return _level(array, metadata)
    if array.ndim == 2 and array.shape[1] <= _MOST_COLUMNS and array.shape[0] > 1:
        rows = [[_number(one) for one in row] for row in array[:_MOST_ROWS]]
        return _table([str(at) for at in range(array.shape[1])], rows, array.shape[0])
    flat = array.reshape(-1)
    if flat.size <= MOST_SERIES:
        return {"kind": "series", "values": [_number(one) for one in flat]}
    if array.ndim > 2:
        return {"kind": "value", "text": data_text(array)}
    return {"kind": "curve", "size": flat.size, **_curve(flat)}


def _curve(flat: np.ndarray[Any, Any]) -> dict[str, Any]:
    """At most so many points, peaks kept: of each stretch the smallest and the largest number."""
    numbers = flat.astype("f8")
    if numbers.size <= MOST_POINTS:
        return {"step": 1, "points": [_number(one) for one in numbers]}
    per_pair = -(-numbers.size // (MOST_POINTS // 2))
    padded = np.pad(numbers, (0, -numbers.size % per_pair), mode="edge").reshape(-1, per_pair)
    pairs = np.stack([padded.min(axis=1), padded.max(axis=1)], axis=1).reshape(-1)
    return {"step": per_pair / 2, "points": [_number(one) for one in pairs]}


def _is_audio(array: np.ndarray[Any, Any], metadata: Mapping[str, Any], declared: str) -> bool:
    says_so = "sample_rate" in metadata or "AudioFrame" in declared.partition("[")[0]
    return says_so and array.ndim <= 2 and array.dtype.kind in "if"


def _level(array: np.ndarray[Any, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """How loud it is: 0 dB is the loudest that the dtype can say, or 1.0."""
    full = 1.0 if array.dtype.kind == "f" else float(np.iinfo(array.dtype).max)
    samples = np.clip(np.nan_to_num(array.astype("f8")) / full, -_LOUDEST, _LOUDEST)
    mono = samples if samples.ndim == 1 else samples.mean(axis=1)
    rate = metadata.get("sample_rate")
    return {
        "kind": "audio",
        "rms_db": _decibel(float(np.sqrt(np.mean(np.square(samples))))),
        "peak_db": _decibel(float(np.abs(samples).max())),
        "sample_rate": rate if isinstance(rate, int | float) else None,
        "samples": int(mono.size),
        **_curve(mono),
    }


def _decibel(amplitude: float) -> float:
    return round(20 * float(np.log10(max(amplitude, 1e-6))), 1)


def _records(value: pa.StructArray) -> dict[str, Any]:
    """One struct: a row for each field; several: a row for each of them."""
    names = [field.name for field in value.type]
    rows = to_json(value[:_MOST_ROWS])["data"]
    if len(value) == 1 and isinstance(rows[0], dict):
        fields = [[name, _cell(rows[0].get(name))] for name in names]
        return _table(["field", "value"], fields, len(fields))
    listed = [
        [_cell(row.get(name)) if isinstance(row, dict) else "" for name in names[:_MOST_COLUMNS]]
        for row in rows
    ]
    return _table(names[:_MOST_COLUMNS], listed, len(value))


def _table(columns: list[str], rows: list[list[Any]], total: int | None) -> dict[str, Any]:
    return {"kind": "table", "columns": columns, "rows": rows[:_MOST_ROWS], "total": total}


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else to_line(value).decode()
    return _cut(text, _MOST_CELL)


def _text(value: pa.Array) -> str:
    lines = ["" if one is None else one for one in value[:_MOST_ROWS].to_pylist()]
    left = len(value) - len(lines)
    return _cut("\n".join(lines), _MOST_TEXT) + (f"\n… {left} more" if left else "")


def _facts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """What the sender said besides, as text."""
    return {
        _cut(key, _MOST_CELL): _cell(one) if isinstance(one, str) else str(_cell(one))
        for key, one in list(plain_metadata(metadata).items())[:_MOST_ROWS]
    }


def _number(one: Any) -> float | int | None:
    """As JSON has it; None for those that it lacks."""
    plain = one.item() if isinstance(one, np.generic) else one
    if isinstance(plain, bool):
        return int(plain)
    if isinstance(plain, float):
        return float(f"{plain:.6g}") if np.isfinite(plain) else None
    return int(plain)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"

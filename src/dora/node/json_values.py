"""A value ↔ JSON: what people type, what files of inputs hold, what is written for them.

Arrow values are `data` and `data_type`, as dora-rs reads and writes them; `data` alone has its
type inferred. NumPy values have `dtype` (and `shape`) too, fields that dora-rs passes over. Numbers
that JSON lacks are text (`"NaN"`, `"Infinity"`), bytes are hexadecimal, moments are ISO 8601.

Elsewhere: the JSON of a type (`node.json_types`), metadata (`node.json_metadata`), a value made
readable (`node.previews`).
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from dora.errors import InputFormatError
from dora.node.json_types import describe_type, read_type

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING: Any = object()
"""Stands for `data` that is absent: an Arrow null array without elements."""

to_line = msgspec.json.Encoder(decimal_format="number").encode
"""JSON bytes of what `to_json` made, on one line."""

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_A_DAY = 86_400
_NUMBERS = "biuf"
"""Kinds of dtype whose elements JSON has as they are."""


def from_json(
    data: Any = NOTHING, data_type: Any = None, dtype: Any = None, shape: Any = None
) -> pa.Array | np.ndarray[Any, Any]:
    """The value that JSON tells of.

    Args:
        data: A list is an array, anything else an array of one element; nothing is one of none.
        data_type: The Arrow type, as dora-rs writes it; inferred when not given.
        dtype: Makes it a NumPy array: a dtype as text, or a list of `[name, dtype]`.
        shape: Makes it a NumPy array of this shape; `data` may be flat or nested.

    Raises:
        InputFormatError: `data` is not of that type, or of none.
    """
    if dtype is not None or shape is not None:
        return _numpy_from(data, dtype, shape)
    if data is NOTHING and data_type is None:
        return pa.nulls(0)
    items = [] if data is NOTHING else data if isinstance(data, list) else [data]
    try:
        if data_type is None:
            return pa.array(items)
        arrow_type = read_type(data_type)
        if pa.types.is_dictionary(arrow_type):
            flat = _arrow_of(items, arrow_type.value_type)
            return flat.dictionary_encode().cast(arrow_type)
        return _arrow_of(items, arrow_type)
    except InputFormatError:
        raise
    except (pa.ArrowException, ValueError, TypeError, AttributeError, OverflowError) as exc:
        wanted = "elements of one type" if data_type is None else f"of type `{data_type}`"
        raise InputFormatError(f"`data` is not {wanted}: {exc}") from exc


def to_json(value: Any, *, flat: bool = False) -> dict[str, Any]:
    """`data` and `data_type` of an Arrow array; `data`, `dtype` and `shape` of a NumPy array.

    Args:
        value: What an INPUT event has as its value.
        flat: Write a NumPy array as the flat list that dora-rs can read, with a `data_type`.
    """
    if isinstance(value, np.ndarray):
        return _numpy_to(value, flat)
    return {"data": _column(value), "data_type": describe_type(value.type)}


# ---- NumPy ----


def _numpy_from(data: Any, dtype: Any, shape: Any) -> np.ndarray[Any, Any]:
    try:
        fields = [tuple(field) for field in dtype] if isinstance(dtype, list) else dtype
        kind = None if fields is None else np.dtype(fields)
    except (TypeError, ValueError) as exc:
        raise InputFormatError(
            f"`dtype` is `{dtype}`, which NumPy does not know; one looks like `uint8` or `float32`"
        ) from exc
    given = [] if data is NOTHING else data
    try:
        if kind is not None and kind.kind not in _NUMBERS + "UMm":
            array = np.frombuffer(bytes.fromhex(str(given)), kind)
        elif kind is not None and kind.kind in "iub":
            array = _exact(given, kind)
        elif kind is not None:
            array = np.array(given, kind.newbyteorder("=")).astype(kind)
        else:
            array = np.array(given)
        return array if shape is None else array.reshape(tuple(shape))
    except (TypeError, ValueError, OverflowError) as exc:
        raise InputFormatError(f"`data` is no array of {_wanted(kind, shape)}: {exc}") from exc


def _exact(given: Any, kind: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Integers, of which none is cut to fit."""
    wide = np.array(given)
    if wide.size and wide.dtype.kind not in "iub":
        raise ValueError("it holds what is no whole number")
    array = wide.astype(kind)
    if not np.array_equal(array, wide):
        raise ValueError("it holds numbers that do not fit")
    return array


def _wanted(kind: np.dtype[Any] | None, shape: Any) -> str:
    return " and ".join(
        text
        for text in (
            f"dtype `{kind}`" if kind is not None else "",
            f"shape {shape}" if shape is not None else "",
        )
        if text
    )


def _numpy_to(array: np.ndarray[Any, Any], flat: bool) -> dict[str, Any]:
    kind = array.dtype
    facts = {"dtype": _dtype_text(kind), "shape": list(array.shape)}
    if kind.kind not in _NUMBERS + "UMm":
        whole = array.tobytes()
        if flat:
            return {"data": whole.hex(), "data_type": "Utf8", **facts}
        return {"data": whole.hex(), **facts}
    native = kind.newbyteorder("=")
    plain = array.astype(native).view("i8") if kind.kind in "Mm" else array
    data = (plain.reshape(-1) if flat else plain).tolist()
    if kind.kind == "f" and not np.isfinite(array).all():
        data = _json_floats(data)
    if not flat:
        return {"data": data, **facts}
    return {"data": data, "data_type": _arrow_name(plain.dtype), **facts}


def _arrow_name(kind: np.dtype[Any]) -> Any:
    if kind.kind == "U":
        return "Utf8"
    return describe_type(pa.from_numpy_dtype(kind.newbyteorder("=")))


def _dtype_text(kind: np.dtype[Any]) -> Any:
    if kind.names is not None:
        return [list(field) for field in kind.descr]
    return kind.name if kind.kind in _NUMBERS and np.dtype(kind.name) == kind else kind.str


def _json_floats(data: Any) -> Any:
    if isinstance(data, list):
        return [_json_floats(item) for item in data]
    return _json_float(data)


def _json_float(number: float) -> float | str:
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


# ---- Arrow → JSON ----


def _column(array: pa.Array) -> list[Any]:
    """The elements of an array as JSON has them."""
    arrow_type = array.type
    is_a = pa.types
    if isinstance(array, pa.ExtensionArray):
        return _column(array.storage)
    if is_a.is_floating(arrow_type):
        return [None if item is None else _json_float(item) for item in array.to_pylist()]
    if is_a.is_dictionary(arrow_type):
        return _column(array.dictionary_decode())
    if is_a.is_struct(arrow_type):
        return _structs(array)
    if _is_list(arrow_type):
        return _lists(array)
    if is_a.is_temporal(arrow_type):
        return _moments(array)
    items = array.to_pylist()
    if is_a.is_map(arrow_type):
        return [None if item is None else {str(k): _bare(v) for k, v in item} for item in items]
    return [_bare(item) for item in items]


def _is_list(arrow_type: pa.DataType) -> bool:
    is_a = pa.types
    return bool(
        is_a.is_list(arrow_type)
        or is_a.is_large_list(arrow_type)
        or is_a.is_fixed_size_list(arrow_type)
    )


def _bare(item: Any) -> Any:
    if isinstance(item, bytes):
        return item.hex()
    if item is None or isinstance(item, (bool, int, float, str, Decimal)):
        return item
    return str(item)


def _structs(array: pa.StructArray) -> list[Any]:
    """dora-rs leaves out what is null."""
    names = [array.type.field(index).name for index in range(array.type.num_fields)]
    columns = [_column(column) for column in array.flatten()]
    valid = array.is_valid().to_pylist()
    rows: list[Any] = []
    for row, there in enumerate(valid):
        cells = ((name, column[row]) for name, column in zip(names, columns, strict=True))
        rows.append({name: cell for name, cell in cells if cell is not None} if there else None)
    return rows


def _lists(array: Any) -> list[Any]:
    flat = _column(array.flatten())
    lists: list[Any] = []
    start = 0
    for length in array.value_lengths().to_pylist():
        if length is None:
            lists.append(None)
        else:
            lists.append(flat[start : start + length])
            start += length
    return lists


def _moments(array: pa.Array) -> list[Any]:
    arrow_type = array.type
    is_a = pa.types
    if is_a.is_date32(arrow_type):
        return [None if day is None else day.isoformat() for day in array.to_pylist()]
    if is_a.is_interval(arrow_type):
        return [None if item is None else str(item) for item in array.to_pylist()]
    counts = array.cast(pa.int32() if is_a.is_time32(arrow_type) else pa.int64()).to_pylist()
    unit = "ms" if is_a.is_date64(arrow_type) else arrow_type.unit
    zone = "Z" if is_a.is_timestamp(arrow_type) and arrow_type.tz else ""

    def text(count: int) -> str:
        seconds, part = divmod(count, _PER_SECOND[unit])
        if is_a.is_duration(arrow_type):
            return _duration_text(count, _PER_SECOND[unit])
        moment = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()
        if is_a.is_time(arrow_type):
            moment = moment.partition("T")[2]
        return moment + _fraction(part, unit) + zone

    return [None if count is None else text(count) for count in counts]


def _fraction(part: int, unit: str) -> str:
    """The part of a second, in three, six or nine digits."""
    digits = f"{part:0{len(str(_PER_SECOND[unit])) - 1}}" if part else ""
    while digits.endswith("000"):
        digits = digits[:-3]
    return "." + digits if digits else ""


def _duration_text(count: int, per_second: int) -> str:
    seconds, part = divmod(abs(count), per_second)
    sign = "-" if count < 0 else ""
    fraction = f".{part:0{len(str(per_second)) - 1}}".rstrip("0") if part else ""
    return f"{sign}PT{seconds}{fraction}S"


# ---- JSON → Arrow ----


def _arrow_of(items: list[Any], arrow_type: pa.DataType) -> pa.Array:
    read = _element_reader(arrow_type)
    return pa.array(items if read is None else [_or_null(read, item) for item in items], arrow_type)


def _or_null(read: Callable[[Any], Any], item: Any) -> Any:
    return None if item is None else read(item)


def _element_reader(arrow_type: pa.DataType) -> Callable[[Any], Any] | None:
    """What makes of an element of JSON what `pa.array` takes; None where that is the same."""
    is_a = pa.types
    if is_a.is_floating(arrow_type):
        return float
    if is_a.is_decimal(arrow_type):
        return _decimal
    if is_a.is_timestamp(arrow_type):
        return lambda item: _since_epoch(item, arrow_type.unit)
    if is_a.is_time(arrow_type):
        return lambda item: _since_epoch(f"1970-01-01T{item}", arrow_type.unit)
    if is_a.is_duration(arrow_type):
        return lambda item: _duration(item, arrow_type.unit)
    if is_a.is_date(arrow_type):
        return lambda item: date.fromisoformat(item[:10]) if isinstance(item, str) else item
    if (
        is_a.is_binary(arrow_type)
        or is_a.is_large_binary(arrow_type)
        or is_a.is_fixed_size_binary(arrow_type)
        or is_a.is_binary_view(arrow_type)
    ):
        return bytes.fromhex
    return _nested_reader(arrow_type)


def _nested_reader(arrow_type: pa.DataType) -> Callable[[Any], Any] | None:
    is_a = pa.types
    if _is_list(arrow_type):
        read = _element_reader(arrow_type.value_type)
        return None if read is None else lambda item: [_or_null(read, inner) for inner in item]
    if is_a.is_struct(arrow_type):
        fields = [arrow_type.field(index) for index in range(arrow_type.num_fields)]
        readers = {field.name: _element_reader(field.type) for field in fields}
        return lambda item: {
            name: inner if (read := readers.get(name)) is None else _or_null(read, inner)
            for name, inner in item.items()
        }
    if is_a.is_map(arrow_type):
        return lambda item: list(item.items())
    return None


def _since_epoch(item: Any, unit: str) -> Any:
    """An ISO 8601 moment as a count of `unit`; a number is one already."""
    if not isinstance(item, str):
        return item
    whole, _, rest = item.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    moment = datetime.fromisoformat(whole + rest[len(digits) :])
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    since = moment - _EPOCH
    seconds = since.days * _SECONDS_A_DAY + since.seconds
    return seconds * _PER_SECOND[unit] + int(_PER_SECOND[unit] * Decimal(f"0.{digits or 0}"))


def _duration(item: Any, unit: str) -> Any:
    if not isinstance(item, str):
        return item
    sign = -1 if item.startswith("-") else 1
    text = item.lstrip("-")
    if not (text.startswith("PT") and text.endswith("S")):
        raise ValueError(f"`{item}` is no duration; one looks like `PT1.5S`")
    return sign * int(_decimal(text[2:-1]) * _PER_SECOND[unit])


def _decimal(item: Any) -> Decimal:
    try:
        return Decimal(str(item))
    except InvalidOperation:
        raise ValueError(f"`{item}` is no number") from None

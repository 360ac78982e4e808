"""An Arrow type ↔ the JSON that dora-rs writes for it, e.g. `"Int64"` or `{"List": {...}}`.

Reading also takes Arrow's own spelling of plain types (`"int64"`, `"string"`), for people who type.

Elsewhere: the values (`node.json_values`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dora.errors import InputFormatError
from dora.ids import suggest

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = {
    "Null": pa.null(),
    "Boolean": pa.bool_(),
    "Int8": pa.int8(),
    "Int16": pa.int16(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "UInt8": pa.uint8(),
    "UInt16": pa.uint16(),
    "UInt32": pa.uint32(),
    "UInt64": pa.uint64(),
    "Float16": pa.float16(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "Utf8": pa.string(),
    "LargeUtf8": pa.large_string(),
    "Utf8View": pa.string_view(),
    "Binary": pa.binary(),
    "LargeBinary": pa.large_binary(),
    "BinaryView": pa.binary_view(),
    "Date32": pa.date32(),
    "Date64": pa.date64(),
}
"""Types that need no parameters."""

_NAMES = {arrow_type: name for name, arrow_type in PLAIN.items()}
_UNITS = {"Second": "s", "Millisecond": "ms", "Microsecond": "us", "Nanosecond": "ns"}
_UNIT_NAMES = {unit: name for name, unit in _UNITS.items()}

_READERS: dict[str, Callable[[Any], pa.DataType]] = {
    "Timestamp": lambda given: pa.timestamp(_UNITS[given[0]], given[1]),
    "Duration": lambda given: pa.duration(_UNITS[given]),
    "Time32": lambda given: pa.time32(_UNITS[given]),
    "Time64": lambda given: pa.time64(_UNITS[given]),
    "FixedSizeBinary": lambda given: pa.binary(given),
    "Decimal128": lambda given: pa.decimal128(*given),
    "Decimal256": lambda given: pa.decimal256(*given),
    "List": lambda given: pa.list_(_read_field(given)),
    "LargeList": lambda given: pa.large_list(_read_field(given)),
    "FixedSizeList": lambda given: pa.list_(_read_field(given[0]), given[1]),
    "Struct": lambda given: pa.struct([_read_field(field) for field in given]),
    "Dictionary": lambda given: pa.dictionary(read_type(given[0]), read_type(given[1])),
    "Map": lambda given: _read_map(*given),
}


def read_type(described: Any) -> pa.DataType:
    """The Arrow type behind a `data_type`.

    Raises:
        InputFormatError: it names none.
    """
    if isinstance(described, str):
        if described in PLAIN:
            return PLAIN[described]
        try:
            return pa.type_for_alias(described)
        except ValueError:
            near = suggest(described, PLAIN)
            raise InputFormatError(
                f"`data_type` is `{described}`, which is no type"
                + (f"; did you mean `{near}`?" if near else "; one looks like `Int64` or `Utf8`")
            ) from None
    if isinstance(described, dict) and len(described) == 1:
        ((name, given),) = described.items()
        if name in _READERS:
            try:
                return _READERS[name](given)
            except InputFormatError:
                raise
            except (TypeError, ValueError, KeyError, IndexError, pa.ArrowException) as exc:
                raise InputFormatError(f"`data_type` `{name}` is not as dora-rs writes it") from exc
    raise InputFormatError(f"`data_type` is `{described}`, which is no type that can be read here")


def describe_type(arrow_type: pa.DataType) -> Any:
    """The JSON of an Arrow type; of one that has none the type as text."""
    if arrow_type in _NAMES:
        return _NAMES[arrow_type]
    is_a = pa.types
    if is_a.is_timestamp(arrow_type):
        return {"Timestamp": [_UNIT_NAMES[arrow_type.unit], arrow_type.tz]}
    if is_a.is_duration(arrow_type):
        return {"Duration": _UNIT_NAMES[arrow_type.unit]}
    if is_a.is_time(arrow_type):
        return {f"Time{arrow_type.bit_width}": _UNIT_NAMES[arrow_type.unit]}
    if is_a.is_fixed_size_binary(arrow_type):
        return {"FixedSizeBinary": arrow_type.byte_width}
    if is_a.is_decimal128(arrow_type) or is_a.is_decimal256(arrow_type):
        return {f"Decimal{arrow_type.bit_width}": [arrow_type.precision, arrow_type.scale]}
    if is_a.is_dictionary(arrow_type):
        return {
            "Dictionary": [
                describe_type(arrow_type.index_type),
                describe_type(arrow_type.value_type),
            ]
        }
    if isinstance(arrow_type, pa.BaseExtensionType):
        return describe_type(arrow_type.storage_type)
    return _describe_nested(arrow_type)


def _describe_nested(arrow_type: pa.DataType) -> Any:
    is_a = pa.types
    if is_a.is_list(arrow_type):
        return {"List": _describe_field(arrow_type.value_field)}
    if is_a.is_large_list(arrow_type):
        return {"LargeList": _describe_field(arrow_type.value_field)}
    if is_a.is_fixed_size_list(arrow_type):
        return {"FixedSizeList": [_describe_field(arrow_type.value_field), arrow_type.list_size]}
    if is_a.is_struct(arrow_type):
        fields = [arrow_type.field(index) for index in range(arrow_type.num_fields)]
        return {"Struct": [_describe_field(field) for field in fields]}
    if is_a.is_map(arrow_type):
        entries = pa.field(
            "entries", pa.struct([arrow_type.key_field, arrow_type.item_field]), nullable=False
        )
        return {"Map": [_describe_field(entries), arrow_type.keys_sorted]}
    return str(arrow_type)


def _describe_field(field: pa.Field) -> dict[str, Any]:
    notes = field.metadata or {}
    return {
        "name": field.name,
        "data_type": describe_type(field.type),
        "nullable": field.nullable,
        "dict_id": 0,
        "dict_is_ordered": False,
        "metadata": {key.decode(): text.decode() for key, text in notes.items()},
    }


def _read_field(given: Any) -> pa.Field:
    return pa.field(
        given["name"],
        read_type(given["data_type"]),
        given.get("nullable", True),
        given.get("metadata") or None,
    )


def _read_map(entries: Any, keys_sorted: bool) -> pa.DataType:
    pair = _read_field(entries).type
    return pa.map_(pair.field(0), pair.field(1), keys_sorted)

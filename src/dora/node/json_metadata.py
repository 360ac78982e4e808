"""Metadata ↔ JSON: as dora-rs writes it in files of inputs, and all that ours may hold besides.

dora-rs names the type of each value: `{"k": {"Integer": 5}}`. Reading takes plain JSON too. What
dora-rs cannot hold (bytes, null, nested values, moments without an offset) is written under a key
of its own, which dora-rs passes over.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dora.errors import InputFormatError
from dora.wire.metadata import SET_BY_DORA

if TYPE_CHECKING:
    from collections.abc import Mapping

MORE = "more_metadata"
"""The key beside `metadata` for what dora-rs cannot hold."""

_LISTS = {int: "ListInt", float: "ListFloat", str: "ListString"}


def write_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """`metadata` and `more_metadata` of an event in a file; those that would be empty are left out.

    What dora sets itself (`timestamp`, `type_info`) is not written.
    """
    known: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for key, value in metadata.items():
        if key in SET_BY_DORA:
            continue
        tagged, readable = _tagged(value)
        (known if readable else more)[key] = tagged
    return {name: part for name, part in (("metadata", known), (MORE, more)) if part}


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata for people: plain JSON, bytes in hexadecimal, moments in ISO 8601."""
    return {key: _plain(value) for key, value in metadata.items() if key not in SET_BY_DORA}


def read_metadata(*given: Any) -> dict[str, Any]:
    """Metadata as any of these functions wrote it, or as plain JSON.

    Raises:
        InputFormatError: it is no object, or a value is not of the type that it names.
    """
    metadata: dict[str, Any] = {}
    for part in given:
        if part is None:
            continue
        if not isinstance(part, dict):
            raise InputFormatError('`metadata` is no object, such as `{"encoding": "rgb8"}`')
        for key, value in part.items():
            try:
                metadata[key] = _untagged(value)
            except (TypeError, ValueError, AttributeError) as exc:
                raise InputFormatError(f"metadata `{key}` cannot be read: {exc}") from exc
    return metadata


def _tagged(value: Any) -> tuple[Any, bool]:
    """A value with its type, and whether dora-rs can read that."""
    match value:
        case bool():
            return {"Bool": value}, True
        case int():
            return {"Integer": value}, -(2**63) <= value < 2**63
        case float():
            finite = math.isfinite(value)
            return {"Float": value if finite else str(value)}, finite
        case str():
            return {"String": value}, True
        case bytes():
            return {"Bytes": value.hex()}, False
        case datetime():
            if value.tzinfo is UTC:
                return {"Timestamp": value.isoformat().replace("+00:00", "Z")}, True
            return {"Timestamp": value.isoformat()}, False
        case None:
            return {"Null": None}, False
        case dict():
            return {"Map": {key: _tagged(item)[0] for key, item in value.items()}}, False
    kinds = {type(item) for item in value}
    if kinds == {float} and not all(map(math.isfinite, value)):
        return {"ListFloat": [item if math.isfinite(item) else str(item) for item in value]}, False
    if len(kinds) == 1 and (name := _LISTS.get(kinds.pop())) is not None:
        return {name: list(value)}, True
    if not value:
        return {"ListInt": []}, True
    return {"List": [_tagged(item)[0] for item in value]}, False


def _untagged(value: Any) -> Any:
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((tag, inner),) = value.items()
    match tag:
        case "Bool" | "Integer" | "String" | "ListInt" | "ListString" | "Null":
            return inner
        case "Float":
            return float(inner)
        case "ListFloat":
            return [float(item) for item in inner]
        case "Bytes":
            return bytes.fromhex(inner)
        case "Timestamp":
            return datetime.fromisoformat(inner)
        case "List":
            return [_untagged(item) for item in inner]
        case "Map":
            return {key: _untagged(item) for key, item in inner.items()}
    return value


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case datetime():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value

"""A message's user metadata ↔ msgpack; which keys are reserved.

Values are bool, int (64 bit), float, str, bytes, datetime, None, lists and dicts of these (keys are
str), nested as deep as wanted. They arrive as they were sent; a tuple arrives as a list. A datetime
keeps its offset: it travels as extension 1, the text of `isoformat()` without the offset, then, if
it has one, a space and the offset in microseconds (`fromisoformat` misreads offsets below 1 s).

Elsewhere: `timestamp` and `type_info` of an event are added by the receiver (`node.event_stream`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec

from dora.errors import MetadataError
from dora.wire.spans import CONTEXT

SET_BY_DORA = frozenset({"timestamp", "type_info", "late", "late_ms"})
"""Keys that every received message has; what a sender puts there is not sent."""

HEEDED = frozenset({"deadline", "watermark", CONTEXT})
"""Keys that a receiver heeds; see `node.inputs`."""

_CORRELATING = frozenset({"request_id", "goal_id", "goal_status"})
_EXTENSION_DATETIME = 1
_MAX_DEPTH = 64
_MICROSECOND = timedelta(microseconds=1)
_PLAIN = frozenset({bool, int, float, str, bytes, type(None)})

_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int),
    (float, float),
    (str, str.__str__),
    (bytes, bytes),
)
"""Enums and NumPy's float64 and str_, which are subclasses of these, arrive as what they extend."""

_encoder = msgspec.msgpack.Encoder()


def encode(metadata: Mapping[str, Any]) -> bytes:
    """The bytes of `metadata` without the keys that dora sets; empty when nothing is left.

    Raises:
        MetadataError: a value or key of a type that cannot be sent; the message names its path.
    """
    if type(metadata) is not dict and not isinstance(metadata, Mapping):
        raise MetadataError(f"metadata is a dict of facts, not {_type_name(metadata)}")
    plain = {}
    for key, value in metadata.items():
        if key in SET_BY_DORA:
            continue
        if not isinstance(key, str):
            raise MetadataError(f"metadata keys are text; `{key!r}` is {_type_name(key)}")
        plain[key] = value if type(value) in _PLAIN else _plain(value, key, 0)
    if not plain:
        return b""
    try:
        return _encoder.encode(plain)
    except OverflowError as exc:
        raise MetadataError("metadata holds an int of more than 64 bits; send it as text") from exc
    except UnicodeEncodeError as exc:
        raise MetadataError(f"metadata holds text that is not valid Unicode: {exc}") from exc


def decode(data: bytes) -> dict[str, Any]:
    """The metadata behind `data`, which `encode` made."""
    if not data:
        return {}
    return _decoder.decode(data)


def is_flush(metadata: Mapping[str, Any]) -> bool:
    """Whether older messages that still wait on the same input are to be discarded."""
    return metadata.get("flush") is True


def is_correlated(metadata: Mapping[str, Any]) -> bool:
    """Whether a message with this metadata belongs to a request or goal: never dropped."""
    return not _CORRELATING.isdisjoint(metadata)


def _plain(value: Any, path: str, depth: int) -> Any:
    """`value` in types that msgpack has; `path` names it in errors."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if depth > _MAX_DEPTH:
        raise MetadataError(f"metadata `{path}` is nested deeper than {_MAX_DEPTH}")
    if kind is list or kind is tuple:
        return [_plain(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise MetadataError(
                    f"keys in metadata `{path}` are text; `{key!r}` is {_type_name(key)}"
                )
        return {
            str.__str__(key): _plain(item, f"{path}.{key}", depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, datetime):
        return msgspec.msgpack.Ext(_EXTENSION_DATETIME, _datetime_text(value).encode())
    for base, convert in _BASES:
        if isinstance(value, base):
            return convert(value)
    raise MetadataError(
        f"metadata `{path}` is {_type_name(value)}; it may be bool, int, float, str, bytes, "
        f"datetime, None, or a list or dict of these{_conversion(value)}"
    )


def _conversion(value: Any) -> str:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return "; convert it with `.item()`"
    if hasattr(value, "tolist"):
        return "; convert it with `.tolist()`"
    if isinstance(value, (set, frozenset)):
        return "; convert it with `list(...)`"
    return ""


def _type_name(value: Any) -> str:
    kind = type(value)
    return f"`{kind.__module__}.{kind.__qualname__}`".replace("`builtins.", "`")


def _datetime_text(value: datetime) -> str:
    offset = value.utcoffset()
    text = value.replace(tzinfo=None).isoformat()
    return text if offset is None else f"{text} {offset // _MICROSECOND}"


def _datetime_of(text: str) -> datetime:
    naive, _, offset = text.partition(" ")
    value = datetime.fromisoformat(naive)
    if not offset:
        return value
    zone = timezone(int(offset) * _MICROSECOND) if offset != "0" else UTC
    return value.replace(tzinfo=zone)


def _decode_extension(code: int, data: memoryview) -> Any:
    if code == _EXTENSION_DATETIME:
        return _datetime_of(bytes(data).decode())
    return msgspec.msgpack.Ext(code, bytes(data))


_decoder = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=_decode_extension)

"""Protobuf's wire format, as much of it as recordings need: fields written, fields found.

Written by hand so that a payload of megabytes becomes a field without being copied. What the fields
mean is `recording.drawings`' matter.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DOUBLE = struct.Struct("<d")
_UINT32 = struct.Struct("<I")
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10


def varint(value: int) -> bytes:
    """A number from 0 on, seven bits in each byte."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def bytes_head(number: int, size: int) -> bytes:
    """What stands before the bytes of a field of bytes, text, or another message."""
    return varint(number << 3 | _BYTES) + varint(size)


def bytes_field(number: int, data: bytes) -> bytes:
    """A field of bytes or of another message; nothing when empty, which means the same."""
    return bytes_head(number, len(data)) + data if data else b""


def message_field(number: int, data: bytes) -> bytes:
    """A field of another message, which is there even when all in it is zero."""
    return bytes_head(number, len(data)) + data


def text_field(number: int, text: str) -> bytes:
    """A field of text."""
    return bytes_field(number, text.encode())


def varint_field(number: int, value: int) -> bytes:
    """A field of an enum, bool or unsigned number."""
    return varint(number << 3 | _VARINT) + varint(value) if value else b""


def fixed32_field(number: int, value: int) -> bytes:
    """A field of type `fixed32`."""
    return varint(number << 3 | _FIXED32) + _UINT32.pack(value)


def double_field(number: int, value: float) -> bytes:
    """A field of type `double`."""
    return varint(number << 3 | _FIXED64) + _DOUBLE.pack(value)


def timestamp_field(number: int, time_ns: int) -> bytes:
    """A field of type `google.protobuf.Timestamp`."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return message_field(number, varint_field(1, seconds) + varint_field(2, nanos))


def fields(data: memoryview) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field in a message; of a varint: number, its value, -1.

    Raises:
        ValueError: these bytes are no message.
    """
    at, end = 0, len(data)
    while at < end:
        tag, at = _read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield number, value, -1
            continue
        if kind == _BYTES:
            size, at = _read_varint(data, at)
        elif kind in _WIDTHS:
            size = _WIDTHS[kind]
        else:
            raise ValueError(f"a field of wire type {kind}")
        if at + size > end:
            raise ValueError("a field that ends behind its message")
        yield number, at, at + size
        at += size


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """The number at a place, and where it ends."""
    value = 0
    for position in range(_LONGEST_VARINT):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, at
    raise ValueError("a number that does not end")

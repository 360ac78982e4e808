"""Sends values as a sender and a receiver would, without processes: encode, bytes, reader."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from dora.wire import payload, values


def written(data: Any) -> tuple[bytes, bytes]:
    """The type header and the payload of `data`, as they would lie in shared memory."""
    header, size, body = payload.encode(data)
    memory = bytearray(b"\xaa" * size)
    if callable(body):
        body(memoryview(memory))
    else:
        assert len(body) == size
        memory[:] = body
    return bytes(header), bytes(memory)


def trip(data: Any) -> Any:
    """What a receiver gets for `data`; the same from a ticket as from shared memory."""
    header, raw = written(data)
    read, _ = values.reader_of(header)
    inline = read(raw)
    mapped = read(pa.py_buffer(raw) if raw else b"")
    assert type(inline) is type(mapped)
    if isinstance(inline, np.ndarray):
        assert same_array(inline, mapped)
    else:
        assert inline.equals(mapped) or inline.to_pylist() == mapped.to_pylist() or has_nan(inline)
    return mapped


def type_info(data: Any) -> str:
    """The type that a receiver is told, as text."""
    header, _ = written(data)
    return values.reader_of(header)[1]


def has_nan(array: pa.Array) -> bool:
    """Whether a value prints as not a number, which equals nothing."""
    return "nan" in repr(array.to_pylist()).lower()


def same_array(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """Equal dtype, shape and elements, bit by bit but for padding."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return _same_elements(one, other)


def _same_elements(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    if one.dtype.names is not None:
        return all(_same_elements(one[name], other[name]) for name in one.dtype.names)
    if one.dtype.type in (np.longdouble, np.clongdouble):  # has padding bytes
        return np.array_equal(one, other, equal_nan=True)
    return one.tobytes() == other.tobytes()

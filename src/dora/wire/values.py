"""A type header and bytes → the value: what `event["value"]` is. The other way: `wire.payload`.

What turns a payload into its value is made once for each type header and kept. Values lie where the
payload lies and are read-only. NumPy and pyarrow load on first use.

Elsewhere: what a type header says (`wire.payload`), who keeps the bytes alive (`transport.lease`).
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import pyarrow as pa

_CACHE_LIMIT = 4096
_TEXT_OFFSETS = struct.Struct("<ii")

_readers: dict[bytes, tuple[Callable[[Any], Any], str]] = {}


def reader_of(header: bytes) -> tuple[Callable[[Any], Any], str]:
    """What turns a payload with this type header into its value, and the type as text.

    The payload is handed over as a buffer object of exactly the payload's bytes: `bytes`, or an
    Arrow buffer over shared memory, which the value then keeps alive. Values are read-only.
    """
    found = _readers.get(header)
    if found is None:
        found = _make_reader(header)
        if len(_readers) >= _CACHE_LIMIT:
            _readers.clear()
        _readers[header] = found
    return found


def _make_reader(header: bytes) -> tuple[Callable[[Any], Any], str]:
    kind, rest = header[:1], header[1:]
    if kind == b"n":
        return _numpy_reader(rest)
    import pyarrow as pa

    if kind == b"p":
        name = rest.decode()
        arrow_type = getattr(pa, name)()
        width = arrow_type.bit_width // 8
        from_buffers = pa.Array.from_buffers
        as_buffer = pa.py_buffer

        def read_primitive(buffer: Any) -> pa.Array:
            if type(buffer) is bytes:
                buffer = as_buffer(buffer)
            return from_buffers(arrow_type, buffer.size // width, [None, buffer])

        return read_primitive, str(arrow_type)
    if kind == b"t":
        return _text_reader(pa), "string"

    def read_stream(buffer: Any) -> pa.Array:
        return pa.ipc.open_stream(buffer).read_next_batch().column(0)

    return read_stream, rest.decode()


def _text_reader(pa: Any) -> Callable[[Any], Any]:
    """Reads one string; `pa.array([text])` would take twenty times as long."""
    string = pa.string()

    def read_text(buffer: Any) -> pa.Array:
        data = pa.py_buffer(buffer) if type(buffer) is bytes else buffer
        offsets = pa.py_buffer(_TEXT_OFFSETS.pack(0, data.size))
        return pa.Array.from_buffers(string, 1, [None, offsets, data])

    return read_text


def _numpy_reader(description: bytes) -> tuple[Callable[[Any], Any], str]:
    import numpy as np

    described, shape_list = msgspec.msgpack.decode(description)
    dtype, shape = _dtype(np, described), tuple(shape_list)
    text = f"{dtype}[{', '.join(map(str, shape))}]"
    array = np.ndarray
    if dtype.itemsize == 0 or 0 in shape:

        def read_empty(_buffer: Any) -> np.ndarray[Any, Any]:
            empty = array(shape, dtype)
            empty.flags.writeable = False
            return empty

        return read_empty, text
    return lambda buffer: array(shape, dtype, buffer), text


def _dtype(np: Any, described: Any) -> Any:
    if isinstance(described, str):
        return np.dtype(described)
    if isinstance(described, list):
        return np.dtype((_dtype(np, described[0]), tuple(described[1])))
    return np.dtype({**described, "formats": [_dtype(np, f) for f in described["formats"]]})


def as_arrow(value: Any) -> pa.Array:
    """A NumPy array as the flat Arrow array that dora-rs's programs expect; Arrow as it is.

    Numbers are not copied. A structured array becomes a struct array.

    Raises:
        ValueError: Arrow has no type for its dtype (complex numbers).
    """
    import numpy as np
    import pyarrow as pa

    if not isinstance(value, np.ndarray):
        return value
    flat = value.reshape(-1)
    if flat.dtype.names:
        fields = [as_arrow(np.ascontiguousarray(flat[name])) for name in flat.dtype.names]
        return pa.StructArray.from_arrays(fields, names=list(flat.dtype.names))
    if not flat.dtype.isnative:
        flat = flat.astype(flat.dtype.newbyteorder("="))
    try:
        return pa.array(flat)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as exc:
        raise ValueError(f"Arrow has no type for NumPy's `{flat.dtype}`") from exc


@functools.cache
def null_value() -> pa.Array:
    """The value of a timer's tick: an Arrow null array without elements."""
    import pyarrow as pa

    return pa.nulls(0)

"""A message as an Arrow IPC stream of one batch, and back: what viewers have no picture for.

Any Arrow reader opens it: `pa.ipc.open_stream(data).read_next_batch()` has one column, `value`.
NumPy numbers of two or more dimensions are `arrow.fixed_shape_tensor`; dtypes that Arrow does not
have are bytes. All else stands in the metadata of the schema, in base64 where it is bytes:

    dora.header    the type header (`wire.payload`)
    dora.metadata  the user's metadata, msgpack (`wire.metadata`)
    dora.payload   "offset size": where the payload lies behind the schema's message
    dora.before    bytes of the payload that stand before those; its own schema, if it is a stream

The payload is not copied: parts of a message are written one behind the other.
"""

from __future__ import annotations

import math
import struct
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

if TYPE_CHECKING:
    from dora.recording.message import RecordedMessage

_PREFIX = struct.Struct("<II")
_CONTINUES = 0xFFFFFFFF
_END = _PREFIX.pack(_CONTINUES, 0)
_MOST_IN_LIST = 2**31 - 1
_CACHED = 512
_NUMPY_TYPES = {
    f"{order}{kind}{width}": getattr(pa, f"{name}{8 * width}")()
    for kind, name, widths in (
        ("i", "int", (1, 2, 4, 8)),
        ("u", "uint", (1, 2, 4, 8)),
        ("f", "float", (2, 4, 8)),
    )
    for width in widths
    for order in ("|" if width == 1 else "<",)
}

_heads: dict[tuple[bytes, int], tuple[pa.Schema, bytes, bytes]] = {}
"""By type header and size: schema, the batch's own head, what follows the payload."""
_schemas: dict[tuple[bytes, bytes, int], bytes] = {}
_origins: dict[bytes, _Origin] = {}


class _Origin(msgspec.Struct, frozen=True):
    """What the metadata of a schema says."""

    header: bytes
    metadata: bytes
    before: bytes
    start: int
    size: int


def stream_parts(message: RecordedMessage) -> list[bytes | memoryview]:
    """The stream of a message, in pieces."""
    payload = message.view
    if message.header[:1] == b"a":
        length = _message_length(payload)
        before = bytes(payload[:length])
        schema = _own_schema(pa.ipc.read_schema(pa.py_buffer(before)))
        head, tail, payload = b"", b"", payload[length:]
        described = _described(schema, message, 0, payload.nbytes, before)
        return [described, payload]
    schema, head, tail = _flat_head(message.header, payload.nbytes)
    key = (message.header, message.metadata, payload.nbytes)
    described = _schemas.get(key, b"")
    if not described:
        described = _described(schema, message, len(head), payload.nbytes, b"")
        _remember(_schemas, key, described)
    return [described + head, payload, tail]


def read_stream(data: memoryview) -> tuple[bytes, bytes, bytes | memoryview]:
    """Type header, metadata and payload of a message.

    Raises:
        ValueError: these bytes are no such stream.
    """
    length = _message_length(data)
    described = bytes(data[:length])
    origin = _origins.get(described)
    if origin is None:
        origin = _origin_of(described)
        _remember(_origins, described, origin)
    start = length + origin.start
    payload = data[start : start + origin.size]
    if payload.nbytes != origin.size:
        raise ValueError("a stream that ends before its values")
    if origin.before:
        return origin.header, origin.metadata, origin.before + payload
    return origin.header, origin.metadata, payload


def _origin_of(described: bytes) -> _Origin:
    try:
        facts = pa.ipc.read_schema(pa.py_buffer(described)).metadata or {}
        start, _, size = facts[b"dora.payload"].partition(b" ")
        return _Origin(
            b64decode(facts[b"dora.header"]),
            b64decode(facts[b"dora.metadata"]),
            b64decode(facts[b"dora.before"]),
            int(start),
            int(size),
        )
    except (KeyError, ValueError, OSError, pa.ArrowException) as exc:
        raise ValueError(f"a schema without dora's words ({exc})") from exc


def _described(
    schema: pa.Schema, message: RecordedMessage, start: int, size: int, before: bytes
) -> bytes:
    """The schema with all that Arrow has no place for, as the first message of a stream."""
    facts = {
        "dora.header": b64encode(message.header),
        "dora.metadata": b64encode(message.metadata),
        "dora.payload": f"{start} {size}",
        "dora.before": b64encode(before),
    }
    written: bytes = schema.with_metadata(facts).serialize().to_pybytes()
    return written


def _own_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of a payload that is a stream itself, its column named."""
    return pa.schema([schema.field(0).with_name("value")])


def _flat_head(header: bytes, size: int) -> tuple[pa.Schema, bytes, bytes]:
    """Schema, and what stands before and behind a payload that is the values themselves."""
    found = _heads.get((header, size))
    if found is None:
        array = _placeholder(header, size)
        batch = pa.RecordBatch.from_arrays([array], names=["value"])
        raw = batch.serialize()
        length = _message_length(memoryview(raw))
        padding = raw.size - length - size
        found = batch.schema, raw.slice(0, length).to_pybytes(), bytes(padding) + _END
        _remember(_heads, (header, size), found)
    return found


def _placeholder(header: bytes, size: int) -> pa.Array:
    """An array that looks like the value, of zeros."""
    kind, shape = _arrow_type(header)
    memory = pa.py_buffer(bytes(size))
    count = size // (kind.bit_width // 8)
    flat = pa.Array.from_buffers(kind, count, [None, memory])
    if len(shape) < 2 or not 0 < count <= _MOST_IN_LIST:
        return flat
    tensor = pa.fixed_shape_tensor(kind, shape)
    storage = pa.FixedSizeListArray.from_arrays(flat, count)
    return pa.ExtensionArray.from_storage(tensor, storage)


def _arrow_type(header: bytes) -> tuple[pa.DataType, list[int]]:
    """The Arrow type of the elements, and the shape where there is one; bytes if there is none."""
    if header[:1] == b"p":
        return getattr(pa, header[1:].decode())(), []
    if header[:1] == b"n":
        dtype, shape = msgspec.msgpack.decode(header[1:])
        known = _NUMPY_TYPES.get(dtype) if isinstance(dtype, str) else None
        if known is not None and math.prod(shape):
            return known, shape
    return pa.uint8(), []


def _message_length(data: memoryview) -> int:
    """Bytes of the IPC message at the start, without its body.

    Raises:
        ValueError: there is none.
    """
    if data.nbytes < _PREFIX.size:
        raise ValueError("no Arrow stream")
    mark, length = _PREFIX.unpack_from(data)
    if mark != _CONTINUES or _PREFIX.size + length > data.nbytes:
        raise ValueError("no Arrow stream")
    return int(_PREFIX.size + length)


def _remember(cache: dict[Any, Any], key: Any, value: Any) -> None:
    if len(cache) >= _CACHED:
        cache.clear()
    cache[key] = value

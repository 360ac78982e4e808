"""A value → type header and bytes: what `send_output` takes. The way back: `wire.values`.

The type header's first byte says how the payload is to be read:

    n  NumPy array: msgpack of [dtype, shape]; the payload is its elements in C order
    p  Arrow array of a plain numeric type without nulls: the type's name; the payload is its values
    t  Arrow array of one string: the payload is the text in UTF-8
    a  any other Arrow array: the type as text; the payload is an Arrow IPC stream of one batch

A dtype is its `str` ("<f4"); one with fields is {names, formats, offsets, itemsize}; one of
sub-arrays [base, shape]. NumPy and pyarrow load on first use.

Elsewhere: where the bytes lie (`transport.arena`), who keeps them alive (`transport.lease`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from dora.errors import PayloadTypeError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

Body: TypeAlias = "bytes | memoryview | Callable[[memoryview], object]"
"""A payload's bytes, or what writes them into memory of the right size."""

Encoded: TypeAlias = "tuple[bytes, int, Body]"
"""Type header, payload bytes, body."""

TEXT_HEADER = b"t"
_CACHE_LIMIT = 4096
_NUMPY_COPY_BYTES = 1 << 16

_SCALARS = {int: "int64", float: "float64", bool: "bool"}

_array_headers: dict[tuple[Any, tuple[int, ...]], bytes] = {}
_primitive_headers: dict[type, tuple[bytes, int]] = {}
_encode_header = msgspec.msgpack.Encoder().encode


def encode(data: Any) -> Encoded:
    """How `data` travels. It must stay as it is until the body was written.

    Raises:
        PayloadTypeError: `data` cannot be sent; the message names the type and the conversion.
    """
    kind = type(data)
    primitive = _primitive_headers.get(kind)
    if primitive is not None and not data.null_count:
        header, width = primitive
        size = len(data) * width
        if not size:
            return header, 0, b""
        view = memoryview(data.buffers()[1]).cast("B")
        start = data.offset * width
        if start or size != len(view):
            view = view[start : start + size]
        return header, size, body_of(view)
    if kind is str:
        return _encode_text(data)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(data, (numpy.ndarray, numpy.generic)):
        return _encode_numpy(numpy, data)
    return _encode_other(data)


def body_of(view: memoryview) -> Body:
    """`view` as a body: a large one is copied by NumPy, which lets other threads run meanwhile."""
    if len(view) < _NUMPY_COPY_BYTES:
        return view
    import numpy as np

    source = np.frombuffer(view, np.uint8)
    return lambda memory: np.copyto(np.frombuffer(memory, np.uint8), source)


def _encode_text(text: str) -> Encoded:
    try:
        raw = text.encode()
    except UnicodeEncodeError as exc:
        raise PayloadTypeError(f"this text is not valid Unicode: {exc}") from exc
    return TEXT_HEADER, len(raw), raw


def _encode_numpy(np: Any, data: Any) -> Encoded:
    array = np.asarray(data) if isinstance(data, np.generic) else data
    if type(array) is not np.ndarray and isinstance(array, np.ma.MaskedArray):
        raise PayloadTypeError(
            "a masked array would lose its mask; send `array.filled(...)`, or "
            "`pa.array(array)`, whose nulls are the masked places"
        )
    key = (array.dtype, array.shape)
    header = _array_headers.get(key)
    if header is None:
        header = array_header(*key)
        _remember(_array_headers, key, header)
    size = array.nbytes
    if size < _NUMPY_COPY_BYTES:
        return header, size, array.tobytes()

    def write(memory: memoryview) -> None:
        if array.flags.c_contiguous:
            # As plain bytes: NumPy copies fields and dates one by one, bytes at once.
            np.copyto(np.frombuffer(memory, np.uint8), array.reshape(-1).view(np.uint8))
        else:
            np.copyto(np.ndarray(array.shape, array.dtype, buffer=memory), array)

    return header, size, write


def _encode_other(data: Any) -> Encoded:
    """What is neither NumPy nor a plain Arrow array seen before."""
    if isinstance(data, (bytes, bytearray)):
        return primitive_header("uint8"), len(data), memoryview(data)
    if isinstance(data, memoryview):
        whole = data.c_contiguous and data.nbytes
        flat = data.cast("B") if whole else memoryview(data.tobytes())
        return primitive_header("uint8"), flat.nbytes, flat
    import pyarrow as pa

    if isinstance(data, pa.RecordBatch):
        data = data.to_struct_array()
    if not isinstance(data, pa.Array):
        data = _to_arrow(pa, data)
        if not isinstance(data, pa.Array):
            import numpy as np

            return _encode_numpy(np, data)
    if not _primitive_headers:
        _learn_primitives(pa)
    if type(data) in _primitive_headers and not data.null_count:
        return encode(data)
    return _encode_ipc(pa, data)


def _to_arrow(pa: Any, data: Any) -> Any:
    """Python's own values as an Arrow array, a tensor of another library as a NumPy array."""
    kind = type(data)
    if (
        kind is list
        or kind in (int, float, bool, str, dict)
        or isinstance(data, (int, float, str, dict))
    ):
        try:
            if kind in _SCALARS and -(2**63) <= data < 2**63:
                return pa.array([data], _SCALARS[kind])  # inference takes twenty times as long
            return pa.array(data if kind is list else [data])
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as exc:
            raise PayloadTypeError(
                f"this {kind.__name__} has no Arrow type: {exc}; build a `pa.array(...)` of one "
                "type"
            ) from exc
        except OverflowError as exc:
            raise PayloadTypeError(
                f"this {kind.__name__} holds an int of more than 64 bits: {exc}"
            ) from exc
        except UnicodeEncodeError as exc:
            raise PayloadTypeError(
                f"this {kind.__name__} holds text that is not valid Unicode: {exc}"
            ) from exc
    if hasattr(data, "__dlpack__") and not isinstance(data, type):
        return _from_dlpack(data)
    raise PayloadTypeError(
        f"`{_name(kind)}` cannot be sent{_conversion(data)}. Outputs take "
        "NumPy arrays, Arrow arrays, bytes, str, int, float, bool, list, dict"
    )


def _from_dlpack(tensor: Any) -> Any:
    """A tensor on the CPU as a NumPy array over the same memory."""
    import numpy as np

    name = _name(type(tensor))
    try:
        return np.from_dlpack(tensor)
    except (BufferError, RuntimeError, TypeError, ValueError) as exc:
        raise PayloadTypeError(
            f"this `{name}` cannot be read from the CPU's memory: {exc}; bring it there first, "
            "e.g. `tensor.detach().cpu()`, and to a type that NumPy has, e.g. `.float()`"
        ) from exc


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _conversion(data: Any) -> str:
    """How a value of a type that is not taken could be sent."""
    kind = type(data)
    library = kind.__module__.partition(".")[0]
    hints = {
        ("pyarrow", "ChunkedArray"): "send `value.combine_chunks()`",
        ("pyarrow", "Table"): "send `value.combine_chunks().to_batches()[0]`",
        ("pyarrow", "Tensor"): "send `value.to_numpy()`",
        ("pandas", "DataFrame"): "send `pa.RecordBatch.from_pandas(value)`",
        ("pandas", "Series"): "send `value.to_numpy()` or `pa.Array.from_pandas(value)`",
        ("polars", "DataFrame"): "send `value.to_struct().to_arrow()`",
        ("polars", "Series"): "send `value.to_arrow()`",
        ("PIL", "Image"): "send `np.asarray(value)`",
        ("builtins", "NoneType"): "send `pa.nulls(1)`, or `pa.nulls(0)` for a bare signal",
        ("builtins", "complex"): "send `np.array(value)`",
    }
    hint = hints.get((library, kind.__name__))
    if hint is None and library == "pyarrow" and kind.__name__.endswith("Scalar"):
        hint = "send `pa.array([value.as_py()], value.type)`"
    if hint is None and library == "PIL":
        hint = hints["PIL", "Image"]
    if hint is None and (isinstance(data, (tuple, set, frozenset)) or hasattr(data, "__next__")):
        hint = "send `list(value)`"
    if hint is None and library in ("datetime", "decimal"):
        hint = "send `[value]`, which arrives as an Arrow array of one element"
    if hint is None:
        hint = "send `np.asarray(value)` or `pa.array(...)`"
    return f"; {hint}"


def _encode_ipc(pa: Any, array: Any) -> Encoded:
    header = b"a" + str(array.type).encode()
    if b"dictionary" in header or b"extension" in header:
        _check_writable(pa, array.type)
    field = pa.field("", array.type)
    try:
        batch = pa.RecordBatch.from_arrays([array], schema=pa.schema([field]))
        counter = pa.MockOutputStream()
        with pa.ipc.new_stream(counter, batch.schema) as writer:
            writer.write_batch(batch)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as exc:
        raise PayloadTypeError(f"Arrow cannot write a value of type `{array.type}`: {exc}") from exc
    size = counter.size()

    def write(memory: memoryview) -> None:
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(memory))
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)

    return header, size, write


def _check_writable(pa: Any, kind: Any) -> None:
    """Refuse what an Arrow stream would silently flatten: it describes one of two levels only."""
    extended = isinstance(kind, pa.BaseExtensionType)
    inner = kind.storage_type if extended else None
    if pa.types.is_dictionary(kind):
        inner = kind.value_type
    if inner is None:
        for index in range(kind.num_fields):
            _check_writable(pa, kind.field(index).type)
        return
    if isinstance(inner, pa.BaseExtensionType) or (not extended and pa.types.is_dictionary(inner)):
        way = "value.storage" if extended else "value.dictionary_decode()"
        raise PayloadTypeError(
            f"Arrow cannot write `{kind}`, which has `{inner}` directly inside; send `{way}`"
        )
    _check_writable(pa, inner)


def primitive_header(name: str) -> bytes:
    """The type header of an Arrow array of this plain numeric type, e.g. `uint8`."""
    return b"p" + name.encode()


def _learn_primitives(pa: Any) -> None:
    """Fill the table of Arrow array classes whose payload is just their values."""
    names = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    for name in (*names, "float16", "float32", "float64"):
        kind = getattr(pa, name)()
        array_class = type(pa.nulls(0, kind))
        _primitive_headers[array_class] = (primitive_header(name), kind.bit_width // 8)


def array_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The type header of a NumPy array of this dtype and shape."""
    return b"n" + _encode_header([_describe(dtype), list(shape)])


def _describe(dtype: Any) -> Any:
    """A dtype in msgpack's types.

    Raises:
        PayloadTypeError: its elements have no fixed size, or are Python objects.
    """
    if dtype.hasobject or dtype.kind == "T":
        raise PayloadTypeError(
            f"NumPy arrays of dtype `{dtype}` hold Python objects, whose bytes mean nothing to "
            "another process; send `pa.array(values)` or an array of a fixed-size dtype, "
            "e.g. `array.astype('U20')`"
        )
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_describe(base), list(shape)]
    if dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        described = {
            "names": list(dtype.names),
            "formats": [_describe(field[0]) for field in fields],
            "offsets": [field[1] for field in fields],
            "itemsize": dtype.itemsize,
        }
        if any(len(field) > 2 for field in fields):
            described["titles"] = [field[2] if len(field) > 2 else None for field in fields]
        return described
    import numpy as np

    if np.dtype(dtype.str) != dtype:
        raise PayloadTypeError(
            f"the dtype `{dtype}` is not NumPy's own, and another process may not know it; send "
            "`array.astype('f4')`, or its bits, e.g. `array.view('u2')`"
        )
    return dtype.str


def _remember(cache: dict[Any, Any], key: Any, value: Any) -> None:
    if len(cache) >= _CACHE_LIMIT:
        cache.clear()
    cache[key] = value

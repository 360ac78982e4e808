"""Recorded messages → Parquet files and NumPy archives, one for each topic; read piece by piece.

**Parquet**, a row for each message: `sent` and `recorded` (timestamps, UTC), `value` (a list: a
NumPy array's elements in C order, or the elements of an Arrow array), `shape` (of NumPy arrays) and
`metadata` (JSON). A topic whose type changes has a file for each type.

**NumPy**, an `.npz`: `sent_ns`, `recorded_ns`, `metadata` (JSON), and `values`, all messages in one
array; if their shapes or types differ `value_0`, `value_1`, ... A struct of numbers becomes a
structured array; Arrow values that hold lists or the like have no place there.

Elsewhere: which topics and where to (`recording.export`).
"""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dora.descriptor.words import shortened
from dora.errors import ExportError
from dora.node.json_metadata import plain_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from dora.recording.message import RecordedMessage

    Messages = Callable[[], Iterable[RecordedMessage]]
    """Gives the messages of one topic, anew with each call."""

_ROWS_BYTES = 32 << 20
"""So much is gathered before it is written as a row group."""
_MOST_ROWS = 50_000
_TIME = pa.timestamp("ns", "UTC")


def write_parquet(messages: Messages, target: Path) -> list[Path]:
    """Write the messages of a topic; `target` has no suffix yet.

    Returns:
        The files.

    Raises:
        ExportError: a value has a type that Parquet does not know.
    """
    tables: dict[tuple[pa.DataType, bool], _Table] = {}
    try:
        for message in messages():
            value, shape = _as_list(message)
            kind = value.type, shape is not None
            table = tables.get(kind)
            if table is None:
                number = f".{len(tables) + 1}" if tables else ""
                path = target.with_name(f"{target.name}{number}.parquet")
                table = tables[kind] = _Table(path, *kind)
            table.add(message, value, shape)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise ExportError(f"`{target.name}` has no place in Parquet files: {exc}") from exc
    finally:
        for table in tables.values():
            table.close()
    return [table.path for table in tables.values()]


class _Table:
    """One Parquet file, and the rows that are not written yet."""

    def __init__(self, path: Path, kind: pa.DataType, has_shape: bool) -> None:
        self.path = path
        fields = [("sent", _TIME), ("recorded", _TIME), ("value", pa.list_(kind))]
        if has_shape:
            fields.append(("shape", pa.list_(pa.int64())))
        self._schema = pa.schema([*fields, ("metadata", pa.string())])
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[tuple[Any, ...]] = []
        self._values: list[pa.Array] = []
        self._bytes = 0

    def add(self, message: RecordedMessage, value: pa.Array, shape: Any) -> None:
        facts = json.dumps(plain_metadata(message.metadata_dict()))
        self._values.append(value)
        self._rows.append((message.sent_ns, message.recorded_ns, shape, facts))
        self._bytes += message.view.nbytes
        if self._bytes >= _ROWS_BYTES or len(self._rows) >= _MOST_ROWS:
            self._write()

    def close(self) -> None:
        if self._rows:
            self._write()
        self._writer.close()

    def _write(self) -> None:
        sent, recorded, shapes, facts = zip(*self._rows, strict=True)
        ends = np.cumsum([0, *(len(value) for value in self._values)], dtype=np.int32)
        values = pa.ListArray.from_arrays(pa.array(ends), pa.concat_arrays(self._values))
        columns = [pa.array(sent, _TIME), pa.array(recorded, _TIME), values]
        if "shape" in self._schema.names:
            columns.append(pa.array(shapes, pa.list_(pa.int64())))
        columns.append(pa.array(facts))
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._rows, self._values, self._bytes = [], [], 0


def _as_list(message: RecordedMessage) -> tuple[pa.Array, tuple[int, ...] | None]:
    """A value as a flat Arrow array, and the shape of a NumPy array."""
    value = message.value()
    if not isinstance(value, np.ndarray):
        return value, None
    flat = value.reshape(-1)
    if flat.dtype.names is not None:
        fields = [pa.array(_native(flat[name])) for name in flat.dtype.names]
        return pa.StructArray.from_arrays(fields, list(flat.dtype.names)), value.shape
    if flat.dtype.kind == "c":
        parts = [pa.array(_native(part)) for part in (flat.real, flat.imag)]
        return pa.StructArray.from_arrays(parts, ["real", "imag"]), value.shape
    return pa.array(_native(flat)), value.shape


def _native(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Its elements one behind the other, in this machine's byte order."""
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))


def write_npz(messages: Messages, target: Path) -> list[Path]:
    """Write the messages of a topic; `target` has no suffix yet.

    Returns:
        The file.

    Raises:
        ExportError: values are of a type that NumPy does not have.
    """
    path = target.with_name(f"{target.name}.npz")
    sent, recorded, facts, kinds = [], [], [], set()
    for message in messages():
        value = _as_numpy(message)
        kinds.add((value.dtype, value.shape))
        sent.append(message.sent_ns)
        recorded.append(message.recorded_ns)
        facts.append(json.dumps(plain_metadata(message.metadata_dict())))
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        _write_array(archive, "sent_ns", np.array(sent, np.int64))
        _write_array(archive, "recorded_ns", np.array(recorded, np.int64))
        _write_array(archive, "metadata", np.array(facts, np.str_))
        values = (_as_numpy(message) for message in messages())
        if len(kinds) == 1:
            _write_stacked(archive, values, *kinds.pop(), len(sent))
        else:
            for number, value in enumerate(values):
                _write_array(archive, f"value_{number}", value)
    return [path]


def _as_numpy(message: RecordedMessage) -> npt.NDArray[Any]:
    value = message.value()
    if isinstance(value, np.ndarray):
        return value
    kind = value.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(["" if one is None else one for one in value.to_pylist()], np.str_)
    array = _structured(value)
    if array is None:
        raise ExportError(
            f"`{message.topic}` holds values of type `{shortened(str(kind))}`, which NumPy does "
            "not have; `--to parquet` takes them"
        )
    return array


def _structured(value: pa.Array) -> npt.NDArray[Any] | None:
    """Numbers, or structs of them, as NumPy has them; None if it does not."""
    kind = value.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        array: npt.NDArray[Any] = value.to_numpy(zero_copy_only=False)
        return array.astype(np.float64) if array.dtype == object else array
    if not pa.types.is_struct(kind) or not kind.num_fields or value.null_count:
        return None
    columns = {}
    for field, column in zip(kind, value.flatten(), strict=True):
        found = _structured(column)
        if found is None:
            return None
        columns[field.name] = found
    whole = np.empty(len(value), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        whole[name] = column
    return whole


def _write_array(archive: zipfile.ZipFile, name: str, array: npt.NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def _write_stacked(
    archive: zipfile.ZipFile,
    values: Iterator[npt.NDArray[Any]],
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    count: int,
) -> None:
    """All messages as one array, written one after the other."""
    with archive.open("values.npy", "w", force_zip64=True) as file:
        described = np.lib.format.dtype_to_descr(dtype)
        whole = {"descr": described, "fortran_order": False, "shape": (count, *shape)}
        np.lib.format.write_array_header_2_0(file, whole)
        for value in values:
            file.write(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)

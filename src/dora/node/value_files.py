"""A file → the value it holds: Arrow, NumPy, images, JSON, by the end of its name.

Elsewhere: what is in an image's file (`node.image_files`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dora.errors import InputFormatError
from dora.node.image_files import read_image

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})


def read_value(path: Path, batch_index: int = 0, column: str | None = None) -> Any:
    """The value in a file.

    Args:
        path: `.npy` gives a NumPy array; an image `uint8[height, width, 3]`, red first, or
            `uint8[height, width]` where it is grey; anything else is taken for an Arrow IPC file.
        batch_index: Which record batch of an Arrow file.
        column: Which column of it; None gives all of them, as a struct array.

    Raises:
        InputFormatError: the file is not there, or holds no such value.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if suffix in IMAGES:
            return read_image(path.read_bytes(), f"`{path}`")
        return _read_arrow(path, batch_index, column)
    except FileNotFoundError:
        raise InputFormatError(f"there is no file `{path}`") from None
    except (OSError, ValueError, EOFError, pa.ArrowException) as exc:
        known = suffix in {".npy", ".arrow"} or suffix in IMAGES
        kinds = "" if known else " (taken for an Arrow file; others are `.npy`, `.png`, `.jpg`)"
        raise InputFormatError(f"`{path}` cannot be read{kinds}: {exc}") from exc


def _read_arrow(path: Path, batch_index: int, column: str | None) -> pa.Array:
    with pa.memory_map(str(path)) as source:
        if source.read(6) == b"ARROW1":
            reader = pa.ipc.open_file(source)
            count = reader.num_record_batches
            batch = reader.get_batch(batch_index) if 0 <= batch_index < count else None
        else:
            source.seek(0)
            batches = list(pa.ipc.open_stream(source))
            count = len(batches)
            batch = batches[batch_index] if 0 <= batch_index < count else None
    if batch is None:
        raise InputFormatError(f"`{path}` has {count} record batches, and no number {batch_index}")
    if column is None:
        return batch.to_struct_array()
    if column not in batch.schema.names:
        names = ", ".join(f"`{name}`" for name in batch.schema.names)
        raise InputFormatError(f"`{path}` has no column `{column}`; there are {names}")
    return batch.column(column)

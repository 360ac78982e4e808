"""Values → vectors of numbers with a name for each, for data sets with frames of a fixed form.

Elsewhere: which topics (`recording.lerobot`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from dora.recording.message import RecordedMessage

MOST_NUMBERS = 4096
"""What has more is no vector of a state, but an image or a cloud."""


def vector_of(message: RecordedMessage) -> tuple[list[str], npt.NDArray[np.float32]] | None:
    """The numbers in a message, and what each is called; None if it holds none, or too many.

    A NumPy or Arrow array of numbers: `0`, `1`, ...; a struct: its fields, `linear.x`,
    `positions.0`. A joint state's numbers are called by its joints.
    """
    value = message.value()
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf" or not 0 < value.size <= MOST_NUMBERS:
            return None
        return _numbered(value.reshape(-1))
    kind = value.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        if not 0 < len(value) <= MOST_NUMBERS or value.null_count:
            return None
        return _numbered(np.asarray(value.to_numpy(zero_copy_only=False)))
    if not pa.types.is_struct(kind) or len(value) != 1:
        return None
    row = value[0].as_py()
    found = list(_numbers("", row, _joints(row)))
    if not 0 < len(found) <= MOST_NUMBERS:
        return None
    names, numbers = zip(*found, strict=True)
    return list(names), np.array(numbers, np.float32)


def _numbered(flat: npt.NDArray[Any]) -> tuple[list[str], npt.NDArray[np.float32]]:
    return [str(at) for at in range(len(flat))], flat.astype(np.float32)


def _joints(row: dict[str, Any] | None) -> list[str] | None:
    """The names of the joints, where a struct lists them."""
    names = (row or {}).get("names")
    return names if isinstance(names, list) and all(isinstance(n, str) for n in names) else None


def _numbers(name: str, value: Any, joints: list[str] | None) -> Iterator[tuple[str, float]]:
    match value:
        case bool() | int() | float():
            yield name, float(value)
        case dict():
            for key, inner in value.items():
                yield from _numbers(f"{name}.{key}" if name else key, inner, joints)
        case list():
            called = joints if joints is not None and len(joints) == len(value) else None
            for at, inner in enumerate(value):
                yield from _numbers(f"{name}.{called[at] if called else at}", inner, joints)

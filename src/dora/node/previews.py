"""A value in a few lines for people to read: its type, its shape, some of what is in it.

Elsewhere: values for programs (`node.json_values`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dora.node.json_metadata import plain_metadata
from dora.node.json_values import to_json, to_line

if TYPE_CHECKING:
    from dora.node.event_types import InputEvent

_ELEMENTS = 8
_ROWS = 6
_MANY = 64
"""From so many numbers on, least, greatest and mean say more than the first few."""


def preview_message(event: InputEvent, width: int = 100) -> str:
    """A message as lines: id, type and size, then its value, then its metadata.

    Args:
        event: The message.
        width: How many characters a line may have.
    """
    metadata = plain_metadata(event["metadata"])
    indent = "    "
    lines = [f"{event['id']}  {describe(event)}"]
    lines += [indent + _cut(line, width - 4) for line in preview_value(event["value"], width - 4)]
    if metadata:
        lines.append(indent + _cut("metadata " + to_line(metadata).decode(), width - 4))
    return "\n".join(lines)


def describe(event: InputEvent) -> str:
    """The library, the type and the size of a message's value: `NumPy uint8[2, 3], 6 bytes`."""
    value, kind = event["value"], str(event["metadata"].get("type_info", ""))
    if isinstance(value, np.ndarray):
        return f"NumPy {kind}, {_size(value.nbytes)}"
    if kind == "null" and not len(value):
        return "no value"
    return f"Arrow {kind}, {len(value)} element{'s' if len(value) != 1 else ''}"


def preview_value(value: Any, width: int = 96) -> list[str]:
    """Some of a value, in a few lines."""
    if isinstance(value, np.ndarray):
        return _preview_numpy(value, width)
    if not len(value):
        return []
    shown = to_json(value[:_ELEMENTS])["data"]
    more = len(value) - len(shown)
    if len(shown) == 1:
        return [_text(shown[0])]
    cells = [_text(item) for item in shown]
    joined = ", ".join(cells)
    rest = f", … {more} more" if more else ""
    if len(joined) + len(rest) + 2 <= width:
        return [f"[{joined}{rest}]"]
    lines = [_cut(cell, width) for cell in cells[:_ROWS]]
    left = len(value) - len(lines)
    return [*lines, f"… {left} more"] if left else lines


def _preview_numpy(array: np.ndarray[Any, Any], width: int) -> list[str]:
    if not array.size:
        return []
    text = np.array2string(
        array, threshold=_MANY, edgeitems=2, max_line_width=width, precision=5, suppress_small=True
    )
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > _ROWS:
        first = [line for line in lines[: _ROWS // 2] if line.strip() != "..."]
        lines = [*first, " …", f" {lines[-1].strip()}"]
    if array.size > _MANY and array.dtype.kind in "biuf":
        mean = float(np.mean(array, dtype="f8"))
        lines.append(f"from {array.min():g} to {array.max():g}, mean {mean:g}")
    return lines


def _text(item: Any) -> str:
    return to_line(item).decode()


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: max(1, width - 1)] + "…"


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    for unit, size in (("KB", 10**3), ("MB", 10**6)):
        if count < size * 1000:
            return f"{count / size:.3g} {unit}"
    return f"{count / 10**9:.3g} GB"

"""A message as one line: for people, cut to what tells something; for programs, whole. Pure.

The forms are dora-rs's: `node/output<TAB> data=... metadata={...}`, and one JSON object for each.
Elsewhere: the JSON of values (`node.json_values`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dora.node.json_metadata import plain_metadata
from dora.node.json_values import to_json, to_line

if TYPE_CHECKING:
    from dora.node.event_types import InputEvent

_MOST_ELEMENTS = 32
_FIRST_ELEMENTS = 8
_MOST_CHARACTERS = 400


def json_line(event: InputEvent) -> str:
    """The whole message as an object of JSON.

    `timestamp` is when it was sent, milliseconds since the epoch; arrays of several dimensions are
    nested lists.
    """
    sent = event["metadata"]["timestamp"]
    told = {
        "timestamp": round(sent.timestamp() * 1000),
        "name": event["id"],
        "data": to_json(event["value"])["data"],
        "metadata": plain_metadata(event["metadata"]) or None,
    }
    return to_line(told).decode()


def table_line(event: InputEvent) -> tuple[str, list[tuple[str, str]]]:
    """The message for people: its name, and the parts behind it, each with its label."""
    parts = [("", type_of(event))] if isinstance(event["value"], np.ndarray) else []
    parts += [("data", shown) for shown in (data_text(event["value"]),)]
    metadata = plain_metadata(event["metadata"])
    if metadata:
        parts.append(("metadata", _cut(to_line(metadata).decode())))
    return event["id"], parts


def type_of(event: InputEvent) -> str:
    """Dtype and shape, or the Arrow type."""
    return str(event["metadata"].get("type_info", ""))


def data_text(value: Any) -> str:
    """A value: whole if it is small, else its first elements and, of numbers, what they span."""
    if isinstance(value, np.ndarray):
        return _array_text(value)
    if len(value) <= _MOST_ELEMENTS:
        return _cut(to_line(to_json(value)["data"]).decode())
    first = to_line(to_json(value[:_FIRST_ELEMENTS])["data"]).decode()
    return f"{_cut(first[:-1])}, … {len(value) - _FIRST_ELEMENTS} more]"


def _array_text(array: np.ndarray[Any, Any]) -> str:
    if array.size <= _MOST_ELEMENTS:
        return _cut(to_line(to_json(array)["data"]).decode())
    span = ""
    if array.dtype.kind in "biuf":
        numbers = array.astype("u1") if array.dtype.kind == "b" else array
        mean = float(np.mean(numbers, dtype="f8"))
        span = f" min={numbers.min():g} max={numbers.max():g} mean={mean:g}"
    first = to_line(to_json(array.reshape(-1)[:_FIRST_ELEMENTS])["data"]).decode()
    return f"{_cut(first[:-1])}, … {array.size - _FIRST_ELEMENTS} more]{span}"


def _cut(text: str) -> str:
    if len(text) <= _MOST_CHARACTERS:
        return text
    return f"{text[:_MOST_CHARACTERS]}… ({len(text) - _MOST_CHARACTERS} more characters)"

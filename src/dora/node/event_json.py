"""An event ↔ the JSON object that dora-rs has for it in files of inputs.

    {"type": "Input", "id": "image", "data": [1, 2], "data_type": "UInt8", "metadata": {...}}
    {"type": "Input", "id": "image", "path": "image.arrow", "batch_index": 0, "column": "pixels"}
    {"type": "InputClosed", "id": "image"}   {"type": "Stop"}   {"type": "AllInputsClosed"}

An object without a `type` is an Input. Elsewhere: the value in it (`node.json_values`), when each
event is due (`node.scripted`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dora.errors import InputFormatError, MetadataError, PayloadTypeError
from dora.ids import PORT_ID_RULE, is_port_id, suggest
from dora.node import events
from dora.node.json_metadata import MORE, plain_metadata, read_metadata, write_metadata
from dora.node.json_values import NOTHING, from_json, to_json
from dora.node.stage import input_event
from dora.node.value_files import read_value
from dora.wire.payload import encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from dora.node.event_types import Event, InputEvent

_VALUE_KEYS = ("data", "data_type", "dtype", "shape")


def read_event(given: Any, sent: datetime | None = None, beside: Path | None = None) -> Event:
    """The event that a JSON object tells of.

    Args:
        given: The object.
        sent: When it was sent; now when not given.
        beside: The folder in which files are looked for that are not in the current one.

    Raises:
        InputFormatError: it tells of none; the message says why.
    """
    if not isinstance(given, dict):
        raise InputFormatError(
            f"an event is an object such as `{_EXAMPLE}`, not {type(given).__name__}"
        )
    kind = given.get("type", "Input")
    make = _MAKERS.get(kind) if isinstance(kind, str) else None
    if make is None:
        near = suggest(str(kind), _MAKERS)
        raise InputFormatError(
            f"`type` is `{kind}`; it is one of {', '.join(_MAKERS)}"
            + (f"; did you mean `{near}`?" if near else "")
        )
    return make(given, sent, beside)


def write_event(event: Event) -> dict[str, Any] | None:
    """An event for a file; None for one of a kind that files do not hold."""
    match event["type"]:
        case "INPUT":
            facts = {} if _is_nothing(event) else to_json(event["value"], flat=True)
            metadata = write_metadata(event["metadata"])
            return {"type": "Input", "id": event["id"], **facts, **metadata}
        case "INPUT_CLOSED":
            return {"type": "InputClosed", "id": event["id"]}
        case "STOP":
            manual = event["id"] == "MANUAL"
            return {"type": "Stop" if manual else "AllInputsClosed"}
    return None


def _is_nothing(event: InputEvent) -> bool:
    return event["metadata"].get("type_info") == "null" and not len(event["value"])


def write_message(event: InputEvent) -> dict[str, Any]:
    """A message for people and programs that read lines: nested data, plain metadata."""
    metadata = plain_metadata(event["metadata"])
    message = {"id": event["id"], **to_json(event["value"])}
    return {**message, "metadata": metadata} if metadata else message


_EXAMPLE = '{"id": "image", "data": [1, 2, 3]}'


def _input(given: dict[str, Any], sent: datetime | None, beside: Path | None) -> Event:
    name = _id_of(given)
    metadata = read_metadata(given.get("metadata"), given.get(MORE))
    if "path" in given:
        value = _from_file(given, beside)
    else:
        facts = {key: given[key] for key in _VALUE_KEYS if key in given}
        value = from_json(facts.pop("data", NOTHING), **facts)
    try:
        return input_event(name, encode(value), metadata, sent)
    except (PayloadTypeError, MetadataError) as exc:
        raise InputFormatError(f"input `{name}`: {exc}") from exc


def _from_file(given: dict[str, Any], beside: Path | None) -> Any:
    path, index, column = given["path"], given.get("batch_index"), given.get("column")
    if not isinstance(path, str) or not isinstance(index, int | None):
        raise InputFormatError("`path` is text, and `batch_index` a whole number")
    here = Path(path)
    if beside is not None and not here.exists() and (beside / here).exists():
        here = beside / here
    return read_value(here, index or 0, column)


def _closed(given: dict[str, Any], sent: datetime | None, beside: Path | None) -> Event:
    del sent, beside
    return events.input_closed(_id_of(given))


def _id_of(given: dict[str, Any]) -> str:
    name = given.get("id")
    if name is None:
        raise InputFormatError(f"the `id` of the input is missing; one looks like `{_EXAMPLE}`")
    if not isinstance(name, str) or not is_port_id(name):
        raise InputFormatError(f"`{name}` cannot be the id of an input; {PORT_ID_RULE}")
    return name


_MAKERS: dict[str, Callable[[dict[str, Any], datetime | None, Path | None], Event]] = {
    "Input": _input,
    "InputClosed": _closed,
    "Stop": lambda _given, _sent, _beside: events.stop("MANUAL"),
    "AllInputsClosed": lambda _given, _sent, _beside: events.stop("ALL_INPUTS_CLOSED"),
}

"""Inputs as a test writes them → what the played nodes of a simulation send. Pure but for files.

    ("image", frame)                          one after the other, each when all nodes wait
    ("image", frame, {"encoding": "rgb8"})
    (0.5, "image", frame)                     at this virtual time, in seconds
    (0.5, "image", frame, {"encoding": "rgb8"})
    {"type": "INPUT_CLOSED", "id": "image"}   closes an input; with "time" at that time
    Path("inputs-detector.json")              a recording of a real run

Elsewhere: when they arrive (`simulation.coordinator`).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from dora.errors import DoraError, InputFormatError
from dora.node.scripted import read_script
from dora.simulation.coordinator import Arrival
from dora.simulation.queues import Parcel
from dora.transport.sender import materialise
from dora.wire import metadata as wire_metadata
from dora.wire.payload import encode
from dora.wire.simulation import START_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dora.node.event_types import Event

Inputs: TypeAlias = "Iterable[tuple[Any, ...] | dict[str, Any]] | Path"
"""What `run_node` and `run_dataflow` take."""

_NS = 10**9
_FORMS = "it is `(id, value)`, `(id, value, metadata)` or these with a time in seconds before them"


def read_inputs(inputs: Inputs, place: Callable[[str], tuple[str, str]]) -> list[Arrival]:
    """What is to arrive, in order.

    Args:
        inputs: See the module.
        place: The played node and its output that an id stands for; raises `InputFormatError`.

    Raises:
        InputFormatError: one is not as it must be; the message names it.
        PayloadTypeError: a value is of a type that cannot be sent.
        MetadataError: metadata cannot be sent.
    """
    if isinstance(inputs, Path):
        return _recorded(inputs, place)
    if isinstance(inputs, str | bytes):
        raise InputFormatError(f"inputs are a list, or a `Path` to a recording, not {inputs!r}")
    arrivals = []
    for number, given in enumerate(inputs):
        try:
            arrivals.append(_read(given, place))
        except DoraError as exc:
            raise type(exc)(f"inputs[{number}]: {exc}") from exc
    timed = sum(arrival.time_ns is not None for arrival in arrivals)
    if timed not in (0, len(arrivals)):
        raise InputFormatError(
            f"{timed} of {len(arrivals)} inputs have a time; give it to all of them, or to none"
        )
    return sorted(arrivals, key=_time)


def _read(given: Any, place: Callable[[str], tuple[str, str]]) -> Arrival:
    if isinstance(given, dict):
        if given.get("type") != "INPUT_CLOSED":
            raise InputFormatError(
                f"a dict is `{{'type': 'INPUT_CLOSED', 'id': ...}}`, not {given!r}; for a message, "
                + _FORMS
            )
        return Arrival(*place(given.get("id", "")), None, _time_ns(given.get("time")))
    if not isinstance(given, tuple):
        raise InputFormatError(f"an input is a tuple, not {type(given).__name__}: {_FORMS}")
    time_s, rest = None, given
    if given and isinstance(given[0], int | float) and not isinstance(given[0], bool):
        time_s, rest = given[0], given[1:]
    if len(rest) not in (2, 3) or not isinstance(rest[0], str):
        raise InputFormatError(f"a tuple of {len(given)} is no input: {_FORMS}")
    metadata = rest[2] if len(rest) == 3 and rest[2] is not None else {}
    return Arrival(*place(rest[0]), _parcel(rest[1], metadata), _time_ns(time_s))


def _parcel(value: Any, metadata: dict[str, Any]) -> Parcel:
    header, size, body = encode(value)
    return Parcel(
        header,
        materialise(body, size),
        wire_metadata.encode(metadata),
        0,
        wire_metadata.is_correlated(metadata),
        wire_metadata.is_flush(metadata),
    )


def _time_ns(time_s: float | None) -> int | None:
    if time_s is None:
        return None
    if not (math.isfinite(time_s) and time_s >= 0):
        raise InputFormatError(f"{time_s} is no time: seconds from the start, 0 or more")
    return round(time_s * _NS)


def _recorded(path: Path, place: Callable[[str], tuple[str, str]]) -> list[Arrival]:
    """The events of a recording, up to the STOP."""
    script = read_script(path, datetime.fromtimestamp(START_NS // _NS, UTC))
    arrivals = []
    for time_s, event in script.events:
        if event["type"] == "STOP":
            break
        try:
            arrivals += _recorded_event(event, time_s, place)
        except InputFormatError as exc:
            raise InputFormatError(f"`{path}`: {exc}") from exc
    return arrivals


def _recorded_event(
    event: Event, time_s: float, place: Callable[[str], tuple[str, str]]
) -> list[Arrival]:
    match event["type"]:
        case "INPUT":
            parcel = _parcel(event["value"], event["metadata"])
            return [Arrival(*place(event["id"]), parcel, _time_ns(time_s))]
        case "INPUT_CLOSED":
            return [Arrival(*place(event["id"]), None, _time_ns(time_s))]
    return []


def _time(arrival: Arrival) -> int:
    return arrival.time_ns or 0

"""What a person types at the prompt → what is to be done; pure but for reading files.

Elsewhere: the prompt, and doing it (`node.interactive_prompt`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from dora.errors import InputFormatError
from dora.ids import PORT_ID_RULE, TimerRef, is_port_id, parse_source, suggest
from dora.node.json_values import NOTHING, from_json
from dora.node.value_files import read_value

HELP = """\
  Type the id of an input, then its data; or both on one line: `image [1, 2, 3]`.
    [1, 2, 3]  5  true  {"x": 1}      JSON: an Arrow array
    NUMPY:uint8 [[1, 2], [3, 4]]      a NumPy array of this dtype: for nodes that compute with it
    FILE:photo.jpg  .npy  .arrow      the value in a file: an image is uint8[height, width, 3]
    HEX:00ff                          bytes
    (nothing)                         no value, as from a timer; `tick` alone is a tick
    anything else                     text
  :meta {"encoding": "rgb8"}          send this metadata along from now on; `:meta` none
  :timer tick 100ms                   have an input tick by itself: `100ms`, `0.5s`, `30hz`, `off`
  :close image                        end an input: the node gets INPUT_CLOSED
  Nothing, or Ctrl-D, ends with STOP; Ctrl-C interrupts; Tab completes, arrows go back."""

TICK = "tick"
"""The id that is taken for a timer's though nobody said so."""

_DURATION = re.compile(r"([0-9]*\.?[0-9]+) *(us|ms|s|hz)", re.IGNORECASE)
_UNIT_NS = {"us": 10**3, "ms": 10**6, "s": 10**9}


class Message(msgspec.Struct, frozen=True):
    """An input to be fed."""

    input_id: str
    data: str | None = None
    """None: to be asked for."""


class Meta(msgspec.Struct, frozen=True):
    """Metadata that goes along with all that follows."""

    metadata: dict[str, Any]


class Ticking(msgspec.Struct, frozen=True):
    """An input that ticks by itself from now on, or no longer."""

    input_id: str
    interval_ns: int | None


class Closing(msgspec.Struct, frozen=True):
    """An input that ends."""

    input_id: str


class Help(msgspec.Struct, frozen=True):
    """The person wants to know what can be typed."""


Typed = Message | Meta | Ticking | Closing | Help


def parse_line(line: str) -> Typed:
    """What a line at the first prompt says; it is not empty.

    Raises:
        InputFormatError: it says nothing that is known here.
    """
    word, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if not word.startswith(":"):
        return Message(_port(word), rest or None)
    match word:
        case ":help":
            return Help()
        case ":meta":
            return Meta(_metadata(rest))
        case ":timer":
            name, _, interval = rest.partition(" ")
            return Ticking(_port(name), _interval_ns(interval.strip()))
        case ":close":
            return Closing(_port(rest))
    near = suggest(word, [":help", ":meta", ":timer", ":close"])
    raise InputFormatError(f"no command `{word}`" + (f"; did you mean `{near}`?" if near else ""))


def parse_data(text: str) -> Any:
    """The value that is typed.

    Raises:
        InputFormatError: a file, bytes, an array or JSON that are none.
    """
    text = text.strip()
    if not text:
        return from_json(NOTHING)
    prefix, colon, rest = text.partition(":")
    rest = rest.strip()
    if colon and prefix == "FILE":
        return read_value(Path(rest).expanduser())
    if colon and prefix == "HEX":
        try:
            return bytes.fromhex(rest)
        except ValueError as exc:
            raise InputFormatError(f"`{rest}` is not hexadecimal: {exc}") from None
    if colon and prefix == "NUMPY":
        dtype, _, data = rest.partition(" ")
        return from_json(_json(data, f"NUMPY:{dtype} "), dtype=dtype)
    try:
        data = msgspec.json.decode(text)
    except msgspec.DecodeError as exc:
        if text[0] in '[{"':  # A slip, hardly ever meant as text: the node would get no array.
            raise InputFormatError(
                f"`{text}` is no JSON: {exc}; text that begins so needs quotes: "
                + msgspec.json.encode(text).decode()
            ) from None
        return text
    return from_json(data)


def _port(name: str) -> str:
    if not is_port_id(name):
        raise InputFormatError(f"`{name}` cannot be the id of an input; {PORT_ID_RULE}")
    return name


def _metadata(text: str) -> dict[str, Any]:
    metadata = _json(text, ":meta ") if text else {}
    if not isinstance(metadata, dict):
        raise InputFormatError('metadata is an object, such as `:meta {"encoding": "rgb8"}`')
    return metadata


def _json(text: str, after: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as exc:
        raise InputFormatError(f"no JSON after `{after}`: {exc}") from exc


def _interval_ns(text: str) -> int | None:
    if text == "off":
        return None
    found = _DURATION.fullmatch(text)
    if found is not None:
        number, unit = float(found[1]), found[2].lower()
        interval_ns = round(
            1e9 / number if unit == "hz" and number else number * _UNIT_NS.get(unit, 0)
        )
        if interval_ns > 0:
            return interval_ns
    elif text.startswith("dora/timer/"):
        try:
            source = parse_source(text)
        except ValueError as exc:
            raise InputFormatError(str(exc)) from None
        assert isinstance(source, TimerRef)
        return source.interval_ns
    raise InputFormatError(f"`{text}` is no interval; e.g. `:timer tick 100ms`, `30hz` or `off`")

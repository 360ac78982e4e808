"""Checks of values against their declared types, under `DORA_RUNTIME_TYPE_CHECK`.

Sits in front of a node's sender and event stream, and only when the variable asks for it: without
it nothing here is even imported. A sender's value is judged by its type header, which repeats from
message to message, so that a verdict is made once and looked up afterwards. With `warn` the first
misfit of each output is told, with `error` every one is an exception of `send_output`. A receiver
looks at the first message of each input, and tells.

Messages of requests and goals are let through: one output may carry answers of many types.

Elsewhere: what a value of a type looks like (`wire.layouts`), types between nodes before anything
runs (`descriptor.types_check`).
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, cast

import msgspec

from dora.errors import TypeCheckError
from dora.node import logs
from dora.transport.sender import materialise
from dora.wire import metadata as wire_metadata
from dora.wire.layouts import Array, Items, Layout, Plain, PortType, Record, misfit, unpack
from dora.wire.values import reader_of

if TYPE_CHECKING:
    from dora.node.event_types import Event, InputEvent
    from dora.node.host import Host, Stream
    from dora.transport.sender import Sender
    from dora.wire.payload import Encoded

VARIABLE = "DORA_RUNTIME_TYPE_CHECK"
_WARN = frozenset({"1", "true", "warn"})
_ERROR = "error"
_OFF = frozenset({"", "0", "false", "off"})
_VERDICTS = 1024

_ARROW_NAMES = {"double": "float64", "float": "float32", "halffloat": "float16"}
_DTYPE_CODES = {
    "b1": "bool",
    **{f"i{size}": f"int{8 * size}" for size in (1, 2, 4, 8)},
    **{f"u{size}": f"uint{8 * size}" for size in (1, 2, 4, 8)},
    **{f"f{size}": f"float{8 * size}" for size in (2, 4, 8)},
    **{f"c{size}": f"complex{8 * size}" for size in (8, 16)},
}

_log = logging.getLogger("dora")


def checked(host: Host) -> tuple[Sender, Stream]:
    """The host's sender and stream, behind checks if the environment asks for them."""
    text = _asked()
    if text in _OFF:
        return host.sender, host.stream
    if text not in _WARN and text != _ERROR:
        logs.install()  # else the words would not reach the log of the dataflow as a warning
        _log.warning("`%s` is `%s`; write `warn` or `error`. Nothing is checked", VARIABLE, text)
        return host.sender, host.stream
    types = unpack(host.welcome.types)
    node = host.welcome.node
    sender, stream = host.sender, host.stream
    if types.outputs:
        checks = _CheckedSender(sender, node, types.outputs, strict=text == _ERROR)
        sender = cast("Sender", checks)  # it is one in all but name
    if types.inputs:
        stream = cast("Stream", _CheckedStream(stream, node, types.inputs))
    return sender, stream


def checked_part(host: Host, operator: str, stream: Stream) -> Stream:
    """The stream of one operator of the host's node, likewise."""
    types = unpack(host.welcome.types)
    asked = _asked()
    if not types.inputs or (asked not in _WARN and asked != _ERROR):
        return stream
    return cast("Stream", _CheckedStream(stream, host.welcome.node, types.inputs, f"{operator}/"))


def _asked() -> str:
    return os.environ.get(VARIABLE, "").strip().lower()


class _CheckedSender:
    """A `Sender` that looks at what it is given; all else goes to the real one."""

    def __init__(
        self, sender: Sender, node: str, ports: dict[str, PortType], *, strict: bool
    ) -> None:
        self._sender = sender
        self._node = node
        self._ports = ports
        self._strict = strict
        self._told: set[str] = set()
        self._verdicts: dict[tuple[str, bytes, int], str | None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sender, name)

    def send(
        self,
        output_id: str,
        encoded: Encoded,
        metadata: bytes = b"",
        *,
        correlated: bool = False,
        **options: Any,
    ) -> None:
        """Check, then send.

        Raises:
            TypeCheckError: the message is not as it is declared, and misfits are errors.
        """
        port = self._ports.get(output_id)
        if port is not None and output_id not in self._told:
            why = self._wrong_metadata(port, metadata, correlated=correlated)
            if why is None and port.layouts and not correlated:
                why = self._wrong_type(output_id, port, encoded)
            if why is not None:
                self._tell(output_id, why)
        self._sender.send(output_id, encoded, metadata, correlated=correlated, **options)

    def _wrong_metadata(self, port: PortType, raw: bytes, *, correlated: bool) -> str | None:
        if not port.metadata and not port.facts:
            return None
        metadata = wire_metadata.decode(raw)
        lacking = [key for key in port.metadata if key not in metadata]
        if lacking:
            named = ", ".join(f"`{key}`" for key in lacking)
            given = ", ".join(f"`{key}`" for key in metadata) or "none"
            return (
                f"promises {named} in the metadata of each message, but this one has {given}; add "
                f"`{lacking[0]}` to the `metadata` of `send_output`, or correct `output_metadata:`"
            )
        for key, value in port.facts.items():
            if not correlated and metadata.get(key, value) != value:
                return (
                    f"is declared `{port.text}`, but the metadata of this message says that "
                    f"`{key}` is `{metadata[key]}`; correct it, or `output_types:`"
                )
        return None

    def _wrong_type(self, output_id: str, port: PortType, encoded: Encoded) -> str | None:
        header, size, _ = encoded
        # Only of plain Arrow numbers does the header not say how many there are.
        key = (output_id, header, size if header[:1] == b"p" else 0)
        if key not in self._verdicts:
            if len(self._verdicts) >= _VERDICTS:
                self._verdicts.clear()
            self._verdicts[key] = self._verdict(port, encoded)
        return self._verdicts[key]

    def _verdict(self, port: PortType, encoded: Encoded) -> str | None:
        came = _layout_of_message(encoded)
        why = misfit(port.layouts, came)
        if why is None:
            return None
        shown = _shown(reader_of(encoded[0])[1], came)
        mend = _conversion(port, came) or "send what is declared"
        return (
            f"is declared `{port.text}`, but this value is `{shown}`: {why}; {mend}, or correct "
            "`output_types:`"
        )

    def _tell(self, output_id: str, why: str) -> None:
        message = f"output `{self._node}/{output_id}` {why} of node `{self._node}`"
        if self._strict:
            raise TypeCheckError(message)
        self._told.add(output_id)
        _log.warning("%s (told once for each output)", message)


class _CheckedStream:
    """A `Stream` that looks at the first message of each input; all else goes to the real one.

    Args:
        stream: The real one.
        node: The node's id.
        ports: The types of its inputs.
        prefix: What the stream leaves out of the ids of its inputs.
    """

    def __init__(
        self, stream: Stream, node: str, ports: dict[str, PortType], prefix: str = ""
    ) -> None:
        self._stream = stream
        self._node = node
        self._prefix = prefix
        self._waiting = {
            name.removeprefix(prefix): port
            for name, port in ports.items()
            if port.layouts and name.startswith(prefix)
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def wait(self, timeout_s: float | None = None) -> Event | None:
        """The stream's next event, looked at."""
        return self._seen(self._stream.wait(timeout_s))

    def try_take(self) -> Event | None:
        """The stream's next event if there is one, looked at."""
        return self._seen(self._stream.try_take())

    def drain(self) -> list[Event]:
        """The stream's events that are there now, looked at."""
        found = self._stream.drain()
        for event in found:
            self._seen(event)
        return found

    def _seen(self, event: Event | None) -> Event | None:
        if self._waiting and event is not None and event["type"] == "INPUT":
            port = self._waiting.get(event["id"])
            if port is not None and not wire_metadata.is_correlated(event["metadata"]):
                self._waiting.pop(event["id"], None)
                self._check(event, port)
        return event

    def _check(self, event: InputEvent, port: PortType) -> None:
        came = layout_of(event["value"])
        why = misfit(port.layouts, came)
        if why is not None:
            _log.warning(
                "input `%s/%s` expects `%s`, but its first message is `%s`: %s; correct "
                "`input_types:` of node `%s`, or what the sender sends",
                *(self._node, self._prefix + event["id"], port.text),
                *(_shown(event["metadata"].get("type_info", ""), came), why, self._node),
            )


def layout_of(value: Any) -> Layout:
    """What a received value looks like: a NumPy or Arrow array."""
    dtype = getattr(value, "dtype", None)
    if dtype is not None:
        return Array((_dtype_name(dtype.str if dtype.names is None else None),), value.shape)
    return layout_of_arrow(value.type, None if value.null_count else len(value))


def layout_of_arrow(kind: Any, length: int | None = None) -> Layout:
    """What an Arrow array of this type looks like.

    Args:
        kind: The Arrow type.
        length: How many elements it has, when none of them is null.
    """
    from pyarrow import types

    if types.is_struct(kind):
        return Record(tuple((field.name, layout_of_arrow(field.type)) for field in kind))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return Items(layout_of_arrow(kind.value_type))
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return Plain("string")
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return Plain("binary")
    name = _ARROW_NAMES.get(str(kind), str(kind))
    is_number = types.is_integer(kind) or types.is_floating(kind)
    return Plain(name, length if is_number else None)


def _layout_of_message(encoded: Encoded) -> Layout:
    """What a message looks like before it is sent, see `wire.payload` for the headers."""
    header, size, body = encoded
    if header[:1] == b"n":
        dtype, shape = msgspec.msgpack.decode(header[1:])
        return Array((_dtype_name(dtype),), tuple(shape))
    if header[:1] == b"t":
        return Plain("string")
    import pyarrow as pa

    if header[:1] == b"p":
        kind = getattr(pa, header[1:].decode())()
        return layout_of_arrow(kind, size // (kind.bit_width // 8))
    return layout_of_arrow(pa.ipc.open_stream(materialise(body, size)).schema.field(0).type)


def _dtype_name(code: Any) -> str:
    """A dtype's name, from its code (`<f4`) if it has one."""
    if not isinstance(code, str):
        return "a structured dtype"
    return _DTYPE_CODES.get(code.lstrip("<>|="), code)


def _shown(type_info: str, came: Layout) -> str:
    if isinstance(came, Plain) and came.length is not None:
        return f"{type_info}[{came.length}]"
    return type_info


def _conversion(port: PortType, came: Layout) -> str:
    """How to make a value of the declared type from one that differs in little; else empty."""
    first = port.layouts[0]
    match first, came:
        case ((Plain(kind=dtype) | Array(dtypes=(dtype,))), Array(dtypes=(given,))):
            if dtype != given and dtype in _DTYPE_CODES.values():
                return f"send `value.astype('{dtype}')`"
        case Plain(kind=dtype), Plain():
            names = {"bool": "bool_"}
            if dtype in _DTYPE_CODES.values() or dtype in {"string", "binary"}:
                return f"send `pa.array(values, pa.{names.get(dtype, dtype)}())`"
        case Record(), Record():
            return "give `pa.array` the type that is declared"
    return ""

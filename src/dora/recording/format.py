"""How a message stands in a recording: the channel it belongs to, its bytes there, and back.

Two encodings. `protobuf`: Foxglove's schemas, with one field more than they have, number 15000,
which readers that do not know it skip:

    message Dora { bytes header = 1; bytes metadata = 2; bytes before = 3; bytes after = 4;
                   uint32 field = 5; }

The payload is `before`, then what stands in the field of number `field` (none if 0), then `after`.
`arrow`: see `recording.arrow_stream`. Neither copies a payload, nor writes it twice.

Elsewhere: which of them a message is (`recording.kinds`), files (`recording.writer`,
`recording.reader`).
"""

from __future__ import annotations

import functools
import json
from base64 import b64decode
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from dora.recording import arrow_stream, kinds
from dora.recording.fields import bytes_field, bytes_head, fields, varint_field
from dora.recording.message import RecordedMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTOBUF, ARROW = "protobuf", "arrow"
TYPE_KEY = "dora.type"
"""Metadata of a channel: the type of its first message, as text."""

_EXTRA = 15000
_KINDS = {
    "foxglove.RawImage": "image",
    "foxglove.CompressedImage": "compressed image",
    "foxglove.CompressedVideo": "video",
    "foxglove.PointCloud": "point cloud",
    "foxglove.PoseInFrame": "pose",
    "foxglove.FrameTransform": "transform",
    "foxglove.ImageAnnotations": "boxes",
    "foxglove.Log": "log",
    "dora.Numbers": "numbers",
    "dora.Value": "value",
}
ARROW_SCHEMA = "dora.Value"


class Entry(NamedTuple):
    """A message as it stands in a file."""

    schema: str
    encoding: str
    """`protobuf` or `arrow`."""
    parts: list[bytes | memoryview]
    """Its bytes, in pieces."""


def entry_of(message: RecordedMessage, declared: str = "") -> Entry:
    """The message as it stands in a file.

    Args:
        message: The message. Its payload is not copied.
        declared: The type that the dataflow file has for its output, with its full name.
    """
    drawn = kinds.drawn(message, kinds.declared_type(declared))
    if drawn is None:
        return Entry(ARROW_SCHEMA, ARROW, arrow_stream.stream_parts(message))
    payload = message.view
    if drawn.field:
        before, after = bytes(payload[: drawn.start]), bytes(payload[drawn.end :])
        payload = payload[drawn.start : drawn.end]
        head = bytes_head(drawn.field, payload.nbytes)
    else:
        before, after, payload, head = bytes(payload), b"", payload[:0], b""
    extra = (
        bytes_field(1, message.header)
        + bytes_field(2, message.metadata)
        + bytes_field(3, before)
        + bytes_field(4, after)
        + varint_field(5, drawn.field)
    )
    parts: list[bytes | memoryview] = [drawn.fields + head, payload, bytes_field(_EXTRA, extra)]
    return Entry(drawn.schema, PROTOBUF, parts)


def message_of(
    topic: str, encoding: str, data: memoryview, sent_ns: int, recorded_ns: int, sequence: int
) -> RecordedMessage:
    """The message that stands in a file; its payload is a view of `data` where it can be.

    Raises:
        ValueError: these bytes were not written by dora.
    """
    if encoding == ARROW:
        header, metadata, payload = arrow_stream.read_stream(data)
    else:
        header, metadata, payload = _from_protobuf(data)
    return RecordedMessage(topic, header, payload, metadata, sent_ns, recorded_ns, sequence)


def _from_protobuf(data: memoryview) -> tuple[bytes, bytes, bytes | memoryview]:
    """Type header, metadata and payload of a message with the field that only dora writes."""
    places: dict[int, tuple[int, int]] = {}
    for number, start, end in fields(data):
        places[number] = start, end
    if _EXTRA not in places:
        raise ValueError("a message without dora's field")
    start, end = places[_EXTRA]
    extra = data[start:end]
    found = {1: b"", 2: b"", 3: b"", 4: b""}
    field = 0
    for number, start, end in fields(extra):
        if number == 5 and end < 0:
            field = start
        elif end >= 0:
            found[number] = bytes(extra[start:end])
    payload: bytes | memoryview = b""
    if field:
        start, end = places.get(field, (0, 0))  # an empty one may have been left out
        payload = data[start:end]
    if found[3] or found[4]:
        payload = b"".join((found[3], payload, found[4]))
    return found[1], found[2], payload


def schema_data(schema: str) -> bytes:
    """What a schema record holds: a `FileDescriptorSet` of protobuf; nothing for Arrow."""
    return _schemas().get(schema, b"")


def kind_of(schema: str, encoding: str) -> str:
    """What a channel's messages are, in a word; the encoding of those that dora did not write."""
    return _KINDS.get(schema, encoding)


def is_playable(schema: str, encoding: str, metadata: Mapping[str, str]) -> bool:
    """Whether dora wrote a channel, so that its messages can be read back."""
    return TYPE_KEY in metadata and schema in _KINDS and encoding in (PROTOBUF, ARROW)


@functools.cache
def _schemas() -> dict[str, bytes]:
    """By name. The file holds what Foxglove's SDK gives for its own messages, MIT licence."""
    text = resources.files("dora.recording").joinpath("schemas.json").read_text()
    return {name: b64decode(data) for name, data in json.loads(text).items()}

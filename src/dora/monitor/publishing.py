"""What a user types for `dora topic pub` → the message that a node is to send. Reads files.

Elsewhere: JSON to values (`node.json_values`), files of other kinds (`node.value_files`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from dora.errors import InputFormatError
from dora.node.json_metadata import read_metadata
from dora.node.json_values import from_json
from dora.node.value_files import IMAGES, read_value
from dora.transport.sender import materialise
from dora.wire import metadata as wire_metadata
from dora.wire.payload import encode
from dora.wire.visits import Publish

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_HINT = """data must be valid JSON, e.g. '{"key": 42}' or '"hello"'"""
_MOST_BYTES = 60 << 20
"""Of one message that travels by way of the daemon."""


def value_of(
    data: str | None,
    file: Path | None,
    dtype: str | None = None,
    shape: Sequence[int] | None = None,
) -> Any:
    """The value that was given, as JSON or in a file.

    Args:
        data: JSON.
        file: A file of JSON, or of what `node.value_files` reads: `.npy`, `.arrow`, an image.
        dtype: Makes it a NumPy array of this dtype.
        shape: Makes it a NumPy array of this shape.

    Raises:
        InputFormatError: it is neither, or not of that type.
    """
    if file is not None:
        if file.suffix.lower() in {".npy", ".arrow", *IMAGES}:
            if dtype is not None or shape is not None:
                raise InputFormatError(f"`{file}` says itself what type it is; leave the flags out")
            return read_value(file)
        try:
            data = file.read_text()
        except (OSError, UnicodeDecodeError) as exc:
            raise InputFormatError(f"`{file}` cannot be read: {exc}") from exc
    assert data is not None
    return from_json(_json(data, "data"), dtype=dtype, shape=shape)


def message_of(node: str, output: str, value: Any, metadata: str | None = None) -> Publish:
    """What is to be sent.

    Args:
        node: Who is to send it.
        output: On which of its outputs.
        value: What a node may send.
        metadata: JSON.

    Raises:
        PayloadTypeError: the value cannot be sent.
        InputFormatError: the metadata is no JSON object, or the value too large.
        MetadataError: the metadata cannot be sent.
    """
    header, size, body = encode(value)
    if size > _MOST_BYTES:
        raise InputFormatError(
            f"{size} bytes are too many to publish: at most {_MOST_BYTES} go by way of the daemon; "
            "let a node send it"
        )
    facts = read_metadata(_json(metadata, "metadata")) if metadata is not None else {}
    raw = wire_metadata.encode(facts) if facts else b""
    return Publish(node, output, header, materialise(body, size), raw)


def _json(text: str, what: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as exc:
        hint = _HINT if what == "data" else """an object, e.g. '{"encoding": "rgb8"}'"""
        raise InputFormatError(f"invalid JSON {what}: {exc}; hint: {hint}") from exc

"""One recorded message: what was on the wire, undecoded, with both its clocks.

Replay sends exactly these bytes, so that value, type and metadata are the same bit for bit.
Elsewhere: how a message stands in a file (`recording.format`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from dora.wire import metadata as wire_metadata
from dora.wire.values import reader_of

if TYPE_CHECKING:
    import pyarrow as pa

Payload: TypeAlias = "bytes | memoryview | pa.Buffer"


class RecordedMessage(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A message of an output."""

    topic: str
    """The output, written `node/output`."""
    header: bytes
    """Its type header, see `wire.payload`."""
    payload: Any
    """A `Payload`: its bytes, read-only; perhaps a view of the file or of the sender's memory."""
    metadata: bytes
    """Encoded as it travelled, see `wire.metadata`."""
    sent_ns: int
    """When it was sent, ns since the epoch."""
    recorded_ns: int
    """When the recorder read it, ns since the epoch."""
    sequence: int = 0
    """Its running number on the output, from 1; begins anew with each process of the node."""

    def value(self) -> Any:
        """The value as a node would get it: a read-only NumPy or Arrow array."""
        payload = self.payload
        if isinstance(payload, memoryview):
            import pyarrow as pa

            payload = pa.py_buffer(payload)
        return reader_of(self.header)[0](payload)

    def metadata_dict(self) -> dict[str, Any]:
        """The user's metadata, without what a receiver adds."""
        return wire_metadata.decode(self.metadata)

    @property
    def type_text(self) -> str:
        """The type as text: `uint8[480, 640, 3]`, or Arrow's name."""
        return reader_of(self.header)[1]

    @property
    def view(self) -> memoryview:
        """The payload as flat bytes."""
        return memoryview(self.payload).cast("B")

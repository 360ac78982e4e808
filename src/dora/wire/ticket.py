"""The ticket: the fixed 512-byte record that announces one message on an edge.

    0  kind u8    1  flags u8    4  header bytes u32    8  metadata bytes u32
    16 sequence u64    24 send time i64 (ns since the epoch)    32 arena id u32
    40 slot offset u64    48 payload bytes u64    56 type header, metadata, payload

512 is the smallest PIPE_BUF that POSIX allows: a write of it is atomic. Little-endian throughout.

* INLINE: type header and metadata follow the head; the payload follows them, from the next multiple
  of 16, so that values can be used where they lie.
* in a slot: the payload starts at the slot; type header and metadata follow the head, or, flagged
  SPILLED, follow the payload in the slot, from the next multiple of 16.

A return record, the receiver's answer, is `<II`: arena id, slot offset in pages of 4096.

Elsewhere: what the type header says (`wire.payload`), the metadata's bytes (`wire.metadata`).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

TICKET_BYTES = 512
PAGE_BYTES = 4096

DATA, CLOSE = 0, 1
INLINE, SPILLED, CORRELATED = 1, 2, 4

HEAD = struct.Struct("<BBxxIIxxxxQqIxxxxQQ")
RETURN = struct.Struct("<II")
CREDIT = RETURN.pack(0, 0xFFFFFFFF)
"""A return record that frees nothing: "one ticket read", for senders that wait for room."""

_ROOM = TICKET_BYTES - HEAD.size
_ZEROS = bytes(TICKET_BYTES)


class Ticket(NamedTuple):
    """The head of a ticket, read."""

    kind: int
    flags: int
    header_bytes: int
    metadata_bytes: int
    sequence: int
    time_ns: int
    arena: int
    offset: int
    size: int


def inline_start(prefix_bytes: int) -> int:
    """Where an inline payload starts when header and metadata take `prefix_bytes`."""
    return (HEAD.size + prefix_bytes + 15) & ~15


def spill_start(size: int) -> int:
    """Where spilled header and metadata start, from the slot's own start."""
    return (size + 15) & ~15


def pack_inline(
    flags: int, sequence: int, time_ns: int, header: bytes, metadata: bytes, payload: bytes
) -> bytes | None:
    """A ticket that holds the whole message; None when it does not fit."""
    prefix = len(header) + len(metadata)
    start = (HEAD.size + prefix + 15) & ~15
    end = start + len(payload)
    if end > TICKET_BYTES:
        return None
    head = HEAD.pack(
        DATA, flags | INLINE, len(header), len(metadata), sequence, time_ns, 0, 0, len(payload)
    )
    return b"".join(
        (head, header, metadata, _ZEROS[: start - HEAD.size - prefix], payload, _ZEROS[end:])
    )


def fits_beside_slot(header: bytes, metadata: bytes) -> bool:
    """Whether type header and metadata of a message in a slot fit into its ticket."""
    return len(header) + len(metadata) <= _ROOM


def pack_slot(
    flags: int,
    sequence: int,
    time_ns: int,
    header: bytes,
    metadata: bytes,
    place: tuple[int, int, int],
) -> bytes:
    """A ticket for a payload that lies in a slot.

    Args:
        flags: CORRELATED or 0; SPILLED when header and metadata were written into the slot.
        sequence: Running number of the message on its output.
        time_ns: Send time, ns since the epoch.
        header: Type header.
        metadata: Encoded metadata.
        place: Arena id, slot offset, payload bytes.
    """
    arena, offset, size = place
    head = HEAD.pack(
        DATA, flags, len(header), len(metadata), sequence, time_ns, arena, offset, size
    )
    if flags & SPILLED:
        return head.ljust(TICKET_BYTES, b"\0")
    return (head + header + metadata).ljust(TICKET_BYTES, b"\0")


def pack_close() -> bytes:
    """The ticket that says: nothing more comes on this edge."""
    return HEAD.pack(CLOSE, 0, 0, 0, 0, 0, 0, 0, 0).ljust(TICKET_BYTES, b"\0")


def unpack(record: bytes) -> Ticket:
    """Read a ticket's head."""
    return Ticket._make(HEAD.unpack_from(record))


def is_correlated(record: bytes) -> bool:
    """Whether the message belongs to a request or goal, and so must not be dropped."""
    return bool(record[1] & CORRELATED)

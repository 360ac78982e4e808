"""The ticket: the fixed 512-byte record that announces one message on an edge.

    0  kind u8    1  flags u8    4  header bytes u32    8  metadata bytes u32
    16 sequence u64    24 send time i64 (ns since the epoch)    32 arena id u32
    40 slot offset u64    48 payload bytes u64    56 type header, metadata, payload

512 is the smallest PIPE_BUF that POSIX allows: a write of it is atomic. Little-endian throughout.

* INLINE: type header and metadata follow the head; the payload follows them, from the next multiple
  of 16, so that values can be used where they lie.
* in a slot: the payload starts at the slot; type header and metadata follow the head, or, flagged
  SPILLED, follow the payload in the slot, from the next multiple of 16.

A return record, the receiver's answer, is `<II`: arena id, slot offset in pages of 4096. Offsets
that no slot can have mark two others: a CREDIT, and a START, which is followed by 8 bytes, the
sequence number of the first ticket that a receiver took of this arena (see `transport.edge`). The
16 bytes of a START are one write, so that they stand together in the pipe.

Elsewhere: what the type header says (`wire.payload`), the metadata's bytes (`wire.metadata`).
"""

from __future__ import annotations

import struct

import msgspec

TICKET_BYTES = 512
PAGE_BYTES = 4096

DATA, CLOSE = 0, 1
INLINE, SPILLED, CORRELATED, DETACHED = 1, 2, 4, 8

HEAD = struct.Struct("<BBxxIIxxxxQqIxxxxQQ")
HEAD_BYTES = HEAD.size
RETURN = struct.Struct("<II")
CREDIT = RETURN.pack(0, 0xFFFFFFFF)
"""A return record that frees nothing: "one ticket read", for senders that wait for room."""
START_PAGE = 0xFFFFFFFE
"""Stands for the offset in the first half of a START."""
_START = struct.Struct("<IIQ")


class Ticket(msgspec.Struct, frozen=True):
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


def spill_start(size: int) -> int:
    """Where spilled header and metadata start, from the slot's own start."""
    return (size + 15) & ~15


class TicketWriter:
    """Packs tickets, one after the other, into the same 512 bytes.

    What lies behind a ticket's own bytes is left over from earlier ones and means nothing.

    Args:
        arena: Whose tickets they are: named in inline ones too.
    """

    def __init__(self, arena: int = 0) -> None:
        self._arena = arena
        self.record = bytearray(TICKET_BYTES)
        """The ticket packed last."""
        self._view = memoryview(self.record)

    def pack_inline(
        self,
        flags: int,
        sequence: int,
        time_ns: int,
        header: bytes,
        metadata: bytes,
        payload: bytes | memoryview,
    ) -> bool:
        """Pack a ticket that holds the whole message; False when it does not fit.

        Args:
            flags: CORRELATED or 0.
            sequence: Running number of the message on its output.
            time_ns: Send time, ns since the epoch.
            header: Type header.
            metadata: Encoded metadata.
            payload: The payload, flat, format `B`.
        """
        header_bytes, metadata_bytes, size = len(header), len(metadata), len(payload)
        prefix_end = HEAD_BYTES + header_bytes + metadata_bytes
        start = (prefix_end + 15) & ~15
        if start + size > TICKET_BYTES:
            return False
        HEAD.pack_into(
            self.record,
            0,
            DATA,
            flags | INLINE,
            header_bytes,
            metadata_bytes,
            sequence,
            time_ns,
            self._arena,
            0,
            size,
        )
        self._view[HEAD_BYTES:prefix_end] = header + metadata
        self._view[start : start + size] = payload
        return True

    def pack_slot(
        self,
        flags: int,
        sequence: int,
        time_ns: int,
        header: bytes,
        metadata: bytes,
        place: tuple[int, int, int],
    ) -> None:
        """Pack a ticket for a payload that lies in a slot.

        Args:
            flags: CORRELATED or 0; SPILLED when header and metadata were written into the slot.
            sequence: Running number of the message on its output.
            time_ns: Send time, ns since the epoch.
            header: Type header.
            metadata: Encoded metadata.
            place: Arena id, slot offset, payload bytes.
        """
        header_bytes, metadata_bytes = len(header), len(metadata)
        HEAD.pack_into(
            self.record, 0, DATA, flags, header_bytes, metadata_bytes, sequence, time_ns, *place
        )
        if not flags & SPILLED:
            prefix_end = HEAD_BYTES + header_bytes + metadata_bytes
            self._view[HEAD_BYTES:prefix_end] = header + metadata


def fits_beside_slot(header: bytes, metadata: bytes) -> bool:
    """Whether type header and metadata of a message in a slot fit into its ticket."""
    return HEAD_BYTES + len(header) + len(metadata) <= TICKET_BYTES


def pack_start(arena: int, sequence: int) -> bytes:
    """The START of a receiver whose first ticket is this one; to be written at once."""
    return _START.pack(arena, START_PAGE, sequence)


def pack_close(time_ns: int = 0, *, detached: bool = False) -> bytes:
    """The ticket that says: nothing more comes on this edge.

    With `detached` because the edge was taken away, not because its output ended. The time tells
    which of several edges ended last.
    """
    return HEAD.pack(CLOSE, DETACHED if detached else 0, 0, 0, 0, time_ns, 0, 0, 0).ljust(
        TICKET_BYTES, b"\0"
    )


def unpack(record: bytes) -> Ticket:
    """Read a ticket's head."""
    return Ticket(*HEAD.unpack_from(record))


def must_stay(record: bytes) -> bool:
    """Whether a ticket must not be dropped: it belongs to a request or goal, or is a CLOSE."""
    return record[0] == CLOSE or bool(record[1] & CORRELATED)

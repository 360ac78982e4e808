"""MCAP's records as bytes: small ones by Foxglove's `mcap`, chunks and messages by hand.

`mcap` copies a message five times; here a chunk is a list of pieces, of which large ones lie where
the sender put them. What is written stands in https://mcap.dev/spec. This is the only module that
knows `mcap`.

Elsewhere: which records make a file (`recording.part`), finding them (`recording.mcap_file`).
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Any

from dora.recording.compression import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

try:
    from mcap import records as mcap_records
    from mcap.data_stream import ReadDataStream, RecordBuilder
    from mcap.exceptions import McapError
    from mcap.opcode import Opcode
except ImportError as exc:
    raise missing("mcap") from exc

MAGIC = b"\x89MCAP0\r\n"
RECORD = struct.Struct("<BQ")
MESSAGE = struct.Struct("<BQHIQQ")
"""Opcode, length; channel, sequence, log time, publish time: all that stands before the data."""
MESSAGE_FIELDS = MESSAGE.size - RECORD.size
CHUNK = struct.Struct("<QQQI")
"""Start, end, uncompressed size, CRC; then compression and bytes, each behind its length."""
_U32_FIELD, _U64_FIELD = struct.Struct("<I"), struct.Struct("<Q")
_U32 = 0xFFFFFFFF

Attachment = mcap_records.Attachment
AttachmentIndex = mcap_records.AttachmentIndex
Channel = mcap_records.Channel
ChunkIndex = mcap_records.ChunkIndex
DataEnd = mcap_records.DataEnd
Footer = mcap_records.Footer
Header = mcap_records.Header
MessageIndex = mcap_records.MessageIndex
Metadata = mcap_records.Metadata
MetadataIndex = mcap_records.MetadataIndex
Schema = mcap_records.Schema
Statistics = mcap_records.Statistics
SummaryOffset = mcap_records.SummaryOffset
Op = Opcode
_SMALL_BYTES = 1 << 14
"""Pieces below this are copied together; larger ones stay where they are."""


def record_bytes(*records: Any) -> bytes:
    """Records of `mcap` as they stand in a file, one behind the other."""
    builder: Any = RecordBuilder()
    for record in records:
        record.write(builder)
    data: bytes = builder.end()
    return data


def read_record(kind: Any, body: memoryview) -> Any:
    """A record of `mcap`, out of what follows its length.

    Raises:
        ValueError: the bytes are damaged.
    """
    try:
        return kind.read(ReadDataStream(BytesIO(body)))
    except (McapError, struct.error, EOFError, OverflowError) as exc:
        raise ValueError(f"a damaged {kind.__name__} ({exc})") from exc


def records_in(data: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Opcode, start and end of each whole record; stops in front of one that is cut off."""
    while start + RECORD.size <= end:
        opcode, length = RECORD.unpack_from(data, start)
        start += RECORD.size
        if start + length > end:
            return
        yield opcode, start, start + length
        start += length


class Chunk:
    """Messages that are written together."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes of all its messages."""
        self.start_ns, self.end_ns = 0, 0
        """Earliest and latest log time."""
        self.counts: dict[int, int] = {}
        """Messages, by channel."""
        self.sizes: dict[int, int] = {}
        """Bytes of their data, by channel."""
        self._pieces: list[bytes | memoryview] = []
        self._small = bytearray()
        self._index: dict[int, list[tuple[int, int]]] = {}

    def add(
        self,
        channel: int,
        sequence: int,
        log_ns: int,
        publish_ns: int,
        parts: list[bytes | memoryview],
    ) -> None:
        """Take in a message; large parts are not copied, and must stay as they are."""
        sizes = [part.nbytes if isinstance(part, memoryview) else len(part) for part in parts]
        size = sum(sizes)
        self._index.setdefault(channel, []).append((log_ns, self.size))
        if not self.counts:
            self.start_ns = self.end_ns = log_ns
        self.start_ns = min(self.start_ns, log_ns)
        self.end_ns = max(self.end_ns, log_ns)
        self.counts[channel] = self.counts.get(channel, 0) + 1
        self.sizes[channel] = self.sizes.get(channel, 0) + size
        self._small += MESSAGE.pack(
            Op.MESSAGE, MESSAGE_FIELDS + size, channel, sequence & _U32, log_ns, publish_ns
        )
        for part, length in zip(parts, sizes, strict=True):
            if length < _SMALL_BYTES:
                self._small += part
            else:
                self._cut()
                self._pieces.append(part)
        self.size += MESSAGE.size + size

    def pieces(
        self, name: str, compress: Callable[[bytes], bytes] | None, offset: int
    ) -> tuple[list[bytes | memoryview], ChunkIndex]:
        """The chunk and its message indexes as they stand in a file, and its own index.

        Args:
            name: Of the compression, empty for none.
            compress: The compression.
            offset: Where in the file it will stand.
        """
        self._cut()
        crc = 0
        for piece in self._pieces:
            crc = zlib.crc32(piece, crc)
        inside = self._pieces
        if compress is not None:
            inside = [compress(b"".join(inside))]
        inner = self.size if compress is None else len(inside[0])
        word = name.encode()
        length = CHUNK.size + _U32_FIELD.size + len(word) + _U64_FIELD.size + inner
        head = (
            RECORD.pack(Op.CHUNK, length)
            + CHUNK.pack(self.start_ns, self.end_ns, self.size, crc)
            + _U32_FIELD.pack(len(word))
            + word
            + _U64_FIELD.pack(inner)
        )
        at = offset + RECORD.size + length
        offsets, indexes = {}, []
        for channel, entries in self._index.items():
            offsets[channel] = at
            indexes.append(_index_record(channel, entries))
            at += len(indexes[-1])
        index = ChunkIndex(
            chunk_length=RECORD.size + length,
            chunk_start_offset=offset,
            compression=name,
            compressed_size=inner,
            message_end_time=self.end_ns,
            message_index_length=sum(map(len, indexes)),
            message_index_offsets=offsets,
            message_start_time=self.start_ns,
            uncompressed_size=self.size,
        )
        return [head, *inside, b"".join(indexes)], index

    def _cut(self) -> None:
        if self._small:
            self._pieces.append(bytes(self._small))
            self._small.clear()


def _index_record(channel: int, entries: list[tuple[int, int]]) -> bytes:
    """A MessageIndex; `mcap`'s own writes each number by itself."""
    flat = array("Q", chain.from_iterable(entries))
    if sys.byteorder == "big":
        flat.byteswap()
    raw = flat.tobytes()
    head = struct.pack("<HI", channel, len(raw))
    return RECORD.pack(Op.MESSAGE_INDEX, len(head) + len(raw)) + head + raw

"""Finds the records of one MCAP file, anybody's, complete or cut off; nothing is copied.

The summary at the end says where everything stands. Where there is none, because whoever wrote the
file was killed, the records are gone through one by one, up to the last that is whole.

Elsewhere: bytes of records (`recording.container`), what messages mean (`recording.reader`).
"""

from __future__ import annotations

import mmap
import os
import sys
import zlib
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

from dora.errors import DoraError
from dora.recording import container
from dora.recording.compression import decompressed
from dora.recording.container import (
    CHUNK,
    MAGIC,
    MESSAGE,
    MESSAGE_FIELDS,
    RECORD,
    Op,
    read_record,
    records_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOOTER_BYTES = RECORD.size + 20 + len(MAGIC)
_INDEX_HEAD = 6
_MOST_INDEX_BYTES = 32 << 20
"""Indexes that are read to tell the bytes of each topic of a file that does not say it."""


class Data(NamedTuple):
    """A message where it lies in a file."""

    channel: int
    sequence: int
    log_ns: int
    publish_ns: int
    data: memoryview


class McapFile:
    """An open file; `close()` gives it up, once nobody has views of it any more.

    Raises:
        DoraError: it cannot be read, is no MCAP file, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cut_off = False
        """Whether the file has no end: whoever wrote it was killed, or still writes."""
        self.header = container.Header(profile="", library="")
        self.schemas: dict[int, container.Schema] = {}
        self.channels: dict[int, container.Channel] = {}
        self.chunks: list[container.ChunkIndex] = []
        self.loose: list[tuple[int, int]] = []
        """Start and end of messages that are in no chunk."""
        self.statistics: container.Statistics | None = None
        self._attached: list[tuple[int, int]] = []
        self._described: list[tuple[int, int]] = []
        self._data = self._map()
        self.size = len(self._data)
        try:
            self._read()
        except (ValueError, KeyError, IndexError) as exc:
            self.close()
            raise self._damaged(exc) from exc

    def close(self) -> None:
        """Give the file up; twice is fine. Messages that were read stay valid."""
        self._data = memoryview(b"")

    def metadata(self, name: str) -> list[dict[str, str]]:
        """The metadata records of this name, in order."""
        found = self._all(container.Metadata, self._described)
        return [one.metadata for one in found if one.name == name]

    def attachments(self) -> dict[str, bytes]:
        """What is attached, by name."""
        found = self._all(container.Attachment, self._attached)
        return {one.name: bytes(one.data) for one in found}

    def messages(self, wanted: frozenset[int] | None, start_ns: int = 0) -> Iterator[Data]:
        """Messages in the order in which they stand, of these channels or of all.

        Args:
            wanted: Ids of channels.
            start_ns: Chunks whose messages were all recorded before are left out.

        Raises:
            DoraError: a chunk is damaged.
        """
        for chunk in self.chunks:
            if chunk.message_end_time >= start_ns and (
                wanted is None or not wanted.isdisjoint(chunk.message_index_offsets)
            ):
                yield from self.messages_of(chunk, wanted)
        for start, end in self.loose:
            one = self._message(self._data, start, end)
            if wanted is None or one.channel in wanted:
                yield one

    def messages_of(
        self, chunk: container.ChunkIndex, wanted: frozenset[int] | None = None
    ) -> Iterator[Data]:
        """The messages of a chunk.

        Raises:
            DoraError: it is damaged.
        """
        try:
            inside = self._inside(chunk)
        except ValueError as exc:
            raise self._damaged(exc) from exc
        for opcode, start, end in records_in(inside, 0, len(inside)):
            if opcode == Op.MESSAGE:
                one = self._message(inside, start, end)
                if wanted is None or one.channel in wanted:
                    yield one

    def times(self, channel: int) -> tuple[int, int] | None:
        """Log times of the first and the last message of a channel; None if there is none."""
        holding = [chunk for chunk in self.chunks if channel in chunk.message_index_offsets]
        times: list[int] = []
        if holding:
            first = min(holding, key=lambda chunk: chunk.message_start_time)
            last = max(holding, key=lambda chunk: chunk.message_end_time)
            for chunk in (first, last):
                times += self._index(chunk.message_index_offsets[channel])[::2]
        elif self.counts().get(channel):
            times = [one.log_ns for one in self.messages(frozenset((channel,)))]
        return (min(times), max(times)) if times else None

    def counts(self) -> dict[int, int]:
        """Messages of each channel."""
        if self.statistics is not None:
            return dict(self.statistics.channel_message_counts)
        counts: dict[int, int] = {}
        for chunk in self.chunks:
            for channel, start in chunk.message_index_offsets.items():
                counts[channel] = counts.get(channel, 0) + len(self._index(start)) // 2
        for start, end in self.loose:
            channel = self._message(self._data, start, end).channel
            counts[channel] = counts.get(channel, 0) + 1
        return counts

    def sizes(self) -> dict[int, int] | None:
        """Bytes of the messages of each channel; None where finding out takes long."""
        if sum(chunk.message_index_length for chunk in self.chunks) > _MOST_INDEX_BYTES:
            return None
        import numpy as np

        sizes: dict[int, int] = {}
        for chunk in self.chunks:
            parts = []
            for channel, start in chunk.message_index_offsets.items():
                places = np.array(self._index(start)[1::2])
                parts.append(np.stack([places, np.full_like(places, channel)]))
            if not parts:
                continue
            places, channels = np.concatenate(parts, axis=1)
            order = np.argsort(places)
            lengths = np.diff(places[order], append=np.uint64(chunk.uncompressed_size))
            for channel in chunk.message_index_offsets:
                own = lengths[channels[order] == channel]
                sizes[channel] = sizes.get(channel, 0) + int(own.sum()) - MESSAGE.size * len(own)
        for start, end in self.loose:
            one = self._message(self._data, start, end)
            sizes[one.channel] = sizes.get(one.channel, 0) + one.data.nbytes
        return sizes

    def _index(self, start: int) -> memoryview:
        """The MessageIndex at a place: log time and place in the chunk of each message, by turns.

        Raises:
            DoraError: there is none.
        """
        opcode, first, last = next(records_in(self._data, start, self.size), (0, 0, 0))
        first += _INDEX_HEAD
        if opcode != Op.MESSAGE_INDEX or first > last or (last - first) % 16:
            raise self._damaged(ValueError(f"no index of messages at byte {start}"))
        raw = self._data[first:last]
        return raw.cast("Q") if sys.byteorder == "little" else memoryview(_swapped(raw))

    # ---- opening ----

    def _map(self) -> memoryview:
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if not size:
                    raise DoraError(f"`{self.path}` is empty: no MCAP file")
                mapped = mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ)
        except OSError as exc:
            raise DoraError(f"`{self.path}` cannot be read: {exc.strerror}") from exc
        view = memoryview(mapped)
        if bytes(view[: len(MAGIC)]) != MAGIC:
            raise DoraError(f"`{self.path}` is no MCAP file: it does not begin as one")
        return view

    def _read(self) -> None:
        head = next(records_in(self._data, len(MAGIC), self.size), None)
        if head is None or head[0] != Op.HEADER:
            raise ValueError("it ends before its header does")
        self.header = read_record(container.Header, self._data[head[1] : head[2]])
        start = self._summary_start()
        if start is None:
            self._scan(head[2])
            return
        for opcode, first, last in records_in(self._data, start, self.size - _FOOTER_BYTES):
            self._summarise(opcode, self._data[first:last])
        if not self.chunks and (self.statistics is None or self.statistics.message_count):
            self._attached, self._described = [], []
            self._scan(head[2])  # its messages are in no chunks

    def _summary_start(self) -> int | None:
        """Where the summary begins; None if there is none, or it is damaged."""
        at = self.size - _FOOTER_BYTES
        if at < len(MAGIC) or bytes(self._data[self.size - len(MAGIC) :]) != MAGIC:
            self.cut_off = True
            return None
        opcode, length = RECORD.unpack_from(self._data, at)
        if opcode != Op.FOOTER or length != 20:
            self.cut_off = True
            return None
        body = self._data[at + RECORD.size : at + RECORD.size + length]
        footer = read_record(container.Footer, body)
        start: int = footer.summary_start
        if not start:
            return None
        crc = footer.summary_crc
        if start > at or (crc and zlib.crc32(self._data[start : self.size - 12]) != crc):
            self.cut_off = True
            return None
        return start

    def _summarise(self, opcode: int, body: memoryview) -> None:
        """Take in one record of the summary."""
        if opcode == Op.STATISTICS:
            self.statistics = read_record(container.Statistics, body)
        elif opcode == Op.CHUNK_INDEX:
            self.chunks.append(read_record(container.ChunkIndex, body))
        elif opcode in (Op.ATTACHMENT_INDEX, Op.METADATA_INDEX):
            attached = opcode == Op.ATTACHMENT_INDEX
            kind = container.AttachmentIndex if attached else container.MetadataIndex
            index = read_record(kind, body)
            place = index.offset + RECORD.size, index.offset + index.length
            (self._attached if attached else self._described).append(place)
        else:
            self._learn(opcode, body)

    def _learn(self, opcode: int, body: memoryview) -> None:
        """Take in a schema or a channel."""
        if opcode == Op.SCHEMA:
            schema = read_record(container.Schema, body)
            self.schemas[schema.id] = schema
        elif opcode == Op.CHANNEL:
            channel = read_record(container.Channel, body)
            self.channels[channel.id] = channel

    def _scan(self, start: int) -> None:
        """Go through all records that are whole."""
        for opcode, first, last in records_in(self._data, start, self.size):
            if opcode == Op.CHUNK:
                self.chunks.append(self._chunk_at(first, last))
            elif opcode == Op.MESSAGE_INDEX and self.chunks:
                channel = int.from_bytes(self._data[first : first + 2], "little")
                chunk = self.chunks[-1]
                chunk.message_index_offsets[channel] = first - RECORD.size
                chunk.message_index_length += last - first + RECORD.size
            elif opcode == Op.MESSAGE:
                self.loose.append((first, last))
            elif opcode == Op.ATTACHMENT:
                self._attached.append((first, last))
            elif opcode == Op.METADATA:
                self._described.append((first, last))
            elif opcode == Op.DATA_END:
                break
            else:
                self._learn(opcode, self._data[first:last])
        self._drop_unindexed()
        for chunk in self.chunks:
            if not self.channels.keys() >= chunk.message_index_offsets.keys():
                inside = self._inside(chunk)
                for opcode, first, last in records_in(inside, 0, len(inside)):
                    self._learn(opcode, inside[first:last])

    def _drop_unindexed(self) -> None:
        """Leave out a last chunk whose indexes were not all written."""
        if not self.cut_off or not self.chunks:
            return
        chunk = self.chunks[-1]
        found = {one.channel for one in self.messages_of(chunk)}
        if not found <= chunk.message_index_offsets.keys():
            self.chunks.pop()

    def _chunk_at(self, first: int, last: int) -> container.ChunkIndex:
        start_ns, end_ns, size, _ = CHUNK.unpack_from(self._data, first)
        name, at = _text(self._data, first + CHUNK.size)
        return container.ChunkIndex(
            chunk_length=last - first + RECORD.size,
            chunk_start_offset=first - RECORD.size,
            compression=name,
            compressed_size=last - at - 8,
            message_end_time=end_ns,
            message_index_length=0,
            message_index_offsets={},
            message_start_time=start_ns,
            uncompressed_size=size,
        )

    def _inside(self, chunk: container.ChunkIndex) -> memoryview:
        """The records of a chunk, checked.

        Raises:
            ValueError: it is damaged.
        """
        start = chunk.chunk_start_offset
        found = next(records_in(self._data, start, self.size), None)
        if found is None or found[0] != Op.CHUNK or found[2] - found[1] < CHUNK.size + 12:
            raise ValueError(f"no chunk at byte {start}")
        _, _, size, crc = CHUNK.unpack_from(self._data, found[1])
        name, at = _text(self._data, found[1] + CHUNK.size)
        raw = decompressed(name, self._data[at + 8 : found[2]], size)
        if crc and zlib.crc32(raw) != crc:
            raise ValueError(f"the checksum of the chunk at byte {start} is wrong")
        return raw

    def _all(self, kind: Any, places: list[tuple[int, int]]) -> list[Any]:
        try:
            return [read_record(kind, self._data[start:end]) for start, end in places]
        except ValueError as exc:
            raise self._damaged(exc) from exc

    def _message(self, data: memoryview, start: int, end: int) -> Data:
        if end - start < MESSAGE_FIELDS:
            raise self._damaged(ValueError("a message without a head"))
        _, _, channel, sequence, log_ns, publish_ns = MESSAGE.unpack_from(data, start - RECORD.size)
        return Data(channel, sequence, log_ns, publish_ns, data[start + MESSAGE_FIELDS : end])

    def _damaged(self, why: Exception) -> DoraError:
        return DoraError(f"`{self.path}` is damaged: {why}")


def _swapped(raw: memoryview) -> array[int]:
    numbers = array("Q", bytes(raw))
    numbers.byteswap()
    return numbers


def _text(data: memoryview, at: int) -> tuple[str, int]:
    """A text behind its length, and where it ends."""
    length = int.from_bytes(data[at : at + 4], "little")
    return bytes(data[at + 4 : at + 4 + length]).decode(), at + 4 + length

"""One MCAP file while it is written: what stands in front, chunks, and the summary at its end.

After each chunk the file is whole up to there, whatever becomes of this process. When the disk is
full, what was written in part is cut off again; so many chunks make room for the summary as it
takes, and are counted as lost.

Elsewhere: which messages come into a chunk (`recording.writer`), bytes (`recording.container`).
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from dora.errors import DoraError
from dora.recording import container
from dora.recording.compression import compressor
from dora.recording.container import MAGIC, Op, record_bytes
from dora.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dora.recording.container import Chunk

_MOST_PIECES = 512
"""Of one `writev`; the kernel takes 1024."""
_FOOTER_HEAD = struct.Struct("<BQQQ")
LIBRARY = f"dora {VERSION}"


class RecordingFullError(DoraError):
    """A recording cannot grow: the disk is full, or gone."""


class _Written(NamedTuple):
    """A chunk that is in the file."""

    place: container.ChunkIndex
    messages: dict[int, int]
    sizes: dict[int, int]


def is_being_written(path: Path) -> bool:
    """Whether a recorder that lives writes into this file, as far as its file system tells."""
    with suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Part:
    """Writes one file, which must not be there; `close()` completes it.

    Args:
        path: Where.
        compression: One of `COMPRESSIONS`.
        metadata: What its `dora` record says.
        attachments: Name and media type, and the bytes, of each.

    Raises:
        DoraError: it cannot be made, or is there already.
    """

    def __init__(
        self,
        path: Path,
        compression: str,
        metadata: dict[str, str],
        attachments: dict[tuple[str, str], bytes],
    ) -> None:
        self.path = path
        self.counts: dict[int, int] = {}
        """Messages written, by channel."""
        self.sizes: dict[int, int] = {}
        """Bytes of their data, by channel."""
        self.lost: dict[int, int] = {}
        """Messages that were taken in and are not in the file, by channel."""
        self.end = 0
        """Bytes that are whole."""
        self._compression = "" if compression == "none" else compression
        self._compress = compressor(compression)
        self._schemas: list[container.Schema] = []
        self._channels: list[container.Channel] = []
        self._chunks: list[_Written] = []
        self._attached: list[container.AttachmentIndex] = []
        self._described: list[container.MetadataIndex] = []
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError as exc:
            raise DoraError(f"`{path}` cannot be written: {exc.strerror}") from exc
        with suppress(OSError):  # a file system without locks
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        header = record_bytes(container.Header(profile="", library=LIBRARY))
        try:
            self._write([MAGIC, header])
            record, index = self._metadata("dora", metadata, self.end)
            self._write([record])
            self._described.append(index)
            for (name, media_type), data in attachments.items():
                self._attach(name, media_type, data)
        except BaseException:
            os.close(self._fd)
            path.unlink(missing_ok=True)
            raise

    def add_schema(self, name: str, encoding: str, data: bytes) -> int:
        """Write a schema; its id."""
        number = len(self._schemas) + 1
        schema = container.Schema(id=number, data=data, encoding=encoding, name=name)
        self._schemas.append(schema)
        self._write([record_bytes(schema)])
        return number

    def add_channel(self, topic: str, encoding: str, schema: int, metadata: dict[str, str]) -> int:
        """Write a channel; its id."""
        number = len(self._channels) + 1
        channel = container.Channel(
            id=number,
            topic=topic,
            message_encoding=encoding,
            metadata=metadata,
            schema_id=schema,
        )
        self._channels.append(channel)
        self._write([record_bytes(channel)])
        return number

    def add_chunk(self, chunk: Chunk) -> None:
        """Write a chunk.

        Raises:
            RecordingFullError: it does not fit; its messages are counted as lost.
        """
        pieces, index = chunk.pieces(self._compression, self._compress, self.end)
        try:
            self._write(pieces)
        except RecordingFullError:
            _add(self.lost, chunk.counts)
            raise
        self._chunks.append(_Written(index, chunk.counts, chunk.sizes))
        _add(self.counts, chunk.counts)
        _add(self.sizes, chunk.sizes)

    def close(self, metadata: Callable[[], dict[str, str]]) -> None:
        """Complete the file; twice is fine.

        Args:
            metadata: Gives what its `dora.totals` record says of this file as it is then.

        Raises:
            RecordingFullError: not even an empty file fits.
        """
        if self._fd < 0:
            return
        try:
            while True:
                try:
                    self._write([self._tail(metadata())])
                    return
                except RecordingFullError:
                    if not self._chunks:
                        raise
                    self._drop_chunk()
        finally:
            os.close(self._fd)
            self._fd = -1

    def _drop_chunk(self) -> None:
        """Take the last chunk out again, so that the summary has room."""
        place, counts, sizes = self._chunks.pop()
        self.end = place.chunk_start_offset
        os.ftruncate(self._fd, self.end)
        os.lseek(self._fd, self.end, os.SEEK_SET)
        _add(self.lost, counts)
        for total, less in ((self.counts, counts), (self.sizes, sizes)):
            for channel, count in less.items():
                total[channel] -= count

    @staticmethod
    def _metadata(
        name: str, metadata: dict[str, str], offset: int
    ) -> tuple[bytes, container.MetadataIndex]:
        record = record_bytes(container.Metadata(name=name, metadata=metadata))
        return record, container.MetadataIndex(offset=offset, length=len(record), name=name)

    def _attach(self, name: str, media_type: str, data: bytes) -> None:
        now, offset = time.time_ns(), self.end
        record = record_bytes(
            container.Attachment(
                create_time=now, log_time=now, name=name, media_type=media_type, data=data
            )
        )
        self._write([record])
        index = container.AttachmentIndex(
            offset=offset,
            length=len(record),
            create_time=now,
            log_time=now,
            data_size=len(data),
            name=name,
            media_type=media_type,
        )
        self._attached.append(index)

    def _tail(self, metadata: dict[str, str]) -> bytes:
        """All that stands behind the last chunk."""
        front, index = self._metadata("dora.totals", metadata, self.end)
        described = [*self._described, index]
        front += record_bytes(container.DataEnd(data_section_crc=0))
        start = self.end + len(front)
        groups = (
            (Op.SCHEMA, self._schemas),
            (Op.CHANNEL, self._channels),
            (Op.STATISTICS, [self._statistics(len(described))]),
            (Op.CHUNK_INDEX, [chunk.place for chunk in self._chunks]),
            (Op.ATTACHMENT_INDEX, self._attached),
            (Op.METADATA_INDEX, described),
        )
        summary, offsets = b"", []
        for opcode, records in groups:
            raw = record_bytes(*records)
            if raw:
                place = start + len(summary)
                offsets.append(
                    container.SummaryOffset(
                        group_opcode=opcode, group_start=place, group_length=len(raw)
                    )
                )
                summary += raw
        offset_start = start + len(summary)
        summary += record_bytes(*offsets)
        head = _FOOTER_HEAD.pack(Op.FOOTER, 20, start, offset_start)
        crc = zlib.crc32(head, zlib.crc32(summary))
        return front + summary + head + struct.pack("<I", crc) + MAGIC

    def _statistics(self, described: int) -> container.Statistics:
        chunks = [chunk.place for chunk in self._chunks]
        return container.Statistics(
            attachment_count=len(self._attached),
            channel_count=len(self._channels),
            channel_message_counts=dict(self.counts),
            chunk_count=len(chunks),
            message_count=sum(self.counts.values()),
            message_end_time=max((index.message_end_time for index in chunks), default=0),
            message_start_time=min((index.message_start_time for index in chunks), default=0),
            metadata_count=described,
            schema_count=len(self._schemas),
        )

    def _write(self, pieces: list[bytes | memoryview]) -> None:
        """Write all of it, or nothing.

        Raises:
            RecordingFullError: it does not fit.
        """
        waiting = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
        size = sum(piece.nbytes for piece in waiting)
        at = 0
        try:
            while at < len(waiting):
                written = os.writev(self._fd, waiting[at : at + _MOST_PIECES])
                while at < len(waiting) and written >= waiting[at].nbytes:
                    written -= waiting[at].nbytes
                    at += 1
                if written:
                    waiting[at] = waiting[at][written:]
        except OSError as exc:
            os.ftruncate(self._fd, self.end)
            os.lseek(self._fd, self.end, os.SEEK_SET)
            raise RecordingFullError(f"`{self.path}` cannot grow: {exc.strerror}") from exc
        self.end += size


def _add(total: dict[int, int], more: dict[int, int]) -> None:
    for channel, count in more.items():
        total[channel] = total.get(channel, 0) + count

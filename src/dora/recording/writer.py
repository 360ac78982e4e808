"""Writes a recording: messages into channels and chunks, one file or several.

A chunk is written when it has a few megabytes or its oldest message is a second old, so that no
more than that is lost with this process. Not thread-safe. Elsewhere: who calls it
(`recording.recorder`), one file (`recording.part`), what a message becomes (`recording.format`).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dora.errors import DoraError
from dora.recording import format
from dora.recording.container import Chunk
from dora.recording.part import Part, RecordingFullError, is_being_written
from dora.version import VERSION

if TYPE_CHECKING:
    from typing import Self

    from dora.recording.message import RecordedMessage

FORMAT_VERSION = "1"
CHUNK_BYTES = 4 << 20
FLUSH_S = 1.0
"""So long a message waits at most for its chunk to be written."""

YAML, JSON = ("dataflow.yml", "application/yaml"), ("dataflow.json", "application/json")
"""Name and media type of what is attached."""


class About(msgspec.Struct, frozen=True):
    """What a file says of the dataflow that it records."""

    dataflow_id: str = ""
    name: str = ""
    started_ns: int = 0
    """When the dataflow was started."""
    file: str = ""
    """The dataflow file."""
    text: bytes = b""
    """What stood in it."""
    descriptor: bytes = b""
    """The same as JSON: read, and flat."""


class RecordingWriter:
    """Writes messages to `path`; `close()` completes the file.

    Args:
        path: The file. When it is split, `name.mcap` becomes `name_000.mcap`, `name_001.mcap`, ...
        about: The dataflow.
        compression: `none`, `lz4` or `zstd`.
        split_bytes: A file that has so many bytes is followed by another one.
        split_s: Likewise one that is so many seconds old.
        force: Files that are there are replaced.

    Raises:
        DoraError: the file is there already, or cannot be made.
    """

    def __init__(
        self,
        path: Path | str,
        about: About | None = None,
        compression: str = "none",
        *,
        split_bytes: int | None = None,
        split_s: float | None = None,
        force: bool = False,
    ) -> None:
        self.size = 0
        """Bytes of all payloads that were taken in."""
        self.paths: list[Path] = []
        self._path = Path(path)
        self._about = about or About()
        self._compression = compression
        self._split_bytes, self._split_s, self._force = split_bytes, split_s, force
        self._newest_ns = 0
        self._late_ns = 0
        """How much older than one before it a message was, at most."""
        self._seen: set[str] = set()
        self._lost: dict[str, int] = {}
        self._closed_bytes = self._closed_messages = 0
        self._recording = f"{time.time_ns():x}"
        self._full = self._closed = False
        self._chunk = Chunk()
        self._open()

    @property
    def written(self) -> int:
        """Bytes of all files so far."""
        return self._closed_bytes + self._part.end

    @property
    def messages(self) -> int:
        """How many were taken in and not lost."""
        now = 0 if self._closed else sum(self._part.counts.values())
        return self._closed_messages + now + sum(self._chunk.counts.values())

    @property
    def topics(self) -> set[str]:
        """Of all messages so far."""
        return set(self._seen)

    @property
    def lost(self) -> dict[str, int]:
        """Messages that are in no file, by topic."""
        lost = dict(self._lost)
        for channel, count in self._part.lost.items():
            topic = self._topics[channel]
            lost[topic] = lost.get(topic, 0) + count
        return lost

    def add(self, message: RecordedMessage, declared: str = "") -> None:
        """Take in a message; its payload must stay as it is until the chunk is written.

        Args:
            message: The message.
            declared: The type that the dataflow file has for its output, with its full name.

        Raises:
            RecordingFullError: the disk is full. The message, and those of its chunk, are lost.
            DoraError: the next file cannot be made. The message is lost, and all that follow.
        """
        if self._full:
            self.lose(message.topic)
            return
        schema, encoding, parts = format.entry_of(message, declared)
        try:
            if self._closed:
                self._open()
            channel = self._channels.get((message.topic, schema))
            if channel is None:
                channel = self._add_channel(message, schema, encoding)
        except DoraError:
            self._full = True
            self.lose(message.topic)
            raise
        chunk = self._chunk
        if not chunk.counts:
            self._chunk_due_s = time.monotonic() + FLUSH_S
        chunk.add(channel, message.sequence, message.recorded_ns, message.sent_ns, parts)
        self.size += message.view.nbytes
        if message.sent_ns > self._newest_ns:
            self._newest_ns = message.sent_ns
        else:
            self._late_ns = max(self._late_ns, self._newest_ns - message.sent_ns)
        if chunk.size >= CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            RecordingFullError: the disk is full.
        """
        if self._chunk.counts:
            chunk, self._chunk = self._chunk, Chunk()
            try:
                self._part.add_chunk(chunk)
            except RecordingFullError:
                self._full = True
                raise
        if self._is_long():
            self._close_part()  # the next message opens another

    @property
    def due_s(self) -> float | None:
        """How long until `flush` is to be called; None when nothing waits."""
        if not self._chunk.counts:
            return None
        return max(0.0, self._chunk_due_s - time.monotonic())

    def lose(self, topic: str, count: int = 1) -> None:
        """Note messages that were not taken in."""
        self._lost[topic] = self._lost.get(topic, 0) + count

    def close(self) -> None:
        """Write what waits, and complete the file; twice is fine.

        Raises:
            RecordingFullError: what waited did not fit; the file is complete without it.
        """
        if self._closed:
            return
        try:
            if self._chunk.counts:
                chunk, self._chunk = self._chunk, Chunk()
                self._part.add_chunk(chunk)
        finally:
            self._close_part()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # ---- files ----

    def _open(self) -> None:
        self._number = number = len(self.paths)
        split = self._split_bytes is not None or self._split_s is not None
        path = self._path
        if split:
            path = path.with_name(f"{path.stem}_{number:03}{path.suffix}")
        if path.exists():
            if not self._force:
                raise DoraError(
                    f"`{path}` is there already; name another file, or replace it: --force"
                )
            if path.is_file():
                if is_being_written(path):
                    raise DoraError(f"`{path}` is being written by another recorder; name another")
                path.unlink()
        about = self._about
        texts = {YAML: about.text, JSON: about.descriptor}
        attached = {named: text for named, text in texts.items() if text}
        self._part = Part(path, self._compression, self._facts(), attached)
        self.paths.append(path)
        self._opened_s = time.monotonic()
        self._chunk = Chunk()
        self._chunk_due_s = 0.0
        self._closed = False
        self._schemas: dict[str, int] = {}
        self._channels: dict[tuple[str, str], int] = {}
        self._topics: dict[int, str] = {}

    def _close_part(self) -> None:
        part = self._part
        try:
            part.close(self._totals)
        finally:
            self._closed = True
            self._lost, part.lost = self.lost, {}
            self._closed_bytes, part.end = self._closed_bytes + part.end, 0
            self._closed_messages += sum(part.counts.values())

    def _totals(self) -> dict[str, str]:
        return {
            "lost": _json(self.lost),
            "late_ns": str(self._late_ns),
            "sizes": _json({str(channel): size for channel, size in self._part.sizes.items()}),
        }

    def _is_long(self) -> bool:
        if self._split_bytes is not None and self._part.end >= self._split_bytes:
            return True
        return self._split_s is not None and time.monotonic() - self._opened_s >= self._split_s

    def _add_channel(self, message: RecordedMessage, schema: str, encoding: str) -> int:
        number = self._schemas.get(schema)
        if number is None:
            number = self._part.add_schema(schema, encoding, format.schema_data(schema))
            self._schemas[schema] = number
        facts = {format.TYPE_KEY: message.type_text}
        channel = self._part.add_channel(message.topic, encoding, number, facts)
        self._channels[message.topic, schema] = channel
        self._topics[channel] = message.topic
        self._seen.add(message.topic)
        return channel

    def _facts(self) -> dict[str, str]:
        about = self._about
        return {
            "format": FORMAT_VERSION,
            "version": VERSION,
            "dataflow_id": about.dataflow_id,
            "name": about.name,
            "file": about.file,
            "started_ns": str(about.started_ns),
            "recording": self._recording,
            "part": str(self._number),
        }


def _json(values: dict[str, int]) -> str:
    return json.dumps(values, sort_keys=True)

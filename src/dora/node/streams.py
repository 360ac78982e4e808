"""Streams: chunks of speech, video or text in segments that can be interrupted (dora-rs's keys).

A message of a stream has `session_id`, `segment_id` (counts up in a session), `seq` (counts up in a
segment), `fin` (the segment's last) and `flush` (what still waits on the input is to be discarded).
The writer sets them; the reader puts chunks into segments and notices what is missing.

`Placing` decides, and is pure. Elsewhere: the discarding itself (`transport.edge`), reading some
inputs apart (`node.selection`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from dora.errors import InputError
from dora.node import services
from dora.node.uuid7 import uuid7

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from dora.node.core import Core
    from dora.node.event_types import Event, InputEvent
    from dora.node.host import Host


class StreamWriter:
    """Sends chunks on one output. Used with `with`, it ends its last segment."""

    def __init__(self, node: Core, output_id: str, metadata: Mapping[str, Any] | None) -> None:
        self.session_id = uuid7()
        """Of all that this writer sends."""
        self._node = node
        self._output = output_id
        self._metadata = dict(metadata or {})
        self._segment = 0
        self._seq = 0

    @property
    def segment_id(self) -> int:
        """The segment that the next chunk belongs to, from 0."""
        return self._segment

    def send(
        self,
        data: Any,
        metadata: Mapping[str, Any] | None = None,
        *,
        fin: bool = False,
        flush: bool = False,
    ) -> None:
        """Send a chunk.

        Args:
            data: As for `send_output`.
            metadata: Beside the keys of the stream.
            fin: It is the last of its segment; the next begins another.
            flush: Begin a new segment, and discard all chunks that a reader has not read yet.
        """
        if flush and self._seq:
            self._begin()
        keys = {
            "session_id": self.session_id,
            "segment_id": self._segment,
            "seq": self._seq,
            "fin": fin,
            "flush": flush,
        }
        self._node.send_output(self._output, data, {**self._metadata, **(metadata or {}), **keys})
        self._seq += 1
        if fin:
            self._begin()

    def flush(self) -> None:
        """Interrupt: discard what a reader has not read yet; what follows is a new segment."""
        self.send([], flush=True)

    def end_segment(self) -> None:
        """End the segment, if it has a chunk, with an empty one that says so."""
        if self._seq:
            self.send([], fin=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.end_segment()

    def _begin(self) -> None:
        self._segment += 1
        self._seq = 0


class Place(NamedTuple):
    """Where a chunk stands."""

    missing: int
    """Chunks of this segment that should have come before it, and did not."""
    repeated: bool
    """It, or a later one, was there already."""


class Placing:
    """Follows the numbers of one stream of one input."""

    def __init__(self) -> None:
        self._at: tuple[str, int] | None = None
        self._next = 0

    def place(self, session_id: str, segment_id: int, seq: int) -> Place:
        """Take the next chunk's numbers in."""
        here = (session_id, segment_id)
        expected = self._next if here == self._at else 0
        repeated = seq < expected
        if not repeated:
            self._at, self._next = here, seq + 1
        return Place(max(0, seq - expected), repeated)


class Chunk(NamedTuple):
    """One chunk of a stream."""

    value: Any
    event: InputEvent
    session_id: str
    segment_id: int
    seq: int
    fin: bool
    """The last of its segment."""
    flush: bool
    """What was sent before it and not yet read was discarded: stop playing it."""
    missing: int
    """Chunks of its segment that should have come before it, and were dropped."""


class Segment(NamedTuple):
    """Consecutive chunks that belong together."""

    session_id: str
    segment_id: int
    chunks: list[Chunk]
    """Those that hold data."""
    missing: int
    """How many chunks were lost in between."""
    complete: bool
    """It begins at its first chunk, ends with its last, and none is missing."""

    @property
    def values(self) -> list[Any]:
        """The chunks' values."""
        return [chunk.value for chunk in self.chunks]


class StreamReader:
    """Reads one input as a stream; see `Node.stream_reader`."""

    def __init__(self, host: Host, input_id: str, others: Callable[[Event], object] | None) -> None:
        self._host = host
        self._inputs = services.check_inputs(host, [input_id])
        self._others = others
        self._placing = Placing()
        self.missing = 0
        """Chunks that were lost so far."""

    def __iter__(self) -> Iterator[Chunk]:
        """The chunks as they come, until nothing more does; of empty ones only those that flush.

        Raises:
            InputError: a message is no chunk of a stream.
        """
        for chunk in self._chunks():
            if chunk.flush or len(chunk.value):
                yield chunk

    def segments(self) -> Iterator[Segment]:
        """Whole segments: each when its last chunk is there, or when it was cut off."""
        now: list[Chunk] = []
        for chunk in self._chunks():
            if now and _segment_of(now[-1]) != _segment_of(chunk):
                if not chunk.flush:
                    yield _gather(now)
                now = []
            now.append(chunk)
            if chunk.fin:
                yield _gather(now)
                now = []
        if now:
            yield _gather(now)

    def _chunks(self) -> Iterator[Chunk]:
        for event in services.read_inputs(self._host, self._inputs, self._others):
            metadata = event["metadata"]
            session_id, segment_id = metadata.get("session_id"), metadata.get("segment_id")
            seq = metadata.get("seq")
            if not (
                isinstance(session_id, str) and isinstance(segment_id, int) and isinstance(seq, int)
            ):
                raise InputError(
                    f"input `{event['id']}` brought a message that is no chunk of a stream: its "
                    "metadata lacks `session_id`, `segment_id` or `seq`; send it with "
                    "`node.stream_writer`"
                )
            fin, flush = metadata.get("fin") is True, metadata.get("flush") is True
            place = self._placing.place(session_id, segment_id, seq)
            if place.repeated:
                continue
            self.missing += place.missing
            value = event["value"]
            yield Chunk(value, event, session_id, segment_id, seq, fin, flush, place.missing)


def _segment_of(chunk: Chunk) -> tuple[str, int]:
    return chunk.session_id, chunk.segment_id


def _gather(chunks: list[Chunk]) -> Segment:
    missing = sum(chunk.missing for chunk in chunks)
    session_id, segment_id = _segment_of(chunks[0])
    holding = [chunk for chunk in chunks if len(chunk.value)]
    return Segment(session_id, segment_id, holding, missing, chunks[-1].fin and not missing)

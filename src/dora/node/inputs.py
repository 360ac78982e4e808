"""An input: one ticket read, one INPUT event made.

Decodes tickets into values that lie where the sender put them, keeps the input's counters on the
board, heeds `deadline` and `watermark`, and turns the CLOSE ticket into INPUT_CLOSED.

Filled by the sender's `transport.sender`; waited for by `node.event_stream`.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from dora.node import events
from dora.wire import metadata as wire_metadata
from dora.wire.board import LATENCY_BUCKETS
from dora.wire.spans import CONTEXT
from dora.wire.ticket import CLOSE, DETACHED, HEAD, HEAD_BYTES, INLINE, SPILLED, spill_start
from dora.wire.values import as_arrow, reader_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.node.event_types import Event
    from dora.node.timers import Alarm
    from dora.transport.arena import ArenaView
    from dora.transport.receiving_edge import ReceivingEdge

_NUMBER = (int, float)
_VARIABLE = "DORA_DROP_LATE"
_RECEIVED, _BYTES, _LAST, _LATENCY = range(4)
_LATE, _LATE_DROPPED, _OVERTAKEN = range(_LATENCY + LATENCY_BUCKETS, _LATENCY + LATENCY_BUCKETS + 3)


def dropped_when_late() -> frozenset[str] | None:
    """Which inputs drop late messages, by `DORA_DROP_LATE`: None for none, empty for all."""
    text = os.environ.get(_VARIABLE, "").strip()
    if text.lower() in ("", "0", "false"):
        return None
    if text.lower() in ("1", "true"):
        return frozenset()
    return frozenset(name.strip() for name in text.split(","))


def utc_from_ns(time_ns: int) -> datetime:
    """Nanoseconds since the epoch as a datetime in UTC, to the microsecond."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC)


class Undecoded(NamedTuple):
    """A message as it travelled."""

    header: bytes
    """Type header, see `wire.payload`."""
    metadata: bytes
    payload: Any
    """Bytes, or an Arrow buffer that holds its slot."""
    sequence: int
    """Running number of the message on its output."""
    sent_ns: int
    arena: int
    """Whose memory it lies in: another one for each process of a node."""


class InputPort:
    """An input that reads from another node. Owns its edge; `close()` twice is fine.

    Args:
        input_id: The input's name.
        edge: The receiver's side of its edge.
        find_arena: Gives a sender's memory by its arena id.
        counters: The input's words of the board.
        alarm: The clock of its `input_timeout`, if it has one.
        drops_late: Messages that are past their `deadline` are counted and not handed out.
        as_arrow: NumPy arrays are handed out as flat Arrow arrays.
        queue_size: Of an input that drops its oldest; None if it drops none.
    """

    def __init__(
        self,
        input_id: str,
        edge: ReceivingEdge,
        find_arena: Callable[[int], ArenaView],
        counters: memoryview,
        alarm: Alarm | None = None,
        *,
        drops_late: bool = False,
        as_arrow: bool = False,
        queue_size: int | None = None,
    ) -> None:
        self.id = input_id
        self.served = 0
        self.closed = False
        """Whether nothing more will be read: the sender said so, or this was closed."""
        self.detached = False
        """Whether it was closed because its edge was taken away."""
        self.ended_ns = 0
        """When its edge ended, CLOCK_MONOTONIC; 0 if nobody said."""
        self.alarm = alarm
        self.watermark: int | float | None = None
        """The greatest that a message brought."""
        self.arena = 0
        """Whose memory the last message named; earlier numbers come no more."""
        self.taking = False
        """Whether a ticket may have been read whose memory was not looked for yet."""
        self.traced: Callable[[InputPort, dict[str, Any], int], None] | None = None
        """Called for a message of a trace, with its metadata and when it was sent."""
        self._drops_late = drops_late
        self._as_arrow = as_arrow
        self.queue_size = queue_size
        self.fd = edge.fd
        self._edge = edge
        self._find_arena = find_arena
        self._counters = counters

    @property
    def fds(self) -> list[int]:
        """What is to be watched: its tickets, and its clock."""
        return [self.fd] if self.alarm is None else [self.fd, self.alarm.fd]

    def take(self) -> Event | None:
        """The next event of this input; None when no ticket waits."""
        while not self.closed:
            self.taking = True
            record = self._edge.try_receive()
            event = None if record is None else self._read(record)
            self.taking = False
            if record is None or event is not None:
                return event
        return None

    def take_undecoded(self, most: int) -> list[Undecoded]:
        """The messages that wait, at most so many, as they travelled; nothing of them is noted."""
        found: list[Undecoded] = []
        if self.closed:
            return found
        self.taking = True
        records = self._edge.try_receive_many(most)
        self.closed = records == [b""]
        for record in records:
            if self.closed:
                break
            head = HEAD.unpack_from(record)
            if head[0] == CLOSE:
                self.closed = True
                self.detached = bool(head[1] & DETACHED)
            else:
                self.arena = head[6]
                found.append(Undecoded(*self._contents(record, head), head[4], head[5], head[6]))
        self.taking = False
        return found

    def _read(self, record: bytes) -> Event | None:
        """The event of a ticket; None when it is too late to be handed out."""
        if not record:  # nobody is left who could write: sender and daemon are gone
            self.closed = True
            return events.input_closed(self.id)
        head = HEAD.unpack_from(record)
        kind, flags, _, _, _, sent_ns, self.arena, _, size = head
        if kind == CLOSE:
            self.closed = True
            self.detached, self.ended_ns = bool(flags & DETACHED), sent_ns
            return events.input_closed(self.id)
        self._count(size, sent_ns)
        header, user, buffer = self._contents(record, head)
        try:
            read, type_info = reader_of(header)
            value = as_arrow(read(buffer)) if self._as_arrow else read(buffer)
        except Exception as exc:
            return events.error(
                f"input `{self.id}` got a value that this process cannot read: "
                f"{type(exc).__name__}: {exc}"
            )
        if user:
            metadata = wire_metadata.decode(user)
            if not wire_metadata.HEEDED.isdisjoint(metadata) and self._heed(metadata, sent_ns):
                return None
        else:
            metadata = {}
        metadata["timestamp"] = utc_from_ns(sent_ns)
        metadata["type_info"] = type_info
        if self.alarm is not None:
            self.alarm.put_off()
        return {
            "kind": "dora",
            "id": self.id,
            "metadata": metadata,
            "type": "INPUT",
            "value": value,
        }

    def _contents(self, record: bytes, head: tuple[int, ...]) -> tuple[bytes, bytes, Any]:
        """Type header, encoded metadata and payload of a ticket's message."""
        _, flags, header_bytes, metadata_bytes, _, _, _, _, size = head
        middle = HEAD_BYTES + header_bytes
        end = middle + metadata_bytes
        header = record[HEAD_BYTES:middle]
        user = record[middle:end] if metadata_bytes else b""
        if flags & INLINE:
            start = (end + 15) & ~15
            return header, user, record[start : start + size]
        if flags & SPILLED:
            header, user = self._spilled(head)
        return header, user, self._in_slot(head) if size else b""

    def _heed(self, metadata: dict[str, Any], sent_ns: int) -> bool:
        """Note what the metadata says of a message; whether it is not to be handed out."""
        mark = metadata.get("watermark")
        if isinstance(mark, _NUMBER) and (self.watermark is None or mark > self.watermark):
            self.watermark = mark
        if self._is_too_late(metadata, sent_ns):
            return True
        if (traced := self.traced) is not None and CONTEXT in metadata:
            traced(self, metadata, sent_ns)
        return False

    def _is_too_late(self, metadata: dict[str, Any], sent_ns: int) -> bool:
        """Note a message that is past its deadline; whether it is not to be handed out."""
        deadline_ms = metadata.get("deadline")
        if not isinstance(deadline_ms, _NUMBER):
            return False
        late_ms = (time.time_ns() - sent_ns) / 1e6 - deadline_ms
        if late_ms <= 0:
            return False
        metadata["late"], metadata["late_ms"] = True, late_ms
        self._counters[_LATE] += 1
        if not self._drops_late or wire_metadata.is_correlated(metadata):
            return False
        self._counters[_LATE_DROPPED] += 1
        return True

    def count_overtaken(self) -> None:
        """Note a message that was read, put aside, and dropped because newer ones came."""
        self._counters[_OVERTAKEN] += 1

    def _count(self, size: int, sent_ns: int) -> None:
        """Note a message on the board."""
        counters = self._counters
        counters[_RECEIVED] += 1
        counters[_BYTES] += size
        counters[_LAST] = now = time.time_ns()
        bucket = (now - sent_ns).bit_length()
        counters[_LATENCY + (bucket if bucket < LATENCY_BUCKETS else LATENCY_BUCKETS - 1)] += 1

    def _in_slot(self, head: tuple[int, ...]) -> Any:
        """The payload where it lies, as a buffer that holds the slot until it is collected."""
        arena, offset, size = head[6:]
        view = self._find_arena(arena)
        return view.buffer(offset, size, self._edge.lease(arena, offset, view))

    def _spilled(self, head: tuple[int, ...]) -> tuple[bytes, bytes]:
        """Type header and metadata of a message whose ticket had no room for them."""
        header_bytes, metadata_bytes = head[2:4]
        arena, offset, size = head[6:]
        view = self._find_arena(arena)
        both = view.read(offset + spill_start(size), header_bytes + metadata_bytes)
        if not size:
            self._edge.lease(arena, offset, view)  # nothing will refer to the slot: give it back
        return both[:header_bytes], both[header_bytes:]

    @property
    def waiting(self) -> int:
        """How many messages wait now."""
        return 0 if self.closed else self._edge.waiting

    def close(self) -> None:
        """Read nothing more; values already handed out stay valid."""
        self.closed = True
        self._edge.close()
        if self.alarm is not None:
            self.alarm.close()

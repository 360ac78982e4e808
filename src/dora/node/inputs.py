"""An input: one ticket read, one INPUT event made.

Decodes tickets into values that lie where the sender put them, keeps the input's counters on the
board, and turns the CLOSE ticket into INPUT_CLOSED.

Filled by the sender's `transport.sender`; waited for by `node.event_stream`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dora.node import events
from dora.wire import metadata as wire_metadata
from dora.wire.board import LATENCY_BUCKETS
from dora.wire.ticket import CLOSE, HEAD, HEAD_BYTES, INLINE, SPILLED, spill_start
from dora.wire.values import reader_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.node.event_types import Event
    from dora.node.timers import Alarm
    from dora.transport.arena import ArenaView
    from dora.transport.edge import ReceivingEdge

_RECEIVED, _BYTES, _LAST, _LATENCY = 0, 1, 2, 3


def utc_from_ns(time_ns: int) -> datetime:
    """Nanoseconds since the epoch as a datetime in UTC, to the microsecond."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC)


class InputPort:
    """An input that reads from another node. Owns its edge; `close()` twice is fine.

    Args:
        input_id: The input's name.
        edge: The receiver's side of its edge.
        find_arena: Gives a sender's memory by its arena id.
        counters: The input's words of the board.
        alarm: The clock of its `input_timeout`, if it has one.
    """

    def __init__(
        self,
        input_id: str,
        edge: ReceivingEdge,
        find_arena: Callable[[int], ArenaView],
        counters: memoryview,
        alarm: Alarm | None = None,
    ) -> None:
        self.id = input_id
        self.served = 0
        self.closed = False
        """Whether the sender will send nothing more."""
        self.alarm = alarm
        self.fd = edge.fd
        self._edge = edge
        self._find_arena = find_arena
        self._counters = counters

    def take(self) -> Event | None:
        """The next event of this input; None when no ticket waits."""
        record = self._edge.try_receive()
        if record is None:
            return None
        if not record:  # nobody is left who could write: sender and daemon are gone
            self.closed = True
            return events.input_closed(self.id)
        head = HEAD.unpack_from(record)
        kind, flags, header_bytes, metadata_bytes, _, sent_ns, _, _, size = head
        if kind == CLOSE:
            self.closed = True
            return events.input_closed(self.id)
        self._count(size, sent_ns)
        middle = HEAD_BYTES + header_bytes
        end = middle + metadata_bytes
        header = record[HEAD_BYTES:middle]
        user = record[middle:end] if metadata_bytes else b""
        if flags & INLINE:
            start = (end + 15) & ~15
            buffer: Any = record[start : start + size]
        else:
            if flags & SPILLED:
                header, user = self._spilled(head)
            buffer = self._in_slot(head) if size else b""
        try:
            read, type_info = reader_of(header)
            value = read(buffer)
        except Exception as exc:
            return events.error(
                f"input `{self.id}` got a value that this process cannot read: "
                f"{type(exc).__name__}: {exc}"
            )
        metadata = wire_metadata.decode(user) if user else {}
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
    def waits(self) -> bool:
        """Whether a message waits now."""
        return self._edge.waits

    def close(self) -> None:
        """Read nothing more; values already handed out stay valid."""
        self._edge.close()
        if self.alarm is not None:
            self.alarm.close()

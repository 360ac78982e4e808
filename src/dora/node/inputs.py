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
from dora.wire.payload import reader_of
from dora.wire.ticket import CLOSE, HEAD, INLINE, SPILLED, spill_start

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.node.timers import Alarm
    from dora.transport.arena import ArenaView
    from dora.transport.edge import ReceivingEdge

_HEAD_BYTES = HEAD.size
_RECEIVED, _BYTES, _LATE, _LATENCY = 0, 1, 2, 3


def utc_from_ns(time_ns: int) -> datetime:
    """Nanoseconds since the epoch as a datetime in UTC."""
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
        self.alarm = alarm
        self.silent = False
        """Whether the input timed out and nothing came since."""
        self.fd = edge.fd
        self._edge = edge
        self._find_arena = find_arena
        self._counters = counters

    def take(self) -> events.Event | None:
        """The next event of this input; None when no ticket waits."""
        record = self._edge.try_receive()
        if record is None:
            return None
        head = HEAD.unpack_from(record)
        if head[0] == CLOSE or not record:
            return events.input_closed(self.id)
        _, flags, header_bytes, metadata_bytes, _, sent_ns, _, _, size = head
        if flags & INLINE:
            middle = _HEAD_BYTES + header_bytes
            end = middle + metadata_bytes
            header = record[_HEAD_BYTES:middle]
            user = record[middle:end]
            start = (end + 15) & ~15
            buffer: Any = record[start : start + size]
        else:
            header, user, buffer = self._from_slot(record, head)
        try:
            read, type_info = reader_of(header)
            value = read(buffer)
        except Exception as exc:
            return events.error(
                f"input `{self.id}` got a value that this process cannot read: "
                f"{type(exc).__name__}: {exc}"
            )
        now = time.time_ns()
        counters = self._counters
        counters[_RECEIVED] += 1
        counters[_BYTES] += size
        age_ns = now - sent_ns
        bucket = age_ns.bit_length() if age_ns > 0 else 0
        counters[_LATENCY + (bucket if bucket < LATENCY_BUCKETS else LATENCY_BUCKETS - 1)] += 1
        metadata = wire_metadata.decode(user) if user else {}
        metadata["timestamp"] = datetime.fromtimestamp(sent_ns / 1e9, UTC)
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

    def _from_slot(self, record: bytes, head: tuple[int, ...]) -> tuple[bytes, bytes, Any]:
        """Type header, metadata and payload of a message whose payload lies in a slot."""
        _, flags, header_bytes, metadata_bytes, _, _, arena, offset, size = head
        view = self._find_arena(arena)
        lease = self._edge.lease(arena, offset, view)
        if flags & SPILLED:
            prefix = view.read(offset + spill_start(size), header_bytes + metadata_bytes)
        else:
            prefix = record[_HEAD_BYTES : _HEAD_BYTES + header_bytes + metadata_bytes]
        buffer = view.buffer(offset, size, lease) if size else b""
        return prefix[:header_bytes], prefix[header_bytes:], buffer

    def close(self) -> None:
        """Read nothing more; values already handed out stay valid."""
        self._edge.close()
        if self.alarm is not None:
            self.alarm.close()

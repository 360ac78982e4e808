"""Recorded messages made of values, as a recorder would read them."""

from __future__ import annotations

from typing import Any

from dora.recording.message import RecordedMessage
from dora.wire import metadata as wire_metadata
from wire.trips import written

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND


def message(
    topic: str,
    value: Any,
    metadata: dict[str, Any] | None = None,
    *,
    sent_ns: int = START,
    delay_ns: int = 1000,
    sequence: int = 1,
) -> RecordedMessage:
    """What a recorder reads of a value that was sent."""
    header, payload = written(value)
    return RecordedMessage(
        topic,
        header,
        payload,
        wire_metadata.encode(metadata or {}),
        sent_ns,
        sent_ns + delay_ns,
        sequence,
    )


def same(one: RecordedMessage, other: RecordedMessage) -> bool:
    """Whether two messages are the same, byte for byte, with all clocks."""
    return fields(one) == fields(other)


def fields(one: RecordedMessage) -> tuple[Any, ...]:
    """All that a message is."""
    return (
        one.topic,
        bytes(one.header),
        bytes(one.view),
        bytes(one.metadata),
        one.sent_ns,
        one.recorded_ns,
        one.sequence,
    )

"""Messages that carry the proof of their own content; used on both sides of an edge."""

from __future__ import annotations

import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dora.wire import metadata as wire_metadata
from dora.wire.payload import encode

if TYPE_CHECKING:
    from dora.transport.sender import Sender

_SHIFTS = 4096


@cache
def _noise(size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(np.random.default_rng(7).bytes(size + _SHIFTS), np.uint8)


def payload(number: int, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The bytes of message `number`: other ones for its neighbours."""
    noise = _noise(1 << max(16, (size - 1).bit_length()))
    start = number * 7919 % _SHIFTS
    return noise[start : start + size]


def send(sender: Sender, number: int, size: int, **facts: Any) -> None:
    """Send message `number` on output `out`."""
    value = payload(number, size)
    facts |= {"number": number, "crc": zlib.crc32(value)}
    sender.send(
        "out",
        encode(value),
        wire_metadata.encode(facts),
        correlated=wire_metadata.is_correlated(facts),
    )


def send_loan(sender: Sender, base_address: int, number: int, size: int) -> None:
    """Send message `number` out of memory that was lent, as `Node.loan` does."""
    loan = sender.lend(size, base_address)
    array = np.asarray(loan)[:size]
    array[:] = payload(number, size)
    facts = {"number": number, "crc": zlib.crc32(array)}
    sender.send("out", encode(array), wire_metadata.encode(facts), loan=loan)
    loan.sent = True


def is_whole(event: Any) -> bool:
    """Whether a message arrived with the content it was sent with."""
    return zlib.crc32(event["value"]) == event["metadata"]["crc"]

"""Time-ordered identifiers by RFC 9562 (UUID version 7): 48 bits of milliseconds, then chance.

Within a millisecond the 12 bits behind the time count up, so that ids of one process sort in the
order in which they were made. From Python 3.14 on the standard library has them too.
"""

from __future__ import annotations

import os
import random
import threading
import time

_lock = threading.Lock()
_chance = os.urandom
_last = 0
"""Milliseconds and the counter, as one number of 60 bits."""


def uuid7() -> str:
    """A new identifier, as text in lower case."""
    global _last
    with _lock:
        # The counter starts low in each millisecond, so that there is room to count.
        _last = max(_last + 1, (time.time_ns() // 1_000_000) << 12)
        count = _last
    chance = int.from_bytes(_chance(8), "big") >> 2
    number = (count >> 12) << 80 | 0x7 << 76 | (count & 0xFFF) << 64 | 0b10 << 62 | chance
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def draw_alike(seed: str) -> None:
    """Make the same ids in each run of a simulation; `seed` tells its nodes apart."""
    global _chance
    _chance = random.Random(seed).randbytes

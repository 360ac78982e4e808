"""What to record and how, and how far a recording is. Obeyed and told by `recording.recorder`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # msgspec reads it

import msgspec

DEFAULT_BUFFER_BYTES = 1 << 30
DEFAULT_QUEUE = 500


class RecordOptions(msgspec.Struct, frozen=True):
    """What to record, and how."""

    path: Path
    topics: tuple[str, ...] = ()
    """Written `node/output`; empty: all."""
    compression: str = "zstd"
    split_bytes: int | None = None
    split_s: float | None = None
    buffer_bytes: int = DEFAULT_BUFFER_BYTES
    queue_size: int = DEFAULT_QUEUE
    """Messages of one output that wait to be taken."""
    lossy: bool = False
    """Never let a sender wait."""
    force: bool = False
    """Replace files that are there."""


class Figures(msgspec.Struct, frozen=True):
    """How far a recording is."""

    messages: int = 0
    bytes: int = 0
    """Of all payloads."""
    written: int = 0
    """Bytes of all files."""
    lost: int = 0
    waiting: int = 0
    """Bytes in the buffer."""

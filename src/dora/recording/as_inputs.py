"""A recording as the inputs of `run_dataflow`: real data in tests.

Used by `dora.testing`. Elsewhere: replays, which need no test (`recording.replay`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dora.recording.reader import Recording

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def recorded(
    path: str | Path, topics: Iterable[str] | None = None
) -> list[tuple[float, str, Any, dict[str, Any]]]:
    """What was recorded, as inputs: `(seconds, "node/output", value, metadata)`, in order.

    Args:
        path: A recording of `dora record` or `dora mcap import`.
        topics: Only these outputs, `node/output`; None: all.

    Returns:
        All of it; times count from the first message.

    Raises:
        DoraError: the file cannot be read, or has no such topic.
    """
    with Recording(path) as recording:
        messages = list(recording.messages(topics))
        begin_ns = messages[0].sent_ns if messages else 0
        return [
            ((one.sent_ns - begin_ns) / 1e9, one.topic, one.value(), one.metadata_dict())
            for one in messages
        ]

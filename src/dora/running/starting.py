"""The line that says which nodes a dataflow still waits for, while it starts in the foreground.

Elsewhere: the line itself (`running.progress`), lines above it (`running.screen`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dora.running.progress import progress_text

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from dora.running.progress import Progress

_EVERY_S = 0.2


def show_start(
    loop: asyncio.AbstractEventLoop,
    progress: Progress,
    awaited: Callable[[], tuple[int, list[str]] | None],
) -> None:
    """Keep the line up to date until the dataflow has started.

    Args:
        loop: Where to look again.
        progress: The line.
        awaited: How many nodes there are and which are awaited; None once it has started.
    """
    if not progress.width:
        return
    began_s = time.monotonic()

    def look() -> None:
        now = awaited()
        if now is None:
            progress.clear()
            return
        total, waiting_for = now
        joined, seconds = total - len(waiting_for), time.monotonic() - began_s
        progress.show(progress_text(joined, total, waiting_for, seconds, progress.width))
        loop.call_later(_EVERY_S, look)

    loop.call_later(_EVERY_S, look)

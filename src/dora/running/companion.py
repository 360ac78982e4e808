"""Who goes along with a dataflow in the foreground, and is there before its first message.

The start barrier stays closed until the companion has joined. Elsewhere: the barrier
(`daemon.supervisor`), the one there is (`recording.recorder`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from dora.errors import DoraError

if TYPE_CHECKING:
    from dora.daemon.server import Server
    from dora.running.progress import Progress

_EVERY_S = 0.5


class Companion(Protocol):
    """What a companion does."""

    def join(self, dataflow: str) -> None:
        """Come to the dataflow of this id; in a thread of its own.

        Raises:
            DoraError: it cannot; the dataflow is stopped.
        """

    def line(self) -> str:
        """What there is to show of it now."""


async def go_along(
    companion: Companion | None, server: Server, dataflow: str, progress: Progress
) -> None:
    """Let the companion join, then the nodes start; keep its line up to date until cancelled.

    Raises:
        DoraError: it could not join.
    """
    if companion is None:
        return
    try:
        await asyncio.to_thread(companion.join, dataflow)
    except DoraError:
        if server.awaited() is None:
            return  # the dataflow was stopped meanwhile
        server.ask_stop("it cannot be recorded")
        raise
    server.allow_start()
    while progress.width:
        await asyncio.sleep(_EVERY_S)
        if server.awaited() is None:
            progress.show(companion.line()[: progress.width - 1])

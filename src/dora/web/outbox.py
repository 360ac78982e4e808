"""What waits to be sent to one browser: of things that are replaced, the newest only.

A browser that does not read costs a bounded amount of memory, and holds nobody up. Used from the
event loop only. Elsewhere: what is sent (`web.browser`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Frame = str | bytes

_MOST_WAITING = 2000


class Outbox:
    """Frames for one browser.

    Args:
        send: Sends one frame; returns when the connection has taken it.
    """

    def __init__(self, send: Callable[[Frame], Awaitable[None]]) -> None:
        self._send = send
        self._waiting: dict[object, Frame] = {}
        self._there = asyncio.Event()
        self._last = 0

    @property
    def full(self) -> bool:
        """Whether the browser has not read for so long that it is given up."""
        return len(self._waiting) >= _MOST_WAITING

    def put(self, frame: Frame, instead_of: str | None = None) -> None:
        """Have a frame sent.

        Args:
            frame: JSON text, or bytes.
            instead_of: What it replaces, if that has not been sent yet.
        """
        if self.full and instead_of not in self._waiting:
            return
        self._last += 1
        key: object = self._last if instead_of is None else instead_of
        self._waiting.pop(key, None)
        self._waiting[key] = frame
        self._there.set()

    async def run(self) -> None:
        """Send what is put, until cancelled, or the connection ends."""
        while not self.full:
            await self._there.wait()
            self._there.clear()
            while self._waiting:
                await self._send(self._waiting.pop(next(iter(self._waiting))))

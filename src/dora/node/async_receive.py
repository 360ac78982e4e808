"""Receiving in asyncio: the event stream's epoll descriptor watched by the loop; no thread.

Elsewhere: which event comes next (`node.event_stream`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dora.node import events
from dora.node.waiting import Awaiting

if TYPE_CHECKING:
    from dora.node.event_types import Event
    from dora.node.host import Stream


class AsyncReceiver:
    """Waits for events in whatever loop is running; several tasks may wait, one is served first."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiting: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}
        self._turns: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}

    async def receive(self, timeout_s: float | None) -> Event | None:
        """The next event; None when the stream has ended; ERROR when the time is over."""
        # Always lets other tasks run once, also when messages come without a pause.
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(timeout_s), self._turn():
                with Awaiting(self._stream.turn):
                    return await self._next()
        except TimeoutError:
            return events.timeout(timeout_s or 0.0)

    def wake(self) -> None:
        """Make every waiting task look again. Any thread may call this."""
        for future, loop in list(self._waiting.items()):
            loop.call_soon_threadsafe(_resolve, future)

    async def _next(self) -> Event | None:
        loop = asyncio.get_running_loop()
        while True:
            event = self._stream.try_take()
            if event is not None or self._stream.ended:
                return event
            readable: asyncio.Future[None] = loop.create_future()
            fd = self._stream.fileno()
            loop.add_reader(fd, _resolve, readable)
            self._waiting[readable] = loop
            try:
                await readable
            finally:
                del self._waiting[readable]
                loop.remove_reader(fd)

    def _turn(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        turn = self._turns.get(loop)
        if turn is None:
            self._turns = {known: lock for known, lock in self._turns.items() if known.is_running()}
            turn = self._turns[loop] = asyncio.Lock()
        return turn


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

"""Events of the user's own, merged into the event stream: `node.merge_external_events`.

A thread takes value after value from an iterator, an async iterator (in a loop of its own) or an
object with dora-rs's `next()` (a ROS 2 subscription), and keeps at most `MOST_WAITING` of them
until they are handed out. They take their turn among the inputs; timeouts, `try_recv`, `drain` and
`is_empty` go on working. The thread ends with the node; it does not keep the process alive.

A source of `node.event_stream`. Elsewhere: what the events look like (`node.event_types`).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from dora.node import events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dora.node.event_types import Event
    from dora.node.host import Stream

MOST_WAITING = 64


class ExternalEvents:
    """Where merged values wait: filled by a thread, emptied by the event stream."""

    def __init__(self, stream: Stream, values: Iterator[Any] | AsyncIterator[Any]) -> None:
        self.served = 0
        self.closed = False
        """Whether the node is."""
        self._stream = stream
        self._values = values
        self._found: deque[Event] = deque()
        self._room = threading.Condition()
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop of an async iterator, while it runs."""
        self._task: asyncio.Task[None] | None = None
        self._emptier = asyncio.Event()
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        stream.merge(self._fd, self, self.close)
        threading.Thread(target=self._run, name="dora external events", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many values wait."""
        return len(self._found)

    def take(self) -> Event | None:
        """The next event."""
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return None
        with self._room:
            self._room.notify()
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._emptier.set)
            if self._found:
                return self._found.popleft()
        if self._ended:  # the last count of the eventfd stands for the end
            self._stream.unwatch(self._fd)
        return None

    def close(self) -> None:
        """Take nothing more from the user's iterator. The node is closed."""
        with self._room:
            self.closed = True
            self._room.notify()
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _run(self) -> None:
        try:
            if isinstance(self._values, AsyncIterator):
                asyncio.run(self._read_async(self._values))
            else:
                for value in self._values:
                    if not self._put(events.external(value)):
                        return
        except Exception as exc:  # told to the node's own loop, which is where it can be handled
            self._put(events.error(f"merged external events failed: {type(exc).__name__}: {exc}"))
        self._end()

    async def _read_async(self, values: AsyncIterator[Any]) -> None:
        async def read() -> None:
            async for value in values:
                event = events.external(value)
                while not self._try_put(event):
                    await self._emptier.wait()
                    self._emptier.clear()

        with self._room:
            if self.closed:
                return
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.ensure_future(read())
        try:
            await self._task
        except asyncio.CancelledError:
            if not self.closed:
                raise
        finally:
            with self._room:
                self._loop = None

    def _try_put(self, event: Event) -> bool:
        with self._room:
            if self.closed or len(self._found) >= MOST_WAITING:
                return False
            self._found.append(event)
            os.eventfd_write(self._fd, 1)
            return True

    def _put(self, event: Event) -> bool:
        """Have an event handed out, when there is room; False when the node is closed."""
        with self._room:
            while len(self._found) >= MOST_WAITING and not self.closed:
                self._room.wait()
        return self._try_put(event)

    def _end(self) -> None:
        with self._room:
            self._ended = True
            if not self.closed:
                os.eventfd_write(self._fd, 1)


def values_of(source: Any) -> Iterator[Any] | AsyncIterator[Any]:
    """The iterator behind whatever can be merged.

    Raises:
        TypeError: it cannot be.
    """
    if isinstance(source, AsyncIterable):
        return aiter(source)
    if isinstance(source, Iterable):
        return iter(source)
    if callable(getattr(source, "next", None)):
        return iter(source.next, None)
    raise TypeError(
        f"`{type(source).__name__}` cannot be merged: give an iterator, an async iterator, or an "
        "object with `next()` that returns None at its end"
    )

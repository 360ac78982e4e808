"""Callbacks of a loop whose errors are one dataflow's: a loop may serve several.

Elsewhere: what an error does (`daemon.server`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine


class Loop(Protocol):
    """What the parts of a daemon need of an event loop; asyncio's have it."""

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Call whenever the descriptor is readable."""

    def remove_reader(self, fd: Any) -> bool:
        """Call no more."""

    def add_writer(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Call whenever the descriptor is writable."""

    def remove_writer(self, fd: Any) -> bool:
        """Call no more."""

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any
    ) -> asyncio.TimerHandle:
        """Call once, after so many seconds."""

    def create_future(self) -> asyncio.Future[Any]:
        """Something that will be done once."""

    def create_task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine beside all else."""

    def time(self) -> float:
        """Seconds, by a clock that only goes forward."""


class Callbacks:
    """A loop for one dataflow.

    Args:
        loop: The loop.
        crashed: Told of an exception that a callback raised.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, crashed: Callable[[BaseException], None]
    ) -> None:
        self._loop = loop
        self._crashed = crashed
        self._timers: WeakSet[asyncio.TimerHandle] = WeakSet()
        self.remove_reader = loop.remove_reader
        self.remove_writer = loop.remove_writer
        self.create_future = loop.create_future
        self.create_task = loop.create_task
        self.time = loop.time

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """See `Loop`."""
        self._loop.add_reader(fd, self._run, callback, args)

    def add_writer(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """See `Loop`."""
        self._loop.add_writer(fd, self._run, callback, args)

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any
    ) -> asyncio.TimerHandle:
        """See `Loop`."""
        timer = self._loop.call_later(delay, self._run, callback, args)
        self._timers.add(timer)
        return timer

    def close(self) -> None:
        """Call nothing more later: what waits for that holds all that the dataflow was made of."""
        for timer in list(self._timers):
            timer.cancel()

    def _run(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            callback(*args)
        except Exception as exc:
            self._crashed(exc)

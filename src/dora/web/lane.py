"""Calls that block, made one after the other in a thread of their own, for the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class Lane:
    """A thread. What it works on is touched by no other, also when the one who waits is cancelled.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)

    async def call(self, function: Callable[[], _T]) -> _T:
        """Call it behind all that was asked for before."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def close(self, last: Callable[[], None]) -> None:
        """Make a last call, of which nobody waits for the end, and end the thread."""
        self._pool.submit(last)
        self._pool.shutdown(wait=False)

"""Which dataflow an exception in a callback belongs to, where several share one event loop.

asyncio runs each callback in the context in which it was registered. A server says in its own
context who is to hear of exceptions; all callbacks that it registers, and those that they register,
inherit that. Callbacks of other contexts (another thread's) belong to whoever spoke first: where
there is one dataflow, to that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

Tell = Callable[[BaseException], None]
_hears: ContextVar[Tell | None] = ContextVar("hears", default=None)


def hear(loop: asyncio.AbstractEventLoop, tell: Tell) -> None:
    """Have `tell` hear of exceptions in callbacks that this context registers from now on."""
    _hears.set(tell)
    if loop.get_exception_handler() is None:
        loop.set_exception_handler(partial(_raised, tell))


def _raised(first: Tell, _loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
    # `Handle.get_context` is of Python 3.12.
    context = getattr(told.get("handle"), "_context", None)
    tell = _hears.get() if context is None else context.get(_hears)
    (tell or first)(told.get("exception") or RuntimeError(told["message"]))

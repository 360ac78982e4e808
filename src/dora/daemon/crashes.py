"""Which dataflow an exception in a callback belongs to, where several share one event loop.

asyncio runs each callback in the context in which it was registered. A server says in its own
context who is to hear of exceptions; all callbacks that it registers, and those that they register,
inherit that.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_hears: ContextVar[Callable[[BaseException], None] | None] = ContextVar("hears", default=None)


def hear(loop: asyncio.AbstractEventLoop, tell: Callable[[BaseException], None]) -> None:
    """Have `tell` hear of exceptions in callbacks that this context registers from now on."""
    _hears.set(tell)
    loop.set_exception_handler(_raised)


def _raised(loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
    context = getattr(told.get("handle"), "_context", None)
    tell = _hears.get() if context is None else context.get(_hears)
    if tell is None:
        loop.default_exception_handler(told)
    else:
        tell(told.get("exception") or RuntimeError(told["message"]))

"""Where the lines of a running dataflow go: a descriptor, or whatever `sys.stdout` is now.

Writing to a descriptor never waits while the dataflow runs: what a slow terminal or pipe does not
take is kept, up to a bound. When its reader is gone (`| head`), somebody is told.

Elsewhere: how lines look (`daemon.display`), when there are some (`daemon.output`).
"""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from typing import TYPE_CHECKING, TextIO

from dora.daemon.display import Display
from dora.running.options import shows_colour

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from dora.daemon.logs import LogLine
    from dora.running.options import RunOptions

_PIECE_BYTES = 4096
"""A pipe that polls as writable takes this much at once without blocking."""
_MAX_PENDING_BYTES = 16 << 20


def open_screen(
    loop: asyncio.AbstractEventLoop,
    options: RunOptions,
    dataflow_id: str,
    on_hang_up: Callable[[], None],
    before: Callable[[], None] = lambda: None,
) -> Screen | StreamScreen:
    """What shows a dataflow: standard output, or what a notebook or a test put in its place.

    Args:
        loop: Where to wait for the terminal.
        options: What to show, and how.
        dataflow_id: Goes into JSON.
        on_hang_up: Called when nobody reads any more.
        before: Called before lines are written.
    """
    replaced = sys.stdout is not None and sys.stdout is not sys.__stdout__
    fd = 1 if replaced else _stdout()
    display = Display(
        options.log_format,
        options.log_level,
        options.log_filter,
        colour=not replaced and shows_colour(fd),
        dataflow_id=dataflow_id,
    )
    if replaced:
        return StreamScreen(sys.stdout, display)
    return Screen(loop, fd, display, on_hang_up, before)


def _stdout() -> int:
    try:
        sys.stdout.flush()
        return sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # none, closed, or without a descriptor
        return 1


class StreamScreen:
    """Writes lines to a text stream, which stays the caller's."""

    def __init__(self, stream: TextIO, display: Display) -> None:
        self._stream = stream
        self._display = display

    def lines(self, batch: list[LogLine]) -> None:
        """Show lines of a node."""
        self._stream.write(self._display.lines(batch))

    def notice(self, level: str, text: str) -> None:
        """Show a word of the daemon."""
        self._stream.write(self._display.notice(level, text))

    def finish(self) -> None:
        """Show all that was written."""
        self._stream.flush()


class Screen:
    """Writes lines to a descriptor, which stays the caller's, without ever blocking the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fd: int,
        display: Display,
        on_hang_up: Callable[[], None],
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._on_hang_up = on_hang_up
        self._before = before
        self._fd = fd
        self._display = display
        self._pending: deque[memoryview] = deque()
        self._pending_bytes = 0
        self._lost = 0
        self._open = True
        self._watched = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def lines(self, batch: list[LogLine]) -> None:
        """Show lines of a node."""
        self._put(self._display.lines(batch))

    def notice(self, level: str, text: str) -> None:
        """Show a word of the daemon."""
        self._put(self._display.notice(level, text))

    def finish(self) -> None:
        """Write what is left, waiting for whoever reads; only then may it block."""
        self._unwatch()
        while self._pending and self._open:
            self._write_piece()

    def _put(self, text: str) -> None:
        if not text or not self._open:
            return
        self._before()
        if self._pending_bytes > _MAX_PENDING_BYTES:
            self._lost += text.count("\n")
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            text = (
                self._display.notice("warn", f"{lost} lines were not shown: read too slowly") + text
            )
        raw = text.encode("utf-8", "replace")
        self._pending.append(memoryview(raw))
        self._pending_bytes += len(raw)
        if not self._watched:
            self._flush()

    def _flush(self) -> None:
        while self._pending and self._open:
            if not self._poll.poll(0):
                if not self._watched:
                    self._watched = True
                    self._loop.add_writer(self._fd, self._flush)
                return
            self._write_piece()
        self._unwatch()

    def _write_piece(self) -> None:
        raw = self._pending[0]
        try:
            written = os.write(self._fd, raw[:_PIECE_BYTES])
        except BlockingIOError:  # somebody else made it non-blocking
            select.select([], [self._fd], [])
            return
        except OSError:  # the reader is gone
            self._open = False
            self._unwatch()
            self._pending.clear()
            self._loop.call_soon(self._on_hang_up)
            return
        self._pending_bytes -= written
        if written == len(raw):
            self._pending.popleft()
        else:
            self._pending[0] = raw[written:]

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_writer(self._fd)

"""`dora run`: one dataflow from launch to summary, its lines on the terminal, its signals.

Lines and notices go to stdout, the report of failures and the summary to stderr. Writing never
waits while the dataflow runs: what a slow terminal or pipe does not take is kept, up to a bound.
When its reader is gone (`| head`), the dataflow is stopped, as by Ctrl-C.

Elsewhere: the dataflow itself (`daemon.server`), how lines look (`daemon.display`), flags
(`cli.main`).
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections import deque
from typing import TYPE_CHECKING

from dora.daemon.launch import launch

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

    from dora.cli.options import RunOptions
    from dora.daemon.display import Display
    from dora.daemon.launch import Launched
    from dora.daemon.logs import LogLine
    from dora.daemon.report import Outcome
    from dora.descriptor.plan import Plan

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PIECE_BYTES = 4096
"""A pipe that polls as writable takes this much at once without blocking."""
_MAX_PENDING_BYTES = 16 << 20


def run_flow(plan: Plan, options: RunOptions) -> int:
    """Run a dataflow until it ends; the exit status of the command.

    Raises:
        DescriptorLimitError: the dataflow needs more descriptors than are allowed.
    """
    caught: list[int] = []
    previous = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    # A shell lets what it puts into the background ignore SIGINT, but whoever sends one means it.
    heeded = [
        number
        for number in _STOP_SIGNALS
        if number != signal.SIGHUP or previous[number] is not signal.SIG_IGN  # else: `nohup`
    ]

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    for number in heeded:
        signal.signal(number, note)
    try:
        launched = launch(plan)
        # Loaded only now, while the nodes load: this takes longer than spawning them.
        import asyncio

        outcome = asyncio.run(_serve(launched, options, heeded, caught))
    finally:
        for number in heeded:
            signal.signal(number, previous[number])
    return _report(outcome)


async def _serve(
    launched: Launched, options: RunOptions, heeded: list[signal.Signals], caught: list[int]
) -> Outcome:
    import asyncio

    from dora.daemon.display import Display
    from dora.daemon.server import Server
    from dora.daemon.supervisor import Graces

    loop = asyncio.get_running_loop()
    fd = _stdout()
    colour = os.isatty(fd) and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    display = Display(
        options.log_format,
        options.log_level,
        options.log_filter,
        colour=colour,
        dataflow_id=launched.dataflow_id,
    )
    screen = Screen(loop, fd, display, lambda: server.ask_stop("nobody reads its output any more"))
    server = Server(launched, screen, Graces())

    def ask_stop(number: int) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        server.ask_stop(name)

    for number in heeded:
        loop.add_signal_handler(number, ask_stop, number)
    for early in caught:
        loop.call_soon(ask_stop, early)
    if options.stop_after_s is not None:
        server.stop_after(options.stop_after_s)
    try:
        return await server.run()
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)
        screen.finish()


def _report(outcome: Outcome) -> int:
    from dora.daemon.report import failure_text, summary_text

    text = summary_text(outcome) + "\n"
    if not outcome.ok:
        text = f"\n[ERROR] {failure_text(outcome)}\n\n{text}"
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except BrokenPipeError:
        # Nobody listens; without this, Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return 0 if outcome.ok else 1


def _stdout() -> int:
    try:
        sys.stdout.flush()
        return sys.stdout.fileno()
    except (OSError, ValueError):  # closed, or replaced by something without a descriptor
        return 1


class Screen:
    """Writes lines to a descriptor, which stays the caller's, without ever blocking the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fd: int,
        display: Display,
        on_hang_up: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._on_hang_up = on_hang_up
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

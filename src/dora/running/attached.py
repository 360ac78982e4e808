"""A dataflow of the background daemon, shown in the foreground as if it ran here.

Ctrl-C stops the dataflow; again, it kills the nodes and this ends at once. Whatever else ends this
process leaves the dataflow alone.

Elsewhere: the daemon's side (`daemon.watchers`), showing lines (`running.screen`), a dataflow that
does run here (`running.foreground`).
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from dora.daemon.link import Link
from dora.daemon.logs import LogLine
from dora.errors import DoraError, ProtocolError
from dora.running.attached_start import Starting
from dora.running.progress import Progress
from dora.running.screen import open_screen
from dora.transport import endpoint
from dora.version import VERSION
from dora.wire.messages import PROTOCOL, Refused
from dora.wire.visits import (
    AskStop,
    Dataflow,
    Done,
    Ended,
    Greet,
    Shown,
    ShownLine,
    Watch,
    decode_answer,
)

if TYPE_CHECKING:
    from dora.running.options import RunOptions
    from dora.running.screen import Screen, StreamScreen


class AbandonedError(DoraError):
    """Whoever was attached has left before the end."""


class Attached:
    """Shows one dataflow to its end, once.

    Args:
        dataflow: Its id.
        options: What to show.
    """

    def __init__(self, dataflow: str, options: RunOptions) -> None:
        self._dataflow = dataflow
        self._options = options
        self._interrupts = 0
        self.seen = False
        """Whether its lines were shown; it may have been over before they could be asked for."""

    def run(self) -> Ended | None:
        """Show the dataflow until it is over.

        Returns:
            How it ended; None if the daemon could not tell any more.

        Raises:
            AbandonedError: a second Ctrl-C, or nobody reads the lines any more.
            AbandonedError: likewise when the daemon does not let this client in.
        """
        return asyncio.run(self._watch())

    async def _watch(self) -> Ended | None:
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[Ended | None] = loop.create_future()
        self._progress = Progress(sys.stderr)
        self._screen: Screen | StreamScreen = open_screen(
            loop,
            self._options,
            self._dataflow,
            lambda: self._fail(""),
            self._progress.clear,
        )
        try:
            self._link = self._connect()
        except OSError:  # it was over at once
            return None
        starting = Starting(self._dataflow, self._progress) if self._progress.width else None
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            return await self._over
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            self._link.close()
            if starting is not None:
                starting.close()
            self._progress.clear()
            self._screen.finish()

    def _connect(self) -> Link:
        """Come to the daemon, for the first time or after it was replaced.

        Raises:
            OSError: the dataflow is over.
        """
        sock = endpoint.connect(endpoint.address_of(self._dataflow))
        link = Link(asyncio.get_running_loop(), sock, self)
        link.send(Greet(PROTOCOL, VERSION))
        return link

    def on_frame(self, link: Link, body: bytes) -> None:
        """The daemon said something."""
        try:
            answer = decode_answer(body)
        except ProtocolError as exc:
            self._fail(str(exc))
            return
        if isinstance(answer, Dataflow):
            link.send(Watch(from_start=True))
        elif isinstance(answer, Done):
            self.seen = True
        elif isinstance(answer, Shown):
            self._show(answer.lines, answer.lost)
        elif isinstance(answer, Ended):
            self._finish(answer)
        elif isinstance(answer, Refused):
            self._fail(answer.reason)

    def on_end(self, link: Link, problem: str | None) -> None:
        """The daemon is gone, was replaced, or has said all."""
        del link
        if problem is not None:
            self._fail(problem)
            return
        try:
            if not self._over.done():
                self._link = self._connect()
        except OSError:
            self._finish(None)

    def on_written(self, link: Link) -> None:
        """The daemon looks at its socket by itself."""

    def _show(self, lines: list[ShownLine], lost: int) -> None:
        if lost:
            self._screen.notice("warn", f"{lost} lines were not shown: read too slowly")
        self._screen.lines([as_log_line(line) for line in lines])

    def _interrupt(self) -> None:
        self._interrupts += 1
        self._link.send(AskStop("Ctrl-C", force=self._interrupts > 1))
        if self._interrupts > 1:
            self._fail("the nodes were killed")

    def _finish(self, ended: Ended | None) -> None:
        if not self._over.done():
            self._over.set_result(ended)

    def _fail(self, why: str) -> None:
        if not self._over.done():
            self._over.set_exception(AbandonedError(why))


def as_log_line(line: ShownLine) -> LogLine:
    """A line that travelled, as the daemon has it."""
    return LogLine(*(getattr(line, name) for name in ShownLine.__struct_fields__))

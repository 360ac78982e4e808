"""Clients that watch a dataflow: they are sent the lines of its nodes, the daemon's words, its end.

An observer. A client that reads slowly loses lines, and is told how many; it holds up nobody. What
was shown in the first seconds is kept for a moment, for the client that started the dataflow and
cannot come earlier. After that it costs nothing while nobody watches.

Elsewhere: the messages (`wire.visits`), the client's side (`dora.client`, `running.attached`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from dora.daemon.edges import DAEMON
from dora.daemon.logs import LogLine, timestamp_now
from dora.daemon.report import failure_text, summary_text
from dora.wire.messages import encode
from dora.wire.visits import Done, Ended, Shown, ShownLine, Watch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.daemon.link import Link
    from dora.daemon.report import Outcome
    from dora.daemon.visitors import Visitors

_MOST_WAITING_BYTES = 4 << 20
"""For one client; what comes while so much waits for it is lost to it."""
_LINES_AT_ONCE = 256
_EARLY_S = 10.0
_EARLY_LINES = 1000
_EARLY_CHARS = 4 << 20


class Watchers:
    """The clients that watch.

    Args:
        visitors: Among whom they are.
    """

    def __init__(self, visitors: Visitors) -> None:
        self._lost: dict[Link, int] = {}
        """Those who watch, each with the number of lines it has lost and not been told of."""
        self._told: list[Link] = []
        """Those who were told of the end."""
        self._early: deque[ShownLine] | None = deque()
        self._early_chars = 0
        self._early_lost = 0
        self._early_until_s = time.monotonic() + _EARLY_S
        visitors.provide(Watch, self._watch)
        visitors.when_one_leaves(self._left)

    def lines(self, batch: list[LogLine]) -> None:
        """Show lines of a node."""
        if self._early is None and not self._lost:
            return
        shown = [_shown(line) for line in batch]
        self._keep_early(shown)
        for start in range(0, len(shown), _LINES_AT_ONCE):
            self._send(shown[start : start + _LINES_AT_ONCE])

    def notice(self, level: str, text: str) -> None:
        """Show a word of the daemon."""
        self.lines([LogLine(DAEMON, "stderr", level, text, timestamp_now())])

    def ended(self, outcome: Outcome) -> None:
        """Tell them that it is over, and how; their links close when all of it was sent."""
        failures = "" if outcome.ok else failure_text(outcome)
        for link, lost in list(self._lost.items()):
            if lost:
                link.send(Shown([], lost))
            link.send(Ended(outcome.ok, failures, summary_text(outcome)))
            link.close_when_sent()
            self._told.append(link)
        self._lost.clear()

    async def all_told(self, within_s: float) -> None:
        """Wait until each of them was sent its end, but not for those that do not read."""
        closed = [link.when_closed() for link in self._told]
        if closed:
            await asyncio.wait(closed, timeout=within_s)

    def _left(self, link: Link) -> None:
        self._lost.pop(link, None)

    def _watch(self, link: Link, question: Watch) -> None:
        link.send(Done())
        self._lost[link] = 0
        if question.from_start and self._early is not None:
            link.send(Shown(list(self._early), self._early_lost))

    def _keep_early(self, lines: Iterable[ShownLine]) -> None:
        if self._early is None:
            return
        if time.monotonic() > self._early_until_s:
            self._early = None
            return
        for line in lines:
            self._early.append(line)
            self._early_chars += len(line.message)
            while len(self._early) > _EARLY_LINES or self._early_chars > _EARLY_CHARS:
                self._early_chars -= len(self._early.popleft().message)
                self._early_lost += 1

    def _send(self, lines: list[ShownLine]) -> None:
        for link, lost in list(self._lost.items()):
            if link.waiting_bytes > _MOST_WAITING_BYTES:
                self._lost[link] = lost + len(lines)
            else:
                self._lost[link] = 0  # before sending: a link that breaks leaves at once
                link.send(Shown(lines, lost))


def _shown(line: LogLine) -> ShownLine:
    """A line as it travels; a node may have logged numbers that do not."""
    shown = ShownLine(*line)
    if line.fields is None and line.line is None:
        return shown
    try:
        encode(shown)
    except (OverflowError, RecursionError):
        fields = {key: str(value) for key, value in (line.fields or {}).items()}
        return msgspec.structs.replace(shown, fields=fields, line=None)
    return shown

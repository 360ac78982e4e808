"""What `dora top` is fed with: figures at each interval, and the log lines of one node.

Two threads of their own ask and wait, so that a screen never does; whoever is told must bring what
it is told to its own thread. Elsewhere: asking (`monitor.looks`), log files (`monitor.log_reading`,
`monitor.log_following`), the screen (`cli.top_screen`).
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dora.daemon.display import Display
from dora.errors import DoraError
from dora.monitor.log_files import LogFiles
from dora.monitor.log_following import Follower
from dora.monitor.log_reading import tail
from dora.monitor.log_records import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dora.monitor.figures import Figures
    from dora.monitor.log_records import Record
    from dora.monitor.looks import Looks
    from dora.wire.visits import Dataflow

FIRST_LOOK_S = 0.5
"""From the first look to the second, without which there are no rates."""
LOG_EVERY_S = 0.25
_END_WITHIN_S = 0.5
MOST_LINES = 1000
"""Of a log that are kept for scrolling back."""
MOST_AT_ONCE = 200
"""Of a log that are told: no more can be read by anybody, and a screen takes its time for them."""


class Seen(NamedTuple):
    """All dataflows that run."""

    flows: list[Figures]


class Trouble(NamedTuple):
    """A look that went wrong; there will be others."""

    text: str


class Lines(NamedTuple):
    """Lines of the log that is watched."""

    dataflow: str
    node: str
    lines: list[str]
    anew: bool
    """Whether they are the first of it: what was shown before is of another one."""


class Feed:
    """Looks again and again, from `start` to `close`.

    Args:
        looks: What to look at; owned from `start` on.
        interval_s: How often.
        tell: Called with what was seen, in a thread of the feed.
    """

    def __init__(
        self, looks: Looks, interval_s: float, tell: Callable[[Seen | Trouble | Lines], None]
    ) -> None:
        self._looks = looks
        self._interval_s = interval_s
        self._tell = tell
        self._over = threading.Event()
        self._log: tuple[Dataflow, str] | None = None
        # Daemons, so that one that waits for an answer does not hold the user up.
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._look, self._read)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Tell nothing more."""
        self._over.set()
        for thread in self._threads:
            thread.join(_END_WITHIN_S)

    def watch_log(self, dataflow: Dataflow, node: str) -> None:
        """Tell the lines of this node from now on, the last that there are first."""
        self._log = (dataflow, node)

    def _look(self) -> None:
        pause_s = min(FIRST_LOOK_S, self._interval_s)
        with self._looks:
            while not self._over.is_set():
                try:
                    self._told(Seen(self._looks.look()))
                except DoraError as exc:
                    self._told(Trouble(str(exc)))
                self._over.wait(pause_s)
                pause_s = self._interval_s

    def _read(self) -> None:
        trail: _Trail | None = None
        try:
            while not self._over.wait(LOG_EVERY_S):
                log = self._log
                if log is None:
                    continue
                anew = trail is None or trail.log != log
                if trail is None or anew:
                    if trail is not None:
                        trail.close()
                    trail = _Trail(*log)
                lines = trail.read()
                if lines or anew:
                    self._told(Lines(log[0].id, log[1], lines, anew))
        finally:
            if trail is not None:
                trail.close()

    def _told(self, what: Seen | Trouble | Lines) -> None:
        if not self._over.is_set():
            self._tell(what)


class _Trail:
    """The log of one node: what it has, then what comes."""

    def __init__(self, dataflow: Dataflow, node: str) -> None:
        self.log = (dataflow, node)
        self._complaints: list[str] = []
        folder = Path(dataflow.log_dir or Path("out", dataflow.id))
        files = LogFiles(folder, self._complaints.append)
        found = files.parts(node, whole=False)
        parts = {node: found} if found else {}  # it may not have printed yet
        self._before = tail(files, parts, Wanted(), MOST_AT_ONCE)
        self._follower = Follower(files, parts, node, self._complaints.append)
        self._display = Display("pretty", "stdout", {}, colour=False, dataflow_id=dataflow.id)

    def read(self) -> list[str]:
        """The lines since the last call, as they are shown; the last ones, if they are many."""
        records = [*self._before, *self._follower.read()]
        self._before = []
        told = [f"WARNING {text}" for text in self._complaints]
        self._complaints.clear()
        if (left_out := len(records) - MOST_AT_ONCE) > 0:
            told.append(f"… {left_out} lines left out")
        return [*told, *self._shown(records[-MOST_AT_ONCE:])]

    def close(self) -> None:
        """Give up its files."""
        self._follower.close()

    def _shown(self, records: Iterable[Record]) -> list[str]:
        return [self._display.recorded(one.line, one.time).rstrip("\n") for one in records]

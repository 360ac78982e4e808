"""The daemon's own words about a dataflow, in `log_dora.jsonl` beside the files of its nodes.

An observer that leaves the nodes' lines alone (`daemon.output` writes those). Bounded: older words
go to `log_dora.jsonl.1`, and from there away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.daemon.edges import DAEMON
from dora.daemon.logs import LogFile, LogLine, timestamp_now

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 4 << 20


class OwnLog:
    """Writes notices to a file; `close()` gives it up, twice is fine.

    Args:
        folder: Of the dataflow's log files; made with the first notice.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = LogFile(folder, DAEMON, _MOST_BYTES, 1)
        self._usable = True

    def lines(self, batch: list[LogLine]) -> None:
        """Lines of nodes stand elsewhere."""

    def notice(self, level: str, text: str) -> None:
        """Write a word of the daemon; of what cannot be written `daemon.output` tells."""
        if not self._usable:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file.write([LogLine(DAEMON, "stderr", level, text, timestamp_now())])
        except OSError:
            self._usable = False

    def close(self) -> None:
        """Give up the file."""
        self._file.close()

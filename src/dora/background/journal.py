"""The background daemon's log: its own words, on standard error, which is a file of bounded size.

Whatever else writes there (a traceback of the interpreter) is in the same file. Elsewhere: who
opened it (`background.spawn`), what nodes print (`daemon.output`).
"""

from __future__ import annotations

import contextlib
import os
import stat
import traceback
from typing import TYPE_CHECKING

from dora.daemon.logs import timestamp_now

if TYPE_CHECKING:
    from pathlib import Path

    from dora.daemon.logs import LogLine

_MOST_BYTES = 4 << 20
_STREAMS = (1, 2)


class Journal:
    """Writes lines to standard error.

    Args:
        path: The file that standard output and error are; one older is kept as `.1`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def say(self, level: str, text: str) -> None:
        """Write a line, or several. Where that fails there is nobody left to tell."""
        with contextlib.suppress(OSError):
            os.write(2, f"{timestamp_now()} {level.upper():<5} {text}\n".encode(errors="replace"))
            status = os.fstat(2)
            if stat.S_ISREG(status.st_mode) and status.st_size > _MOST_BYTES:
                self._rotate()

    def blame(self, what: str, error: BaseException) -> None:
        """Write what failed, with its traceback."""
        self.say("error", f"{what}\n{''.join(traceback.format_exception(error)).rstrip()}")

    def _rotate(self) -> None:
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        for stream in _STREAMS:
            os.dup2(fd, stream)
        os.close(fd)


class Told:
    """Observes one dataflow: its notices go to the journal, its lines to their files only.

    Args:
        journal: Where.
        name: Of the dataflow.
    """

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal = journal
        self._name = name

    def lines(self, batch: list[LogLine]) -> None:
        """Lines of nodes: nobody sits here."""

    def notice(self, level: str, text: str) -> None:
        """A word of the dataflow's server."""
        self._journal.say(level, f"[{self._name}] {text}")

"""A handful of files, watched for being saved.

They are looked at again and again rather than watched by inotify: that sees every way in which
editors save (writing into the file, putting another in its place), links, and files of network
and container file systems, and leaves no descriptor behind. A change counts when the file stayed
the same for one further look: one that is still being written is not read.

Elsewhere: what follows from a change (`daemon.hot_reload`).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from dora.daemon.callbacks import Loop

INTERVAL_S = 0.3

_Signature = tuple[int, int, int, int]


class _Seen(msgspec.Struct):
    told: _Signature | None
    """As it was when it was last told of, or first seen; None: it was not there."""
    last: _Signature | None
    """As it was at the last look."""


class FileWatch:
    """Calls back when files were saved. `close()` ends it; twice is fine.

    Args:
        loop: Which looks.
        saved: Called once for each time that a file was saved and stayed as it is.
        interval_s: From look to look.
    """

    def __init__(
        self,
        loop: Loop,
        saved: Callable[[Path], None],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._loop = loop
        self._saved = saved
        self._interval_s = interval_s
        self._files: dict[Path, _Seen] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, files: Iterable[Path]) -> None:
        """Watch these files and no others; what happened to them so far does not count."""
        self._files = {
            file: self._files.get(file) or _Seen(now := _signature(file), now) for file in files
        }
        if not self._files:
            self.close()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._interval_s, self._look)

    def close(self) -> None:
        """Look no more."""
        self._files = {}
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._loop.call_later(self._interval_s, self._look)
        for file, seen in list(self._files.items()):
            if self._files.get(file) is not seen:
                continue  # a callback has just seen to that it is watched no more
            now, before = _signature(file), seen.last
            seen.last = now
            # A file that is away will be back, or the node that runs is all there is of it.
            if now is not None and now == before and now != seen.told:
                seen.told = now
                self._saved(file)


def _signature(file: Path) -> _Signature | None:
    """What changes whenever the file does; None if there is no such file now.

    An empty one is about to be written.
    """
    try:
        found = os.stat(file)
    except (OSError, ValueError):  # ValueError: a NUL in its name
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev

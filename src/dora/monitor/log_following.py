"""What is added to a log folder: new lines, files that are rotated away, nodes that come.

Asks when it is called and never waits; a line that is half written is kept until its end comes.
Elsewhere: what was there before (`monitor.log_reading`), when to ask again (`cli.logs_command`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dora.daemon.logs import LineSplitter
from dora.monitor.log_files import BLOCK_BYTES, MOST_LINE_BYTES, backwards
from dora.monitor.log_reading import merged
from dora.monitor.log_records import UNKNOWN, Clock, Record, in_reverse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from dora.monitor.log_files import LogFiles, Part

_MOST_BLOCKS = 16
"""Of one node before others have their turn."""


class Follower:
    """Reads on where a first reading ended. `close()` gives up its descriptors; twice is fine.

    Args:
        files: The files.
        read: What is read before the first call of `read`, by node; owned from now on.
        node: The only node that is wanted; None: all, those that come too.
        complain: Is told, once, that the folder was removed.
    """

    def __init__(
        self,
        files: LogFiles,
        read: Mapping[str, list[Part]],
        node: str | None,
        complain: Callable[[str], None],
    ) -> None:
        self._files = files
        self._node = node
        self._complain = complain
        self._trails = {name: _Trail(files, name, parts) for name, parts in read.items()}
        self._seen = bool(read)
        self._removed = False

    def read(self) -> list[Record]:
        """The records that came since the last call, by time; none if there are none now."""
        for node in self._nodes():
            if node not in self._trails and self._node in (None, node):
                self._trails[node] = _Trail(self._files, node, [])
        return list(merged(trail.read() for trail in self._trails.values()))

    def finish(self) -> list[Record]:
        """Lines that never got their end; nothing is written any more."""
        return list(merged(trail.finish() for trail in self._trails.values()))

    def close(self) -> None:
        """Follow no more."""
        for trail in self._trails.values():
            trail.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _nodes(self) -> list[str]:
        try:
            nodes = self._files.nodes()
        except FileNotFoundError:
            if self._seen and not self._removed:
                self._removed = True
                self._complain(
                    f"the folder `{self._files.folder}` was removed; lines of nodes that have "
                    "printed already go on to be shown, those of others do not"
                )
            return []
        except OSError as exc:
            self._files.unreadable(str(self._files.folder), exc)
            return []
        self._seen = True
        return nodes


class _Trail:
    """One node's files, one after the other."""

    def __init__(self, files: LogFiles, node: str, read: list[Part]) -> None:
        self._files = files
        self._node = node
        self._splitter = LineSplitter(MOST_LINE_BYTES)
        self._clock = Clock(_last_time(node, read))
        self._part = read[-1] if read else None
        self._at = self._part.end if self._part else 0
        self._past = read[:-1]
        self._next: list[Part] = []

    def read(self) -> list[Record]:
        """What came since."""
        while self._past:
            os.close(self._past.pop().fd)
        raws: list[bytes] = []
        for _ in range(_MOST_BLOCKS):
            data = self._read()
            raws += self._splitter.feed(data)
            if not data and not self._move_on(raws):
                break
        return [self._clock.record(self._node, raw) for raw in raws if raw]

    def finish(self) -> list[Record]:
        """A line that never got its end."""
        return [self._clock.record(self._node, raw) for raw in self._splitter.finish()]

    def close(self) -> None:
        """Give up its files."""
        for part in (*self._past, *self._next, *([self._part] if self._part else ())):
            os.close(part.fd)
        self._past, self._part, self._next = [], None, []

    def _read(self) -> bytes:
        part = self._part
        if part is None:
            return b""
        try:
            data = os.pread(part.fd, BLOCK_BYTES, self._at)
            if not data and os.fstat(part.fd).st_size < self._at:
                self._at = 0  # somebody emptied it
        except OSError as exc:
            self._files.unreadable(part.path, exc)
            return b""
        self._at += len(data)
        return data

    def _move_on(self, raws: list[bytes]) -> bool:
        """At the end of a file: go to the next one, if there is one."""
        if not self._next and not self._look_for_newer():
            return False
        # The old one was renamed before the new one was found: nothing is written to it any more.
        data = self._read()
        if data:
            raws += self._splitter.feed(data)
            return True
        raws += self._splitter.finish()
        if self._part is not None:
            os.close(self._part.fd)
        self._part, self._at = self._next.pop(0), 0
        return True

    def _look_for_newer(self) -> bool:
        part = self._part
        if part is not None and self._files.is_newest(self._node, part.inode):
            return False
        newer, met = self._files.newer(self._node, part.inode if part else 0)
        if part is not None and not met and os.fstat(part.fd).st_nlink:
            for one in newer:  # it is just being renamed, and older ones may be among these
                os.close(one.fd)
            return False
        self._next = newer
        return bool(newer)


def _last_time(node: str, read: list[Part]) -> float:
    """The time of the last line that was read."""
    for part in reversed(read):
        try:
            for record in in_reverse(node, backwards(part.fd, part.end)):
                return record.time
        except OSError:  # reading it tells why
            continue
    return UNKNOWN

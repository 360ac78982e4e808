"""The files of a log folder: which there are, in order, and their lines, forwards and backwards.

A node's lines stand in `log_<node>.jsonl`, older ones in `log_<node>.jsonl.1` (the newest of them)
and up. Files that dora-rs, or an earlier dora, called `log_<node>.1.jsonl` are read too. Files are
renamed and removed while they are read: what is to be read is opened first. Never holds more of a
file than a block and a line.

Elsewhere: what a line says (`monitor.log_records`), merging (`monitor.log_reading`), waiting for
more (`monitor.log_following`), writing (`daemon.logs`).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from dora.daemon.logs import LineSplitter
from dora.monitor.log_records import node_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MOST_LINE_BYTES = 8 << 20
"""Longer ones are cut. What the daemon writes is shorter: a megabyte, as JSON."""
BLOCK_BYTES = 1 << 16
_TRIES = 100
_NAME = re.compile(r"log_(.+)\.jsonl(?:\.([1-9][0-9]{0,5}))?")
_FORMS = "log_{}.jsonl.{}", "log_{}.{}.jsonl"
"""Names of older files: ours, and those that a node's own file may have too."""
_ROTATED = re.compile(r"(.+)\.([1-9][0-9]{0,5})")


class Part(NamedTuple):
    """One open file of a node, up to where it is to be read. Its holder closes the descriptor."""

    node: str
    path: str
    """Its name when it was opened."""
    fd: int
    inode: int
    end: int
    """Bytes from its beginning."""


class LogFiles:
    """The log files of one dataflow.

    Args:
        folder: Where they stand. It need not be there yet.
        complain: Is told of each file that cannot be read, once.
    """

    def __init__(self, folder: Path, complain: Callable[[str], None]) -> None:
        self.folder = folder
        self._complain = complain
        self._told: set[str] = set()
        self._highest: dict[tuple[str, str], int] = {}
        """By node and form of the name."""
        self._own_names: dict[str, bool] = {}
        """Of names of the second form: whether nodes are called so."""

    def nodes(self) -> list[str]:
        """Whose files there are now, by name.

        Raises:
            FileNotFoundError: there is no folder.
            OSError: it cannot be read.
        """
        highest: dict[tuple[str, str], int] = {}
        for name in sorted(os.listdir(self.folder)):
            found = _NAME.fullmatch(name)
            if found is None:
                continue
            form, (node, number) = _FORMS[0], (found[1], int(found[2] or 0))
            if not number:
                form, (node, number) = _FORMS[1], self._split(found[1])
            if node:
                highest[node, form] = max(number, highest.get((node, form), 0))
        self._highest = highest
        return sorted({node for node, _ in highest})

    def parts(self, node: str, *, whole: bool) -> list[Part]:
        """All that there is of a node now, opened, oldest first.

        Args:
            node: One of `nodes()`.
            whole: A last line without its end belongs to it; else it is just being written.
        """
        parts, _ = self.newer(node, 0)
        if whole:
            return parts
        return [part._replace(end=_whole_lines(part.fd, part.end)) for part in parts]

    def newer(self, node: str, inode: int) -> tuple[list[Part], bool]:
        """The files of a node that are newer than one, opened, oldest first; whether it was met."""
        order, met = self._order(node, inode)
        opened = self._opened(node, set(order))
        return [opened[one] for one in reversed(order) if one in opened], met

    def is_newest(self, node: str, inode: int) -> bool:
        """Whether this is the file that the daemon writes to."""
        return self._inode(self._path(node)) == inode

    def unreadable(self, path: str, error: OSError) -> None:
        """Tell of a file that cannot be read, once."""
        if path not in self._told:
            self._told.add(path)
            self._complain(f"`{path}` cannot be read: {error.strerror}")

    def _order(self, node: str, until: int) -> tuple[list[int], bool]:
        """The files of a node down to one, newest first; whether it was met."""
        for _ in range(_TRIES):
            paths = self._paths(node)
            newest = self._inode(next(paths))
            found = {newest: None} if newest else {}
            met = newest != 0 and newest == until
            while not met and (path := next(paths, None)) is not None:
                there = self._inode(path)
                if there:
                    found.setdefault(there)
                met = there != 0 and there == until
            if self._inode(self._path(node)) == newest:
                break  # none was rotated away meanwhile: this is their order
        return [one for one in found if one != until], met

    def _opened(self, node: str, wanted: set[int]) -> dict[int, Part]:
        opened: dict[int, Part] = {}
        for path in self._paths(node):
            if len(opened) == len(wanted):
                break
            part = self._open(node, path)
            if part is not None and part.inode in wanted and part.inode not in opened:
                opened[part.inode] = part
            elif part is not None:
                os.close(part.fd)
        return opened

    def _paths(self, node: str) -> Iterator[str]:
        """Names of a node's files, newest first: the way they are renamed, so that none is missed.

        One may be missing, while the one before it has not been renamed yet.
        """
        yield self._path(node)
        for form in _FORMS:
            missing = 0
            for number in count(1):
                if form == _FORMS[1] and self._own_names.get(f"{node}.{number}"):
                    continue  # the file of a node of that name
                path = os.path.join(self.folder, form.format(node, number))
                missing = 0 if os.path.lexists(path) else missing + 1
                if missing > 1 and number > self._highest.get((node, form), 0):
                    break
                yield path

    def _path(self, node: str) -> str:
        return os.path.join(self.folder, f"log_{node}.jsonl")

    def _inode(self, path: str) -> int:
        """Of the file under this name now; 0: there is none."""
        try:
            return os.stat(path).st_ino
        except FileNotFoundError:
            return 0
        except OSError as exc:
            self.unreadable(path, exc)
            return 0

    def _open(self, node: str, path: str) -> Part | None:
        try:
            # Not to wait for the writer of a FIFO that somebody put here.
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as exc:
            self.unreadable(path, exc)
            return None
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode):
            return Part(node, path, fd, status.st_ino, status.st_size)
        os.close(fd)
        self.unreadable(path, OSError(errno.EINVAL, "it is no regular file"))
        return None

    def _split(self, stem: str) -> tuple[str, int]:
        """Node and number of a file; `""` while they cannot be told.

        `log_arm.1.jsonl` is an older file of `arm`, or the file of a node `arm.1`: its first line
        tells.
        """
        rotated = _ROTATED.fullmatch(stem)
        if rotated is None:
            return stem, 0
        own = self._own_names.get(stem)
        if own is None:
            line = self._first_line(self._path(stem))
            if line is None:
                return "", 0
            own = self._own_names[stem] = node_of(line) == stem
        return (stem, 0) if own else (rotated[1], int(rotated[2]))

    def _first_line(self, path: str) -> bytes | None:
        """The first line of a file; `b""` if it cannot be read; None while it has no whole line."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError:
            return b""
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return b""
            size = os.fstat(fd).st_size
            line = next(forwards(fd, size), b"")
        except OSError:
            return b""
        finally:
            os.close(fd)
        return line if len(line) < size else None


def forwards(fd: int, end: int) -> Iterator[bytes]:
    """The lines of an open file up to `end`, without their ends; empty ones may be among them."""
    splitter = LineSplitter(MOST_LINE_BYTES)
    at = 0
    while at < end:
        data = os.pread(fd, min(BLOCK_BYTES, end - at), at)
        if not data:  # somebody made it shorter
            break
        at += len(data)
        yield from splitter.feed(data)
    yield from splitter.finish()


def backwards(fd: int, end: int) -> Iterator[bytes]:
    """The same lines, last one first; of the file only what is asked for is read."""
    pieces: list[bytes] = []
    """Of the line whose beginning has not been found, last one first."""
    at = end
    while at > 0:
        size = min(BLOCK_BYTES, at)
        data = os.pread(fd, size, at - size)
        at -= size
        first, *rest = data.split(b"\n")
        if rest:
            yield rest.pop() + b"".join(reversed(pieces))
            yield from reversed(rest)
            pieces = [first]
        else:
            pieces.append(first)
        if len(pieces) * BLOCK_BYTES > MOST_LINE_BYTES:
            yield b"".join(reversed(pieces))
            pieces = []
    yield b"".join(reversed(pieces))


def _whole_lines(fd: int, end: int) -> int:
    """Where the last line end before `end` ends."""
    at = end
    while at > 0:
        size = min(BLOCK_BYTES, at)
        found = os.pread(fd, size, at - size).rfind(b"\n")
        if found >= 0:
            return at - size + found + 1
        at -= size
    return 0

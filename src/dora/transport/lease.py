"""Leases: what keeps a sample's slot from being used again, and how it is given back.

A value that lies in a sender's arena has a `Lease` for its base. When the last view of the value
dies, on whatever thread, the lease writes one return record. That must work inside a garbage
collection, after the node was closed, and while the interpreter shuts down; so it takes no lock and
imports nothing. The return pipe stays open until the last lease on it is gone, so that a record can
never land in a descriptor that was closed and used again.

In a forked child every return pipe is disowned: the samples belong to the parent.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dora.transport.arena import ArenaView

_pipes: weakref.WeakSet[ReturnPipe] = weakref.WeakSet()


class ReturnPipe:
    """The receiver's end of an edge's return pipe. Takes over `fd`; closes it when it dies."""

    # Bound to the class: at shutdown the module's own names may be gone already.
    _write = staticmethod(os.write)
    _close = staticmethod(os.close)

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.unsent: deque[bytes] = deque()
        """Records that wait for the pipe to have room."""
        _pipes.add(self)

    def give_back(self, record: bytes) -> None:
        """Write one return record, or keep it while the pipe is full. Never blocks."""
        if self._fd < 0:
            return
        try:
            self._write(self._fd, record)
        except BlockingIOError:
            self.unsent.append(record)
        except BrokenPipeError:
            # The sender and the daemon are gone: there is nobody to give back to.
            self.unsent.clear()

    def retry(self) -> None:
        """Write what the full pipe did not take."""
        while self.unsent and self._fd >= 0:
            try:
                record = self.unsent.popleft()
            except IndexError:
                return
            before = len(self.unsent)
            self.give_back(record)
            if len(self.unsent) > before:
                return

    def disown(self) -> None:
        """In a forked child: release nothing from here on."""
        self._fd = -1

    def __del__(self) -> None:
        if self._fd >= 0:
            self._close(self._fd)
            self._fd = -1


class Lease:
    """Holds one sample's slot, and the mapping that it lies in, until it is collected."""

    __slots__ = ("_record", "_returns", "_view")

    def __init__(self, returns: ReturnPipe, record: bytes, view: ArenaView) -> None:
        self._returns = returns
        self._record = record
        self._view = view

    def __del__(self) -> None:
        self._returns.give_back(self._record)


def _disown_all() -> None:
    for pipe in list(_pipes):
        pipe.disown()


os.register_at_fork(after_in_child=_disown_all)

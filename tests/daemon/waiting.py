"""Waiting for what really happens, under a deadline."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEADLINE_S = 50.0


def read_line(fd: int) -> str:
    """The next line of a pipe."""
    deadline = time.monotonic() + DEADLINE_S
    line = b""
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        assert left > 0, f"no line within {DEADLINE_S} s; so far {line!r}"
        if select.select([fd], [], [], left)[0]:
            piece = os.read(fd, 1)
            assert piece, f"the pipe ended after {line!r}"
            line += piece
    return line.decode().strip()


def wait_gone(pids: Iterable[int]) -> None:
    """Wait until these processes have ended."""
    deadline = time.monotonic() + DEADLINE_S
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            ready = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]
            assert ready, f"process {pid} is still there"
        finally:
            os.close(fd)


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait for what the kernel tells nobody of, by looking."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, f"not so: {what}"
        select.select([], [], [], 0.005)

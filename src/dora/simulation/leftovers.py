"""Processes that a simulated node started and left behind: found by what they inherited, ended.

Elsewhere: the nodes' own processes (`simulation.driver`).
"""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

MARK = "DORA_SIMULATED"
"""The environment variable by which descendants of a simulated node are known."""

_DYING_S = 1.0
"""How long a process may take to end after its node: some only wait for a pipe to close."""


class Leftovers:
    """What was found so far, in words: pid and command."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def look_for(self, mark: str, known: set[int]) -> None:
        """Note, and end, what still runs of one node's descendants; `known` may."""
        deadline = time.monotonic() + _DYING_S
        for pid in _marked(mark) - known:
            command = _command(pid)
            if not _ends_by(pid, deadline):
                self.found.append(f"pid {pid}: `{command}`")
                _kill(pid)

    def sweep(self, mark: str) -> None:
        """End what still runs of one node's descendants, without a word."""
        for pid in _marked(mark):
            _kill(pid)


def _marked(mark: str) -> set[int]:
    entry = f"{MARK}={mark}".encode()
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # gone, or another user's
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except FileNotFoundError:
        return "?"


def _ends_by(pid: int, deadline: float) -> bool:
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
    finally:
        os.close(watched)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return

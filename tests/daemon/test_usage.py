"""What processes use, against processes that really use it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
from tests.daemon.waiting import read_line

from dora.daemon import usage
from dora.daemon.usage import Usage, anonymous_bytes, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

BURN = "import os, time\nwhile time.process_time() < 0.4: pass\n"
THEN_WAIT = "print('ready', flush=True)\nimport sys; sys.stdin.read()\n"
UV = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', sys.argv[1]])\n"
"""Starts another Python and waits for it, as `uv run` does."""


@contextmanager
def running(code: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python in a process group of its own, once it said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            assert read_line(process.stdout.fileno()) == "ready"
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_grandchild_counts() -> None:
    own = "import os\nkept = b'x' * 100_000_000\n"
    with running(UV, UV.replace("sys.argv[1]", repr(own + BURN + THEN_WAIT))) as process:
        used = usage_of([process.pid])[process.pid]
    assert used.cpu_s is not None
    assert used.cpu_s >= 0.3
    assert used.memory_bytes is not None
    assert used.memory_bytes > 100_000_000
    assert used.disk_read_bytes is not None


def test_the_time_of_children_that_came_and_went_counts() -> None:
    with running(UV + THEN_WAIT, BURN) as process:
        used = usage_of([process.pid])[process.pid]
    assert used.cpu_s is not None
    assert used.cpu_s >= 0.3


def test_a_process_that_is_gone_has_nothing_known_of_it() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert usage_of([process.pid, os.getpid()])[process.pid] == Usage()


def test_a_process_that_vanishes_while_it_is_looked_at_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The table of processes still has it as a child, then nobody knows it."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    real = usage._processes()
    stale = (ended.pid, os.getpid(), os.getpgrp())
    monkeypatch.setattr(usage, "_processes", lambda: [*real, stale])
    assert usage_of([os.getpid()])[os.getpid()].cpu_s is not None
    assert anonymous_bytes([os.getpgrp()])[os.getpgrp()] > 0


def test_what_a_process_may_not_be_asked_is_none_and_spoils_only_its_own_sum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_process: psutil.Process) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "io_counters", refused)
    used = usage_of([os.getpid()])[os.getpid()]
    assert used.disk_read_bytes is None
    assert used.disk_write_bytes is None
    assert used.memory_bytes is not None


def test_memory_of_a_group_is_its_own_pages_not_shared_ones() -> None:
    fill = (
        "import os, mmap\nfd = os.memfd_create('arena'); os.ftruncate(fd, 64 << 20)\n"
        "shared = mmap.mmap(fd, 64 << 20); shared[:] = b'x' * (64 << 20)\n"
    )
    child = "import subprocess, sys\nown = b'x' * (40 << 20)\n"
    with running(fill + child + UV, child + THEN_WAIT) as process:
        own = anonymous_bytes([process.pid])[process.pid]
        used = usage_of([process.pid])[process.pid]
    assert 80 << 20 < own < 144 << 20
    assert used.memory_bytes is not None
    assert used.memory_bytes > own + (64 << 20)


def test_a_group_that_is_gone_uses_no_memory() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], process_group=0)
    process.wait()
    assert anonymous_bytes([process.pid]) == {process.pid: 0}

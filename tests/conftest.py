"""What every test is held to: nothing is left behind, neither process nor file.

A test that starts processes finds them by an environment variable that they inherit, also when they
were orphaned. A process that is already dying has a moment to be gone.
"""

from __future__ import annotations

import os
import select
import signal
import tempfile
import time
import uuid
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "DORA_TEST_MARK"
"""Names the test that a process was started by."""

PLACES = (("/dev/shm", "*"), ("/tmp", "dora-[0-9]*"))
"""Where no test may leave a file."""

OTHERS = ("sem.mp-*", "*.zenoh", "playwright*", ".org.chromium.*")
"""Files there that are not dora's: of programs that may be at work meanwhile."""

DYING_S = 20.0
"""How long a process may take to be gone after its test has ended."""


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Fails a test that leaves processes, shared memory or temporary files behind."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("DORA_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    # No test sees, or is seen by, what else this user runs.
    monkeypatch.setenv("DORA_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    before, files = _processes(), _files()
    yield
    deadline = time.monotonic() + DYING_S
    started = _marked(mark, before) | (_children(os.getpid()) - before - _helpers())
    left = {pid: _command(pid) for pid in started if not _gone_by(pid, deadline)}
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"processes left behind: {left}"
    kept = {path for path in temporary.iterdir() if path.name != ".ses"}  # ONNX Runtime's
    new = (_files() - files) | kept
    assert not new, f"files left behind: {sorted(map(str, new))}"


def _processes() -> set[int]:
    return {int(folder.name) for folder in Path("/proc").glob("[0-9]*")}


def _marked(mark: str, before: set[int]) -> set[int]:
    """New processes that inherited the mark."""
    entry = f"{MARK}={mark}".encode()
    return {pid for pid in _processes() - before if entry in _environment(pid)}


def _environment(pid: int) -> list[bytes]:
    """What a process was started with; nothing if it is gone, or another user's."""
    for _ in range(1000):
        try:
            content = Path(f"/proc/{pid}/environ").read_bytes()
            Path(f"/proc/{pid}/exe").readlink()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return []
        if content:
            return content.split(b"\0")
        os.sched_yield()  # in the midst of an exec it has none for a moment
    return []


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except FileNotFoundError:
            continue  # the thread has ended
    return found


def _helpers() -> set[int]:
    """Processes that `multiprocessing` keeps for itself until the interpreter ends."""
    trackers = (resource_tracker._resource_tracker._pid, forkserver._forkserver._forkserver_pid)  # type: ignore[attr-defined]
    return {pid for pid in trackers if pid is not None}


def _gone_by(pid: int, deadline: float) -> bool:
    """Whether the process ends before the deadline; one that only waits to be reaped has ended."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        wait_ms = max(0.0, deadline - time.monotonic()) * 1000
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        return bool(poll.poll(wait_ms))
    finally:
        os.close(watched)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except FileNotFoundError:
        return "?"


def _files() -> set[Path]:
    """This user's entries where shared memory and sockets of dataflows could lie."""
    found = set()
    for path in [path for folder, name in PLACES for path in Path(folder).glob(name)]:
        if any(map(path.match, OTHERS)):
            continue
        try:
            if path.lstat().st_uid == os.getuid():
                found.add(path)
        except FileNotFoundError:
            continue
    return found

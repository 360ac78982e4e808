"""Starting the background daemon: detached from the terminal, its words in a file, one at a time.

The address is the lock: of two daemons that come up at once, the kernel gives it to one, and the
other's parent finds that one. Nothing is to be cleaned up after a daemon that was killed.

Elsewhere: what the process does (`background.daemon`), the command (`cli.daemon_commands`).
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from dora.background.places import LOG, READY, TAKEN, folder_of
from dora.client import DaemonClient
from dora.errors import DoraError
from dora.transport import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dora.wire.background import Daemon

_UP_WITHIN_S = 30.0
_TAIL_BYTES = 2000


def bring_up(*, recreate_store: bool, warn: Callable[[str], None]) -> tuple[Daemon, bool]:
    """See to it that this checkout has a background daemon.

    Args:
        recreate_store: Put the state of earlier daemons away first.
        warn: Is told what works worse than it should.

    Returns:
        The daemon, and whether it was started just now.

    Raises:
        DoraError: it did not come up; the message says why.
    """
    address = endpoint.daemon_address(endpoint.checkout())
    there = _answering(address)
    if there is not None:
        if recreate_store:
            raise DoraError(
                f"the background daemon (pid {there.pid}) is using its store; `dora down` first"
            )
        return there, False
    folder = folder_of(address)
    said = _start(folder, recreate_store, warn)
    up = _answering(address) if said in (READY, TAKEN) else None
    if up is None:
        told = said.decode(errors="replace") or f"it ended at once:\n{_tail(folder / LOG)}"
        raise DoraError(f"the background daemon did not come up: {told}")
    return up, said == READY


def replace_daemon() -> Daemon | None:
    """Have the running daemon become that of this version, without stopping a node.

    Returns:
        The new one, in the process of the old; None if none was running.

    Raises:
        DoraError: it cannot, and goes on as it was.
    """
    address = endpoint.daemon_address(endpoint.checkout())
    try:
        client = DaemonClient(address)
    except OSError:
        return None
    with client:
        before = client.daemon
        client.hand_over(_command(), dict(os.environ))
    after = _answering(address)
    if after is None or after.pid != before.pid:
        raise DoraError(f"the background daemon (pid {before.pid}) ended while it was replaced")
    return after


def _command() -> list[str]:
    return [sys.executable, "-P", "-m", "dora.background"]


def _answering(address: str) -> Daemon | None:
    """The daemon that listens there, if one does."""
    try:
        with DaemonClient(address) as client:
            return client.daemon
    except OSError:
        return None


def _start(folder: Path, recreate_store: bool, warn: Callable[[str], None]) -> bytes:
    """Start the process; what it says of how it came up."""
    flags = ["--recreate-store"] if recreate_store else []
    read, write = os.pipe()
    log = _open_log(folder, warn)
    try:
        process = subprocess.Popen(
            [*_command(), str(write), *flags],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(write,),
        )
        process.returncode = 0  # it outlives this process: Popen is not to miss it
    finally:
        os.close(log)
        os.close(write)
    deadline_s = time.monotonic() + _UP_WITHIN_S
    said = b""
    with open(read, "rb", buffering=0) as pipe:
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([pipe], [], [], left_s)[0]:
                return f"it said nothing within {_UP_WITHIN_S:g} s".encode()
            if not (piece := pipe.read(4096)):
                return said
            said += piece


def _open_log(folder: Path, warn: Callable[[str], None]) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        warn(
            f"`{folder}` cannot be written ({exc.strerror}): the daemon will have no log, and what "
            "it knows will not outlive it; `DORA_STATE_DIR` names another folder"
        )
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _tail(log: Path) -> str:
    try:
        return log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
    except OSError:
        return "(it has no log)"

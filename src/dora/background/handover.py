"""`dora up --replace`: the daemon's process becomes another program, and its nodes notice nothing.

The process saves what it knows into memory without a name, and executes the new program in its
own place. So its children stay its children, and every pipe, socket and lifeline stays open;
messages go from node to node meanwhile. Before that, the new program is asked whether it
understands what was saved: one that does not is refused, and the old one goes on.

Elsewhere: what is saved of a dataflow (`daemon.saved`), the daemon (`background.daemon`).
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import msgspec

from dora.daemon.saved import (  # msgspec reads the others
    FORMAT,
    SavedDataflow,
    SavedLink,
    SavedListener,
    descriptors_of,
)
from dora.descriptor.packing import pack, unpack
from dora.errors import DoraError
from dora.version import VERSION
from dora.wire.background import PackedPlan, Run  # noqa: TC001
from dora.wire.messages import PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CHECK_WITHIN_S = 30.0
_KEPT = ("DORA_RUNTIME_DIR", "DORA_STATE_DIR", "XDG_STATE_HOME", "HOME")
"""Variables that say where the daemon is found: the new one must be found there too."""


class SavedRun(msgspec.Struct, frozen=True):
    """A dataflow that runs."""

    run: Run
    packed: PackedPlan
    dataflow: SavedDataflow


class SavedDaemon(msgspec.Struct, frozen=True):
    """All that a daemon knows."""

    format: int
    protocol: int
    version: str
    started_ns: int
    listener: SavedListener
    runs: list[SavedRun]
    clients: list[SavedLink] = []
    """Connections of commands; they go on with whoever takes over."""


def saved_daemon(
    started_ns: int, listener: SavedListener, runs: list[SavedRun], clients: list[SavedLink]
) -> SavedDaemon:
    """What this version saves."""
    return SavedDaemon(FORMAT, PROTOCOL, VERSION, started_ns, listener, runs, clients)


def check(argv: list[str], env: Mapping[str, str], saved: SavedDaemon) -> None:
    """Ask the new program whether it understands what would be handed over.

    Raises:
        DoraError: it does not, or does not even start.
    """
    if not argv or not all(argv):
        raise DoraError("name a program to become, and no empty words")
    fd = _written(saved)
    try:
        ran = subprocess.run(
            [*argv, "--check", str(fd)],
            env=_environment(env),
            pass_fds=(fd,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CHECK_WITHIN_S,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as exc:
        raise DoraError(f"`{argv[0]}` cannot take over: {exc}; the old daemon goes on") from exc
    finally:
        os.close(fd)
    if ran.returncode:
        told = ran.stderr.strip() or f"it ended with status {ran.returncode}"
        raise DoraError(f"`{argv[0]}` cannot take over: {told}\nthe old daemon goes on")


def become(
    argv: list[str], env: Mapping[str, str], saved: SavedDaemon, ready: Callable[[], None]
) -> None:
    """Become the new program; returns only by an exception.

    Args:
        argv: Its command.
        env: Its environment.
        saved: What it takes over.
        ready: Called at the last moment.

    Raises:
        OSError: it cannot be executed; nothing was given up.
    """
    fd = _written(saved)
    fds = [fd, *_descriptors(saved)]
    ready()
    for one in fds:
        os.set_inheritable(one, True)
    try:
        os.execve(argv[0], [*argv, "--resume", str(fd)], _environment(env))
    except OSError:
        for one in fds:
            os.set_inheritable(one, False)
        os.close(fd)
        raise


def read_saved(fd: int) -> SavedDaemon:
    """What an earlier program saved; closes `fd`.

    Raises:
        DoraError: this version cannot read it.
    """
    with open(fd, "rb") as file:
        file.seek(0)
        raw = file.read()
    try:
        head = msgspec.msgpack.decode(raw, type=_Head)
    except msgspec.MsgspecError as exc:
        raise DoraError(f"that is nothing a daemon has saved: {exc}") from exc
    if (head.format, head.protocol) != (FORMAT, PROTOCOL):
        raise DoraError(
            f"dora {head.version} saves format {head.format} and speaks control protocol "
            f"{head.protocol}, dora {VERSION} reads format {FORMAT} and speaks {PROTOCOL}: stop "
            "the dataflows, then `dora down` and `dora up`"
        )
    return unpack(raw, SavedDaemon, "saved state")


def keep_from_nodes(saved: SavedDaemon) -> None:
    """See to it that no process started from here on inherits what was taken over."""
    for fd in _descriptors(saved):
        os.set_inheritable(fd, False)


def _descriptors(saved: SavedDaemon) -> list[int]:
    """Every descriptor that goes over."""
    fds = [*saved.listener.fds, *(link.fd for link in saved.clients)]
    for run in saved.runs:
        fds += descriptors_of(run.dataflow)
    return fds


class _Head(msgspec.Struct, frozen=True):
    format: int
    protocol: int
    version: str


def _written(saved: SavedDaemon) -> int:
    fd = os.memfd_create("dora handover", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(pack(saved))
    return fd


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    own = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {name: value for name, value in env.items() if name not in _KEPT} | own

"""Whether this machine can run dataflows: one finding for each thing that they need.

`PASS` is as it should be; `WARN` works, but for what is told; `FAIL` keeps dataflows from running.

Used by `cli.health_commands`. Elsewhere: what a dataflow file may hold (`descriptor`), what one
dataflow takes of the limits (`daemon.limits`).
"""

from __future__ import annotations

import os
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from dora import client
from dora.errors import DoraError
from dora.transport import endpoint
from dora.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dora.wire.background import Daemon

ENOUGH_DESCRIPTORS = 4096
"""A dataflow of 200 nodes and 500 edges gets by with so many."""
ENOUGH_PIPE_PAGES = 16384
"""What Linux grants a user unless somebody changed it."""
ENOUGH_PIPE_BYTES = 1 << 20
_QUEUE = 10
"""The default `queue_size`."""


class Finding(NamedTuple):
    """What one check found."""

    level: Literal["PASS", "WARN", "FAIL"]
    subject: str
    told: str


class Background(NamedTuple):
    """The background daemon, as far as it answers."""

    address: str
    """Where it listens, or would."""
    daemon: Daemon | None = None
    refusal: str = ""
    """Why one that listens does not answer."""

    @property
    def listens(self) -> bool:
        """Whether there is one, be it of another version."""
        return self.daemon is not None or bool(self.refusal)

    @property
    def started(self) -> str:
        """When it was started, ISO 8601 in UTC; empty if there is none."""
        if self.daemon is None:
            return ""
        when = datetime.fromtimestamp(self.daemon.started_ns // 10**9, UTC)
        return when.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def described(self) -> str:
        """The daemon in a few words; empty if there is none."""
        if self.daemon is None:
            return ""
        return f"pid {self.daemon.pid}, dora {self.daemon.version}, since {self.started}"


def ask_background() -> Background:
    """Ask the background daemon of this project who it is."""
    address = endpoint.daemon_address(endpoint.checkout())
    try:
        with client.DaemonClient(address) as connected:
            return Background(address, connected.daemon)
    except DoraError as exc:
        return Background(address, refusal=f"the background daemon at `{address}`: {exc}")
    except OSError:
        return Background(address)


def validated(flow: Path) -> str:
    """Check a dataflow file; what to tell of one without mistakes.

    Raises:
        DoraError: it has mistakes, or cannot be read.
    """
    from dora.descriptor.planner import load_plan

    plan = load_plan(flow, environ=os.environ, allow_shell=True, before_build=True)
    warnings = "".join(f"; {warning}" for warning in plan.all_warnings)
    return f"{flow} OK{warnings}"


def examine(flow: Path | None) -> Iterator[Finding]:
    """Check everything, one after the other; with a dataflow file, that too."""
    yield _version()
    yield Finding("PASS", "Python", f"{sys.version.split()[0]}, {sys.executable}")
    yield _values()
    yield _memory()
    yield judge_descriptors(*resource.getrlimit(resource.RLIMIT_NOFILE))
    yield _pipes()
    yield judge_pipes(_kernel("pipe-user-pages-soft"), _kernel("pipe-max-size"))
    yield _uv()
    yield _runtime_dir()
    background = _background()
    yield background
    yield _state_dir()
    yield from _dataflows()
    if flow is not None:
        yield _file(flow)


def judge_descriptors(soft: int, hard: int) -> Finding:
    """Whether a process may open enough files; dora itself raises `soft` as far as `hard`."""
    most = "any number" if hard == resource.RLIM_INFINITY else f"{hard}"
    told = f"{most} for a process (`ulimit -Hn`)"
    if hard != resource.RLIM_INFINITY and hard < ENOUGH_DESCRIPTORS:
        told += f", {soft} now: few for large dataflows, which take 10 for a node, 4 for an edge"
        return Finding("WARN", "File descriptors", told)
    return Finding("PASS", "File descriptors", told)


def judge_pipes(pages: int | None, most_bytes: int | None) -> Finding:
    """Whether the kernel grants a user enough for the queues of large dataflows."""
    if pages is None or most_bytes is None:
        return Finding("WARN", "Pipe limits", "/proc/sys/fs cannot be read")
    told = f"{pages or 'any number of'} pages for a user, {most_bytes} bytes for a pipe"
    short = []
    if 0 < pages < ENOUGH_PIPE_PAGES:
        short.append(f"fs.pipe-user-pages-soft={ENOUGH_PIPE_PAGES}")
    if most_bytes < ENOUGH_PIPE_BYTES:
        short.append(f"fs.pipe-max-size={ENOUGH_PIPE_BYTES}")
    if short:
        mend = f"; queues of large dataflows may come out smaller: `sysctl -w {' '.join(short)}`"
        return Finding("WARN", "Pipe limits", told + mend)
    return Finding("PASS", "Pipe limits", told)


def _version() -> Finding:
    from dora.cli.intact import check_intact

    try:
        check_intact()
    except DoraError as exc:
        return Finding("FAIL", "CLI version", str(exc))
    return Finding("PASS", "CLI version", VERSION)


def _values() -> Finding:
    """Import what values are made of, as nodes do."""
    subject = "NumPy and pyarrow"
    try:
        import numpy as np
        import pyarrow as pa

        pa.array(np.zeros(1))
    except Exception as exc:  # a broken installation raises whatever it likes
        told = f"cannot be used: {exc}; `pip install --force-reinstall numpy pyarrow`"
        return Finding("FAIL", subject, told)
    return Finding("PASS", subject, f"NumPy {np.__version__}, pyarrow {pa.__version__}")


def _memory() -> Finding:
    """Make shared memory, and open it again as receivers do."""
    from dora.transport.arena import create_memory, reopen_read_only

    try:
        memory = create_memory("dora-doctor", 1 << 30)
        try:
            os.pwrite(memory, b"x", 0)
            os.close(reopen_read_only(memory))
        finally:
            os.close(memory)
    except OSError as exc:
        return Finding("FAIL", "Shared memory", f"memfd does not work here: {exc.strerror}")
    return Finding("PASS", "Shared memory", "memfd works; /dev/shm is not used")


def _pipes() -> Finding:
    """Open the queue of one input, as a dataflow does now."""
    from dora.transport.edge import close_pipes, open_pipes

    try:
        pipes = open_pipes(_QUEUE)
    except OSError as exc:
        return Finding("FAIL", "Queues", f"no pipe can be opened: {exc.strerror}")
    close_pipes(pipes)
    if pipes.queue_size < _QUEUE:
        told = (
            f"a queue of {_QUEUE} gets {pipes.queue_size} places: your processes hold as many pipe "
            "pages as a user may; stop dataflows, or raise fs.pipe-user-pages-soft"
        )
        return Finding("WARN", "Queues", told)
    return Finding("PASS", "Queues", f"a queue of {_QUEUE} gets its pipe")


def _kernel(name: str) -> int | None:
    """A setting of the kernel about files; None where it cannot be read."""
    try:
        return int(Path("/proc/sys/fs", name).read_text())
    except OSError:
        return None


def _uv() -> Finding:
    from dora.descriptor.interpreter import find_uv

    if found := find_uv(os.environ):
        return Finding("PASS", "uv", found)
    told = "not installed: `--uv` will fail, and nothing else; `pip install uv`"
    return Finding("WARN", "uv", told)


def _runtime_dir() -> Finding:
    subject = "Runtime directory"
    try:
        folder = endpoint.runtime_dir()
        endpoint.listening()
    except DoraError as exc:
        return Finding("FAIL", subject, str(exc))
    except OSError as exc:
        return Finding("FAIL", subject, f"running dataflows cannot be found: {exc}")
    if folder is None:
        told = f"none is needed ({endpoint.VARIABLE} is not set): sockets have no files"
        return Finding("PASS", subject, told)
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("FAIL", subject, f"{folder} cannot be written; `chmod 700 {folder}`")
    return Finding("PASS", subject, f"{folder}, from {endpoint.VARIABLE}")


def _background() -> Finding:
    subject = "Background daemon"
    try:
        found = ask_background()
    except DoraError as exc:  # told of the runtime directory already
        return Finding("FAIL", subject, str(exc))
    if found.refusal:
        return Finding("FAIL", subject, found.refusal)
    if found.daemon is None:
        told = "not running; `dora up` starts it, `dora run` does without"
        return Finding("WARN", subject, told)
    return Finding("PASS", subject, f"{found.described}, {found.daemon.running} dataflows")


def _state_dir() -> Finding:
    """Whether the background daemon can keep what outlives it; it makes the folder itself."""
    folder = _state_folder()
    there = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding("PASS", "State directory", str(folder))
    told = f"{folder} cannot be written, as `{there}` cannot: `dora up` would fail"
    return Finding("WARN", "State directory", told)


def _state_folder() -> Path:
    """`DORA_STATE_DIR`, else `$XDG_STATE_HOME/dora`, else `~/.local/state/dora`."""
    if told := os.environ.get("DORA_STATE_DIR"):
        return Path(told).absolute()
    if (base := os.environ.get("XDG_STATE_HOME")) and os.path.isabs(base):
        return Path(base, "dora")
    return Path(os.path.expanduser("~"), ".local", "state", "dora")


def _dataflows() -> Iterator[Finding]:
    """All of this user's, one finding for each that does not answer."""
    running = []
    try:
        addresses = endpoint.running()
    except (DoraError, OSError):
        return  # told of the runtime directory already
    for address in addresses:
        try:
            with client.Client(address) as connected:
                running.append(connected.dataflow)
        except DoraError as exc:
            yield Finding("WARN", "Dataflow", f"{endpoint.name_of(address)}: {exc}")
        except OSError:
            continue  # it has just ended
    names = "".join(f", {flow.name}" for flow in running)
    yield Finding("PASS", "Dataflows", f"{len(running)} running{names}")


def _file(flow: Path) -> Finding:
    subject = "Dataflow validation"
    try:
        return Finding("PASS", subject, validated(flow))
    except DoraError as exc:
        return Finding("FAIL", subject, f"{flow} FAILED:\n{exc}")

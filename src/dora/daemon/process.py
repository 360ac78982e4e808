"""One node's operating system process: its own group, its output pipes, its end.

Nothing of a node outlives it or its daemon:

* the **lifeline** is a pipe whose write end only the daemon has. Its read end, which the node
  inherits, is armed so that the kernel sends SIGKILL to the node's process group when the write end
  closes, that is when the daemon dies, however it dies. No polling, no help from the node's code.
  (A program that closes every descriptor it inherited cuts its own lifeline. A node among such
  programs still ends by itself when its control socket does.) A program that is no Python node is
  armed before its first instruction: whatever moment the daemon dies in, it ends. One that is
  becomes armed a moment later, which is quicker, and ends at `Node()` if its daemon is gone.
* when the node exits, the rest of its process group is killed before it is reaped. (A process that
  moved to another session has left the group.)

Elsewhere: when to spawn and to signal (`daemon.supervisor`), what the pipes bring (`daemon.logs`).
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from dora.daemon.saved import SavedProcess


class NodeProcess:
    """A running process; owns its pidfd, the read ends of its pipes and its lifeline.

    Args:
        argv: The command, resolved.
        cwd: Where it runs.
        env: Its whole environment.

    Raises:
        OSError: it could not be started.
    """

    def __init__(self, argv: tuple[str, ...], cwd: Path, env: Mapping[str, str]) -> None:
        started: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        ours: list[int] = []
        theirs: list[int] = []
        try:
            for _ in range(2):
                read, write = os.pipe()
                ours.append(read)
                theirs.append(write)
            inherited, self._lifeline = os.pipe()
            ours.append(self._lifeline)
            theirs.append(inherited)
            self.started_s = time.monotonic()
            is_python = os.path.basename(argv[0]).startswith("python")
            started = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=theirs[0],
                stderr=theirs[1],
                pass_fds=(inherited,),
                process_group=0,
                preexec_fn=None if is_python else lambda: arm(inherited, os.getpid()),
            )
            self._process = started
            self.pid = started.pid
            self.pidfd = os.pidfd_open(self.pid)
            arm(inherited, self.pid)
        except BaseException:
            for fd in ours:
                os.close(fd)
            if started is not None:  # it runs, but could not be taken charge of
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        self.stdout, self.stderr = ours[:2]
        os.set_blocking(self.stdout, False)
        os.set_blocking(self.stderr, False)
        self._reaped = False
        self.returncode = 0
        """Once it was reaped: its exit status, or the signal's number, negative."""

    @classmethod
    def resumed(cls, saved: SavedProcess) -> NodeProcess:
        """A child that an earlier program of this process started; takes its descriptors over."""
        process = cls.__new__(cls)
        process._process = None
        process.pid, process.pidfd = saved.pid, saved.pidfd
        process.stdout, process.stderr = saved.stdout, saved.stderr
        process._lifeline = saved.lifeline
        process.started_s = saved.started_s
        process._reaped = False
        process.returncode = 0
        return process

    @property
    def lifeline(self) -> int:
        """The end of the pipe whose closing ends the node."""
        return self._lifeline

    def pin(self, cores: Iterable[int]) -> None:
        """Let it run on these cores only.

        Raises:
            OSError: the machine has none of them.
        """
        os.sched_setaffinity(self.pid, cores)

    def set_nice(self, nice: int) -> None:
        """Set the priority of its group: -20, the highest, to 19.

        Raises:
            OSError: this user may not set it so.
        """
        os.setpriority(os.PRIO_PGRP, self.pid, nice)

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the process and all that are still in its group."""
        if self._reaped:
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return  # the leader is a zombie and the group has no other member

    def reap(self) -> int:
        """Take the exit status of a process that has ended, and kill what it left in its group.

        Returns:
            The exit status, or the signal's number, negative.
        """
        self.signal_group(signal.SIGKILL)
        ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        assert ended is not None
        self._reaped = True
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        self.returncode = code
        if self._process is not None:
            self._process.returncode = code  # so that Popen does not miss its process
        os.close(self.pidfd)
        self.pidfd = -1
        os.close(self._lifeline)
        return code

    def end(self) -> None:
        """Kill it with its group, reap it, give all up."""
        self.signal_group(signal.SIGKILL)
        self.reap()
        for stream in ("stdout", "stderr"):
            self.close_output(stream)

    def close_output(self, stream: str) -> None:
        """Read nothing more from `stdout` or `stderr`; twice is fine."""
        fd: int = getattr(self, stream)
        if fd >= 0:
            os.close(fd)
            setattr(self, stream, -1)


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal or a debugger; False if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            state = stat.read().rpartition(b") ")[2][:1]
    except OSError:
        return False
    return state in (b"T", b"t")


def arm(lifeline_read: int, group: int) -> None:
    """Have the kernel kill a process group when the last write end of a pipe closes."""
    fcntl.fcntl(lifeline_read, fcntl.F_SETOWN, -group)
    fcntl.fcntl(lifeline_read, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(lifeline_read, fcntl.F_GETFL)
    fcntl.fcntl(lifeline_read, fcntl.F_SETFL, flags | os.O_ASYNC)

"""Running one command of a build: its lines as they come, its end, its failure in words.

Owns the processes it starts: `Runner.stop()` ends those that still run, from any thread, and by
force those that do not heed it.

Used by all of `building` that starts programs. Elsewhere: which command (`building.pip_lines`).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections import deque
from typing import TYPE_CHECKING

from dora.errors import DoraError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_LAST_LINES = 10
_GRACE_S = 5.0


class BuildError(DoraError):
    """A node could not be built."""


class Runner:
    """Runs commands, each in a process group of its own, until it is told to stop.

    Args:
        grace_s: How long after SIGTERM what still runs gets SIGKILL.
    """

    def __init__(self, grace_s: float = _GRACE_S) -> None:
        self._grace_s = grace_s
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        *,
        who: str,
        shown: str | None = None,
        on_line: Callable[[str], None] = lambda _line: None,
    ) -> list[str]:
        """Run a command to its end.

        Args:
            argv: The command.
            cwd: Where it runs.
            env: Its whole environment.
            who: Whose command it is, as the error begins.
            shown: The command as the user wrote it.
            on_line: Takes each line that it prints, on either stream.

        Returns:
            The last lines that it printed.

        Raises:
            BuildError: it cannot be run, or it failed.
        """
        line = shown or shlex.join(argv)
        try:
            process = self._start(argv, cwd, env)
        except OSError as exc:
            missing = exc.filename or argv[0]
            raise BuildError(f"{who} `{line}` cannot be run: {exc.strerror}: `{missing}`") from exc
        last: deque[str] = deque(maxlen=_LAST_LINES)
        assert process.stdout is not None
        try:
            with process.stdout:
                for raw in process.stdout:
                    text = raw.decode(errors="replace").rstrip("\r\n")
                    last.append(text)
                    on_line(text)
            process.wait()
        except BaseException:
            self.stop()  # Before the wait: nobody reads what it prints, so it may never end.
            process.wait()
            raise
        finally:
            with self._lock:
                self._running.discard(process)
        if process.returncode != 0:
            raise BuildError(_failure(who, line, process.returncode, list(last)))
        return list(last)

    def stop(self) -> None:
        """End what runs, and start nothing more. Does not wait for the ends."""
        with self._lock:
            self._stopped = True
            if not self._running:
                return
        self._signal(signal.SIGTERM)
        last_resort = threading.Timer(self._grace_s, self._signal, [signal.SIGKILL])
        last_resort.daemon = True
        last_resort.start()

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)

    def _start(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise BuildError("the build was stopped")
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            self._running.add(process)
        return process


def _failure(who: str, line: str, status: int, last: list[str]) -> str:
    how = f"exited with status {status}" if status > 0 else f"was ended by signal {-status}"
    told = f"{who} `{line}` {how}"
    if not last:
        return f"{told}; it printed nothing"
    return "\n".join([f"{told}; its last lines:", *(f"  {text}" for text in last)])

"""The record button: one recording of a dataflow, made by `dora record --attach` as a child.

It is stopped as Ctrl-C stops it, so that its file is finished. Like nodes it hangs on a lifeline:
when the server is killed, so is it, and a recording that was cut off still opens.

Used from the event loop only. Elsewhere: recording (`dora.recording`), who presses it
(`web.browser`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dora.daemon.process import arm
from dora.errors import DoraError
from dora.web.watching import encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.wire.visits import Dataflow

_TELL_EVERY_S = 1.0
_UP_WITHIN_S = 20.0
_END_WITHIN_S = 20.0
_TAIL_CHARS = 2000
_COLUMNS = 200
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What moves the cursor of a terminal, and colours."""
_MESSAGES = re.compile(r"([\d,]+) messages?\b")
_NOT_OF_A_NAME = re.compile(r"[^\w.-]+")


class Recorder:
    """Records one dataflow, once at a time.

    Args:
        flow: Which.
        folder: Where files go.
        command: What records, before `--attach`.
    """

    def __init__(
        self,
        flow: Dataflow,
        folder: Path,
        command: tuple[str, ...] = (sys.executable, "-P", "-m", "dora", "record"),
    ) -> None:
        self._flow = flow
        self._folder = folder
        self._command = command
        self._listeners: list[Callable[[str], None]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._starting = False
        self._watching: asyncio.Task[None] | None = None
        self._file = Path()
        self._started_s = 0.0
        self._terminal = -1
        self._said = ""

    def join(self, listener: Callable[[str], None]) -> None:
        """Tell a listener how the recording goes, now and whenever that changes."""
        self._listeners.append(listener)
        listener(self._frame())

    def leave(self, listener: Callable[[str], None]) -> None:
        """Tell it nothing more; twice is fine."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def start(self) -> str:
        """Start to record; what there is to say about it.

        Raises:
            DoraError: it is recorded already, or cannot be; the message says why.
        """
        if self._starting or self._process is not None:
            raise DoraError(f"`{self._flow.name}` is being recorded already")
        name = _NOT_OF_A_NAME.sub("-", self._flow.name)
        self._file = self._folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.mcap"
        self._said, self._started_s = "", time.monotonic()
        self._starting = True  # two pages may ask at once, and a child takes a while
        try:
            process, lifeline = await self._spawn()
        finally:
            self._starting = False
        self._process = process
        self._watching = asyncio.create_task(self._watch(process, lifeline))
        deadline_s = time.monotonic() + _UP_WITHIN_S
        while not self._file.exists() and time.monotonic() < deadline_s:
            done, _ = await asyncio.wait([self._watching], timeout=0.1)
            if done and not self._file.exists():
                raise DoraError(self._last_words() or f"it ended at once ({process.returncode})")
        self._tell()
        return f"recording to {self._file}"

    async def stop(self) -> str:
        """Finish the file; what there is to say about it.

        Raises:
            DoraError: nothing is being recorded.
        """
        if self._process is None or self._watching is None:
            raise DoraError(f"`{self._flow.name}` is not being recorded")
        watching, process = self._watching, self._process
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            done, _ = await asyncio.wait([watching], timeout=_END_WITHIN_S)
            if done:
                break
        return self._last_words().rpartition("\n")[2] or f"recorded to {self._file}"

    @property
    def running(self) -> bool:
        """Whether it records."""
        return self._process is not None

    async def _spawn(self) -> tuple[asyncio.subprocess.Process, int]:
        """Start it, at a terminal of its own: there it says how far it is."""
        inherited, lifeline = os.pipe()
        self._terminal, theirs = os.openpty()
        try:
            os.set_blocking(self._terminal, False)
            termios.tcsetwinsize(theirs, (24, _COLUMNS))
            process = await asyncio.create_subprocess_exec(
                *self._command,
                "--attach",
                self._flow.id,
                "-o",
                str(self._file),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                pass_fds=(inherited,),
                process_group=0,
            )
            arm(inherited, process.pid)
        except BaseException:
            os.close(lifeline)
            os.close(self._terminal)
            raise
        finally:
            os.close(inherited)
            os.close(theirs)
        return process, lifeline

    async def _watch(self, process: asyncio.subprocess.Process, lifeline: int) -> None:
        """Hear what it says, and tell, until it ends."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._terminal, self._hear)
        ending = asyncio.create_task(process.wait())
        try:
            while not ending.done():
                await asyncio.wait([ending], timeout=_TELL_EVERY_S)
                self._tell()
        finally:
            ending.cancel()
            self._hear()
            loop.remove_reader(self._terminal)
            os.close(self._terminal)
            os.close(lifeline)  # kills what is left of it
            self._process = None
            self._tell()

    def _hear(self) -> None:
        try:
            data = os.read(self._terminal, 1 << 16)
        except OSError:  # nobody is at the other end any more
            asyncio.get_running_loop().remove_reader(self._terminal)
            return
        text = _CONTROL.sub("", data.decode(errors="replace"))
        self._said = (self._said + text)[-_TAIL_CHARS:]

    def _tell(self) -> None:
        frame = self._frame()
        for listener in list(self._listeners):
            listener(frame)

    def _frame(self) -> str:
        counts = _MESSAGES.findall(self._said)
        told: dict[str, Any] = {
            "flow": self._flow.id,
            "running": self.running,
            "file": str(self._file),
            "seconds": round(time.monotonic() - self._started_s) if self.running else 0,
            "bytes": self._bytes() if self.running else 0,
            "messages": int(counts[-1].replace(",", "")) if counts else None,
        }
        return encoded("recorder", told)

    def _bytes(self) -> int:
        try:
            return self._file.stat().st_size
        except OSError:
            return 0

    def _last_words(self) -> str:
        lines = [line.strip() for line in re.split(r"[\r\n]+", self._said) if line.strip()]
        return "\n".join(lines[-5:])

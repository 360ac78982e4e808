"""Where a node's Python stack comes from: its process is signalled, and writes it into a pipe.

The process has `faulthandler` answer the signal (`node.session`), which works whatever the process
does: computing, waiting for a lock, stuck in foreign code. It is asked only once it has joined and
as long as it holds the pipe; the signal would end a process that does not expect it, or another
that has its number now. The pipe is always read: a dump that nobody waits for must not fill it.

Owns the reading end of each node's pipe. Elsewhere: who asks (`daemon.visitors`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dora.errors import DoraError
from dora.wire.messages import STACK_SIGNAL

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from dora.daemon.callbacks import Loop

_ANSWER_WITHIN_S = 3.0
_QUIET_S = 0.1
"""The dump has no end mark: it has ended when its last thread is there and nothing follows."""
_LAST_THREAD = b"Current thread "
_READ_BYTES = 1 << 16


class StackPipe:
    """One process's pipe: read here, written to by its `faulthandler`. `close()` twice is fine."""

    def __init__(self, loop: Loop, pid: int, read_fd: int) -> None:
        self._loop = loop
        self.pid = pid
        """0 for a process out of this one's sight, which cannot be asked."""
        self._fd = read_fd
        os.set_blocking(read_fd, False)
        self._text = bytearray()
        self._waiting: list[Callable[[str | DoraError], None]] = []
        self._quiet: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._asked = False
        """Whether it was signalled and has written nothing since: it will, when it goes on."""
        self._ended = False
        """Whether nobody holds the other end any more."""
        loop.add_reader(read_fd, self._read)

    def ask(self, answer: Callable[[str | DoraError], None]) -> None:
        """Call `answer` with the stack of all threads, or with why there is none.

        Who asks while an answer is under way shares it.
        """
        if not self._waiting:
            while self._read():  # what came too late
                pass
        if self._ended:
            answer(DoraError(f"its process {self.pid} is gone"))
            return
        if not self.pid:  # which would be our own group
            answer(DoraError("its process is in another container, beyond the daemon's sight"))
            return
        self._waiting.append(answer)
        if len(self._waiting) > 1:
            return
        self._text.clear()
        self._deadline = self._loop.call_later(_ANSWER_WITHIN_S, self._give_up)
        if not self._asked:
            try:
                os.kill(self.pid, STACK_SIGNAL)
                self._asked = True
            except ProcessLookupError:  # a child of it holds the pipe
                self._finish(DoraError(f"its process {self.pid} is gone"))

    def fileno(self) -> int:
        """The read end, -1 once it is given up."""
        return self._fd

    def close(self) -> None:
        """Give up the pipe; who waits is told."""
        if self._fd < 0:
            return
        self._finish(DoraError("the node ended"))
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1

    def _read(self) -> bool:
        """Take in one piece; whether there was any."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._ended = True
            self._loop.remove_reader(self._fd)
            self._finish(DoraError(f"its process {self.pid} has just ended"))
            return False
        self._asked = False
        if self._waiting:
            self._note(data)
        return True

    def _note(self, data: bytes) -> None:
        self._text += data
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        if _LAST_THREAD in self._text:
            self._quiet = self._loop.call_later(_QUIET_S, self._finish, self._text)

    def _give_up(self) -> None:
        if self._text:
            self._finish(self._text)
            return
        self._finish(
            DoraError(
                f"the process did not answer within {_ANSWER_WITHIN_S:g} s: it is stopped "
                f"(SIGSTOP), blocks signal {STACK_SIGNAL}, or is stuck in "
                f"the kernel; `cat /proc/{self.pid}/status` tells its state"
            )
        )

    def _finish(self, outcome: bytearray | DoraError) -> None:
        for timer in (self._quiet, self._deadline):
            if timer is not None:
                timer.cancel()
        self._quiet = self._deadline = None
        told = outcome if isinstance(outcome, DoraError) else outcome.decode(errors="replace")
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer(told)


class Stacks:
    """The pipes of all nodes of a dataflow. `close()` gives them up.

    Args:
        loop: The daemon's loop.
        has_started: Whether the node's process has come so far that it answers the signal.
    """

    def __init__(self, loop: Loop, has_started: Callable[[str], bool]) -> None:
        self._loop = loop
        self._has_started = has_started
        self._pipes: dict[str, StackPipe] = {}

    def open(self, node: str, pid: int) -> int:
        """Make the pipe of a node's new process; the end to write into, the caller's to close."""
        self.forget(node)
        read, write = os.pipe()
        self._pipes[node] = StackPipe(self._loop, pid, read)
        return write

    def descriptor(self, node: str) -> int:
        """The read end of a node's pipe, which stays this one's; -1 if there is none."""
        pipe = self._pipes.get(node)
        return -1 if pipe is None else pipe.fileno()

    def resume(self, node: str, pid: int, read: int) -> None:
        """Take over the pipe of a node that runs already."""
        if read >= 0:
            self._pipes[node] = StackPipe(self._loop, pid, read)

    def of(self, node: str) -> StackPipe | None:
        """The pipe of a node that can be asked; None when it cannot, not yet or no more."""
        pipe = self._pipes.get(node)
        return pipe if pipe is not None and pipe.pid and self._has_started(node) else None

    def forget(self, node: str) -> None:
        """The node's process is gone."""
        pipe = self._pipes.pop(node, None)
        if pipe is not None:
            pipe.close()

    def close(self) -> None:
        """Forget all."""
        for node in list(self._pipes):
            self.forget(node)

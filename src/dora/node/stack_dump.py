"""Answers the daemon's request for this process's Python stack, whatever the process is doing.

`faulthandler` writes from within the signal handler, in C: also while another thread computes, a
lock is waited for, or foreign code does not come back. It stays in place until the process ends;
the daemon takes the end of the pipe for that.
"""

from __future__ import annotations

import faulthandler
import os

from dora.wire.messages import STACK_SIGNAL

_fd = -1


def answer_into(fd: int) -> None:
    """From now on write the stack of all threads into `fd`, which is taken over, when asked."""
    global _fd
    faulthandler.register(STACK_SIGNAL, file=fd, all_threads=True)
    if _fd >= 0:
        os.close(_fd)
    _fd = fd


def leave_to_parent() -> None:
    """In a forked child: answer no more, and give up the child's copy of the pipe."""
    global _fd
    if _fd >= 0:
        faulthandler.unregister(STACK_SIGNAL)
        os.close(_fd)
        _fd = -1

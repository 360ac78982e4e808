"""The page of a dataflow that is run in the foreground: a process that ends with the run.

A process, so that nothing a browser does can hold up the daemon. It hangs on a lifeline as nodes do
(`daemon.process`): however the run ends, the kernel ends the page.

Elsewhere: what the process does (`web.__main__`, `web.server`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from dora.daemon.process import arm

if TYPE_CHECKING:
    import socket
    from typing import Self

_END_WITHIN_S = 30.0
"""A recording that was begun there is finished first."""


class PageProcess:
    """A running server. `close()` ends it; twice is fine.

    Args:
        listener: Where it serves; taken over.
        dataflow: Id of what it shows first.
    """

    def __init__(self, listener: socket.socket, dataflow: str) -> None:
        inherited, self._lifeline = os.pipe()
        with listener:
            fds = (inherited, listener.fileno())
            command = [sys.executable, "-P", "-m", "dora.web", str(listener.fileno()), dataflow]
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, pass_fds=fds, process_group=0
                )
                arm(inherited, self._process.pid)
            except BaseException:
                os.close(self._lifeline)
                raise
            finally:
                os.close(inherited)

    def close(self) -> None:
        """End it."""
        if self._lifeline < 0:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._lifeline)
        self._lifeline = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

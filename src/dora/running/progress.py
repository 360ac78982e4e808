"""One line on the terminal that says which nodes are still to come, rewritten in place.

It never waits for the terminal, as it is written from the daemon's loop: what a stopped terminal
would not take at once is left out. Whoever prints a line clears this one first.

Elsewhere: when nodes come (`daemon.supervisor`), the lines above it (`running.screen`).
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence


class Progress:
    """The line. Shows nothing where the stream is no terminal, or one without a cursor.

    Args:
        stream: Where it goes, standard error; stays the caller's.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        live = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
        self._fd = stream.fileno() if live and stream is not None else -1
        self._shown = ""

    @property
    def width(self) -> int:
        """Columns of the terminal; 0 if nothing is shown at all."""
        if self._fd < 0:
            return 0
        try:
            return os.get_terminal_size(self._fd).columns or 80
        except OSError:
            return 0

    def show(self, text: str) -> None:
        """Put this text, shorter than the terminal is wide, in place of what stands there."""
        if text != self._shown and self._write(f"\r{text.ljust(len(self._shown))}"):
            self._shown = text

    def clear(self) -> None:
        """Leave an empty line, with the cursor at its beginning; twice is fine."""
        if self._shown and self._write(f"\r{' ' * len(self._shown)}\r"):
            self._shown = ""

    def _write(self, text: str) -> bool:
        """Whether it was written."""
        if self._fd < 0 or self._stream is None:
            return False
        if not select.select([], [self._fd], [], 0)[1]:
            return False
        try:
            os.write(self._fd, text.encode(self._stream.encoding or "utf-8", "replace"))
        except BlockingIOError:
            return False
        except OSError:  # the terminal is gone
            self._fd = -1
            return False
        return True


def progress_text(
    joined: int, total: int, waiting_for: Sequence[str], seconds: float, width: int
) -> str:
    """What to show while a dataflow starts: `starting: 2 of 5 nodes are there, waiting for ...`.

    Args:
        joined: Nodes that are there.
        total: All that the start waits for.
        waiting_for: Ids of the others.
        seconds: Since the start.
        width: Of the terminal; the text is shorter, so that it never breaks into two lines.
    """
    head = f"starting: {joined} of {total} nodes {'is' if joined == 1 else 'are'} there"
    tail = f" ({seconds:.0f} s)"
    for named in range(len(waiting_for), 0, -1):
        more = len(waiting_for) - named
        names = ", ".join(waiting_for[:named]) + (f" and {more} more" if more else "")
        text = f"{head}, waiting for {names}{tail}"
        if len(text) < width:
            return text
    return (head + tail)[: max(0, width - 1)]

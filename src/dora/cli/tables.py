"""Plain tables, as all commands that list things print them.

No colours. Where standard output is a terminal, lines are cut to its width; a pipe gets all of
them. Elsewhere: what stands in the cells (each command).
"""

from __future__ import annotations

import shutil
import sys
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_GAP = "  "


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()
) -> str:
    """Lay out a table; no newline at its end.

    Args:
        headers: One for each column, in capitals.
        rows: Their cells; a row may be shorter than the headers.
        right: Headers of the columns that are aligned on the right: numbers.
    """
    lines = [list(headers), *([_plain(cell) for cell in row] for row in rows)]
    widths = [
        max(_width(line[at]) for line in lines if at < len(line)) for at in range(len(headers))
    ]
    ends = [header in right for header in headers]
    text = [_GAP.join(map(_padded, line, widths, ends)).rstrip() for line in lines]
    most = shutil.get_terminal_size().columns if at_terminal() else 0
    return "\n".join(_cut(line, most) if most else line for line in text)


def at_terminal() -> bool:
    """Whether somebody watches standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - _width(cell))
    return space + cell if right else cell + space


def _cut(line: str, most: int) -> str:
    if _width(line) <= most:
        return line
    kept = line
    while _width(kept) >= most and kept:
        kept = kept[:-1]
    return kept + "…"


def _plain(cell: str) -> str:
    """Without what would move the cursor."""
    return "".join(char if char.isprintable() else "?" for char in cell)


def _width(text: str) -> int:
    """Columns on a terminal."""
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1

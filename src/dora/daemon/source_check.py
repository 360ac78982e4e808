"""Whether a Python file compiles; nothing of it is executed.

The Python that is asked is that of the daemon, or that of a node with an environment of its own,
whose version may know other syntax.

Used by `daemon.hot_reload`.
"""

from __future__ import annotations

import asyncio
import traceback
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_DEADLINE_S = 20.0
_PROGRAM = """
import sys, traceback, warnings
warnings.simplefilter("ignore")
try:
    with open(sys.argv[1], "rb") as file:
        compile(file.read(), sys.argv[1], "exec", dont_inherit=True)
except Exception as exc:
    sys.exit("".join(traceback.format_exception_only(type(exc), exc)).rstrip())
"""


def check_source(path: Path) -> str | None:
    """Why this Python cannot compile the file, with the line and a caret; None if it can."""
    try:
        text = path.read_bytes()
    except OSError as exc:
        return f"`{path}` cannot be read: {exc.strerror}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as exc:
        # What is no SyntaxError here comes from null bytes and from nesting without end.
        return "".join(traceback.format_exception_only(exc)).rstrip()
    return None


async def check_source_with(executable: Path, path: Path) -> str | None:
    """Why another Python cannot compile the file; None if it can.

    Raises:
        OSError: that Python cannot be run, or does not answer.
    """
    process = await asyncio.create_subprocess_exec(
        str(executable),
        *("-I", "-S", "-c", _PROGRAM, str(path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_DEADLINE_S):
            _, told = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return None
    return told.decode(errors="replace").rstrip() or f"status {process.returncode}"

"""Whether this process is about to end well, as far as can be known before it has ended.

A node that ends well says goodbye at once, so that its consumers need not wait until Python is torn
down. One that fails says nothing: the daemon learns of it by its exit status, and consumers
get NODE_FAILED before INPUT_CLOSED. Python does not tell exit handlers the status; an uncaught
exception leaves `sys.last_type`, and `sys.exit` is watched. A `raise SystemExit(1)` escapes notice:
there INPUT_CLOSED comes first.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, NoReturn

_failing = False


def watch() -> None:
    """Note from now on what `sys.exit` is called with. Twice is fine."""
    original = sys.exit
    if getattr(original, "_dora", False):
        return

    @functools.wraps(original)
    def noting_exit(status: Any = None) -> NoReturn:
        global _failing
        _failing = status not in (None, 0)
        original(status)

    noting_exit._dora = True  # type: ignore[attr-defined]
    sys.exit = noting_exit


def ends_well() -> bool:
    """Whether nothing is known that makes the exit status other than 0."""
    return not _failing and not hasattr(sys, "last_type")

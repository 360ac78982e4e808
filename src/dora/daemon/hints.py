"""What to do about the commonest ways in which a node fails, told below its traceback.

Pure: the lines of stderr in, one line of advice out, or none. A hint says nothing that is not true
whenever its pattern is there: whose error it was the traceback tells, not the hint.

Used by `daemon.report` and `simulation.outcome`. Elsewhere: mistakes in dataflow files, which carry
their own advice (`descriptor.report`), and errors that dora raises itself (`dora.errors`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# What stderr shows, what to do. `{0}` is the first group, `{node}` the node. First match counts.
_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"^ModuleNotFoundError: No module named '(\w+)",
        "`{0}` is not in the environment that this node runs in: install its package there, or "
        "have `dora build` do it, with `build: pip install …` at node `{node}`",
    ),
    (
        r"^AttributeError: 'pyarrow\.lib\.\w+' object has no attribute",
        "the value is an Arrow array, as it was sent: send a NumPy array to receive one, or use "
        "`.to_numpy(zero_copy_only=False)` where it is received",
    ),
    (
        r"^AttributeError: 'numpy\.\w+' object has no attribute '(to_numpy|to_pylist|as_py|type)'",
        "the value is a NumPy array, as it was sent: leave the conversion out, or, for a node that "
        "expects Arrow, write `receive_as: arrow` at its input",
    ),
    (
        r"(?:destination|array) is read-only|marked as readonly",
        "received values are read-only views into the sender's memory: change a copy, "
        '`event["value"].copy()`',
    ),
    (
        r"^(?:bdb\.)?BdbQuit",
        "a debugger needs a terminal: `dora run … --debug-node {node}` prints the command that "
        "starts this node in yours",
    ),
)


def hint(node: str, stderr: Sequence[str]) -> str | None:
    """What to do about a failure.

    Args:
        node: The node that failed.
        stderr: The lines that tell why, its last traceback for one.
    """
    text = "\n".join(stderr)
    for pattern, advice in _HINTS:
        if found := re.search(pattern, text, re.MULTILINE):
            return advice.format(*found.groups(), node=node)
    return None

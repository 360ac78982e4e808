"""A node without a dataflow: by hand at a terminal, in a pipe, or neither.

Decides which, by what stdin is. Elsewhere: the prompt (`node.interactive_prompt`), the pipe
(`node.interactive_lines`), notebooks (`node.notebook`).
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from dora.errors import NodeInitError

if TYPE_CHECKING:
    from dora.node.host import Host


def join() -> Host:
    """Be fed by whoever is at stdin.

    Raises:
        NodeInitError: nobody is: stdin is closed, or `/dev/null`.
    """
    if sys.stdin is None:  # it was closed, and what has its number now is something else
        raise _nobody()
    if "ipykernel" in sys.modules:  # a notebook: its stdin is a pipe that nobody writes to
        raise NodeInitError(
            "in a notebook a node is made by `Node.interactive()`, and fed by calls"
        )
    kind = os.fstat(0).st_mode
    if os.isatty(0):
        from dora.node import interactive_prompt

        return interactive_prompt.join()
    if stat.S_ISFIFO(kind) or stat.S_ISREG(kind) or stat.S_ISSOCK(kind):
        from dora.node import interactive_lines

        return interactive_lines.join()
    raise _nobody()


def _nobody() -> NodeInitError:
    return NodeInitError(
        "this file is a node: it runs inside a dataflow, and the environment variable "
        "`DORA_NODE_CONFIG` is not set. List it in a dataflow file and `dora run` that, or "
        "name the dynamic node it is to be: `Node('id')`. To try it by hand, start it at a "
        "terminal, or pipe JSON lines in: "
        """`echo '{"id": "image", "data": [1, 2]}' | python this_file.py`"""
    )

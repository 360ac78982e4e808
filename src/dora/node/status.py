"""`DoraStatus`: what an operator answers to each event. Obeyed by `node.operators`."""

from __future__ import annotations

from enum import Enum


class DoraStatus(Enum):
    """Whether an operator goes on."""

    CONTINUE = 0
    """Hand me the next event."""
    STOP = 1
    """I am done: close my outputs. The other operators go on."""
    STOP_ALL = 2
    """End the whole dataflow, as if it were asked to stop."""

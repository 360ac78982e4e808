"""The life of one node, as one table: events in, states out. Pure.

A node that dora spawns goes SPAWNING, WAITING (at the start barrier), RUNNING, maybe CLOSED (it
said goodbye, its process lives on), maybe STOPPING, FINISHED; where it is started again, it goes
from any of these to BACKOFF and begins anew. A dynamic node, which somebody else starts, goes
round: ABSENT, WAITING, RUNNING, and back to ABSENT.

Also here: whether an exit counts as success, for that settles what FINISHED means. Elsewhere: what
a dataflow does about it (`daemon.supervisor`), how an exit is told (`daemon.report`).
"""

from __future__ import annotations

import signal
from collections import deque
from enum import Enum, auto

import msgspec


class NodeState(Enum):
    """Where a node stands."""

    SPAWNING = auto()  # process started, node not yet connected
    WAITING = auto()  # connected; waits for the start barrier
    RUNNING = auto()  # started; events flow
    CLOSED = auto()  # said goodbye; the process lives on
    STOPPING = auto()  # told to stop; the stop deadline is ticking
    BACKOFF = auto()  # exited; waits for its next start
    FINISHED = auto()  # exited, and stays so
    ABSENT = auto()  # a dynamic node that nobody has started yet, or that has left


class NodeConnected(msgspec.Struct, frozen=True):
    """The node registered and was let in."""


class BarrierOpened(msgspec.Struct, frozen=True):
    """Every gating node is there: the node may go on."""


class NodeClosed(msgspec.Struct, frozen=True):
    """The node said goodbye, or its control socket ended."""


class StopRequested(msgspec.Struct, frozen=True):
    """The node is to end: by message if it is connected, else by signal."""


class ExitedForGood(msgspec.Struct, frozen=True):
    """The process ended and no new one takes its place."""


class ExitedToRestart(msgspec.Struct, frozen=True):
    """The process ended and a new one is to take its place."""


class BackoffOver(msgspec.Struct, frozen=True):
    """A new process is started now."""


class NodeLeft(msgspec.Struct, frozen=True):
    """A dynamic node is gone; it may come back."""


NodeEvent = (
    NodeConnected
    | BarrierOpened
    | NodeClosed
    | StopRequested
    | ExitedForGood
    | ExitedToRestart
    | BackoffOver
    | NodeLeft
)

_S = NodeState
TRANSITIONS: dict[tuple[NodeState, type[NodeEvent]], NodeState] = {
    (_S.SPAWNING, NodeConnected): _S.WAITING,
    (_S.SPAWNING, StopRequested): _S.STOPPING,
    (_S.SPAWNING, ExitedForGood): _S.FINISHED,
    (_S.SPAWNING, ExitedToRestart): _S.BACKOFF,
    (_S.WAITING, BarrierOpened): _S.RUNNING,
    (_S.WAITING, NodeClosed): _S.CLOSED,
    (_S.WAITING, StopRequested): _S.STOPPING,
    (_S.WAITING, ExitedForGood): _S.FINISHED,
    (_S.WAITING, ExitedToRestart): _S.BACKOFF,
    (_S.WAITING, NodeLeft): _S.ABSENT,
    (_S.RUNNING, NodeClosed): _S.CLOSED,
    (_S.RUNNING, StopRequested): _S.STOPPING,
    (_S.RUNNING, ExitedForGood): _S.FINISHED,
    (_S.RUNNING, ExitedToRestart): _S.BACKOFF,
    (_S.RUNNING, NodeLeft): _S.ABSENT,
    (_S.CLOSED, StopRequested): _S.STOPPING,
    (_S.CLOSED, ExitedForGood): _S.FINISHED,
    (_S.CLOSED, ExitedToRestart): _S.BACKOFF,
    (_S.STOPPING, NodeClosed): _S.STOPPING,
    (_S.STOPPING, StopRequested): _S.STOPPING,
    (_S.STOPPING, ExitedForGood): _S.FINISHED,
    (_S.STOPPING, ExitedToRestart): _S.BACKOFF,
    (_S.STOPPING, NodeLeft): _S.ABSENT,
    (_S.BACKOFF, BackoffOver): _S.SPAWNING,
    (_S.BACKOFF, StopRequested): _S.FINISHED,
    (_S.BACKOFF, ExitedForGood): _S.FINISHED,
    (_S.ABSENT, NodeConnected): _S.WAITING,
    (_S.ABSENT, ExitedForGood): _S.FINISHED,
}

_HISTORY = 20


class NodeLife:
    """The state of one node and how it came there."""

    def __init__(self, node: str, *, dynamic: bool) -> None:
        self.node = node
        self.state = NodeState.ABSENT if dynamic else NodeState.SPAWNING
        self._history: deque[tuple[NodeState, NodeEvent]] = deque(maxlen=_HISTORY)

    def handle(self, event: NodeEvent) -> None:
        """Take one event in and change the state.

        Raises:
            RuntimeError: the table lacks this pair, which is a mistake of the daemon.
        """
        self._history.append((self.state, event))
        following = TRANSITIONS.get((self.state, type(event)))
        if following is None:
            lines = "\n".join(f"  {state.name}: {past}" for state, past in self._history)
            raise RuntimeError(
                f"node `{self.node}` got {type(event).__name__} in state {self.state.name}; "
                f"its last events:\n{lines}"
            )
        self.state = following


class Verdict(Enum):
    """What an exit counts as."""

    SUCCESS = auto()
    FAILURE = auto()
    KILLED_BY_DORA = auto()  # did not react to a stop in time: a failure too


_STOPPED_EXITS = frozenset(
    {-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT}
)


def exit_verdict(returncode: int, *, stopping: bool, killed_by_dora: bool) -> Verdict:
    """Whether a process that ended so had success.

    Args:
        returncode: The exit status, or the signal's number, negative.
        stopping: The node was told to stop: then ending by SIGTERM or SIGINT is what was asked for.
        killed_by_dora: The stop ladder had come to SIGKILL.
    """
    if returncode == 0 or (stopping and returncode in _STOPPED_EXITS):
        return Verdict.SUCCESS
    if killed_by_dora and returncode == -signal.SIGKILL:
        return Verdict.KILLED_BY_DORA
    return Verdict.FAILURE

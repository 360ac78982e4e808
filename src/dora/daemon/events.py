"""What the supervisor is told, and what it asks for in return: plain values.

Events that come from a process carry its incarnation; an older one's are dropped at the door.
Made and carried out by `daemon.server`; decided on by `daemon.supervisor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signal import Signals

    from dora.ids import NodeId, PortId
    from dora.wire.messages import DaemonMessage


class TimerName(Enum):
    """The supervisor's timers."""

    BARRIER = auto()  # time to say which nodes are still awaited
    TERM = auto()  # the grace after STOP is over
    KILL = auto()  # the grace after SIGTERM is over


# ---- events ----


@dataclass(frozen=True)
class SpawnFailed:
    """The process of a node could not be started."""

    node: NodeId
    error: str


@dataclass(frozen=True)
class Connected:
    """A node registered, and `Supervisor.refusal` had nothing against it."""

    node: NodeId
    incarnation: int
    pid: int


@dataclass(frozen=True)
class OutputsClosed:
    """A node sends nothing more on these outputs."""

    node: NodeId
    incarnation: int
    outputs: tuple[PortId, ...]


@dataclass(frozen=True)
class Disconnected:
    """A node said goodbye, or, not `clean`, its control socket ended without that."""

    node: NodeId
    incarnation: int
    clean: bool


@dataclass(frozen=True)
class Exited:
    """The process of a node ended; all of its lines have been read."""

    node: NodeId
    incarnation: int
    pid: int
    returncode: int
    """The exit status, or the signal's number, negative."""
    after_s: float
    stderr: tuple[str, ...] = ()
    """Its last lines there."""


@dataclass(frozen=True)
class StopAsked:
    """The dataflow is to end; asked again, it hurries."""

    why: str


@dataclass(frozen=True)
class TimerFired:
    """A timer that was asked for."""

    timer: TimerName


Event = SpawnFailed | Connected | OutputsClosed | Disconnected | Exited | StopAsked | TimerFired


# ---- instructions ----


@dataclass(frozen=True)
class Admit:
    """Send the node its wiring."""

    node: NodeId
    without: frozenset[int] = frozenset()
    """Edges that are over and not part of it."""


@dataclass(frozen=True)
class OpenBarrier:
    """Let these nodes start; all nodes of a dataflow count time from the same moment."""

    nodes: tuple[NodeId, ...]


@dataclass(frozen=True)
class Tell:
    """Send a message to a connected node."""

    node: NodeId
    message: DaemonMessage


@dataclass(frozen=True)
class CloseEdges:
    """Put the CLOSE ticket behind all that was sent."""

    edges: tuple[int, ...]


@dataclass(frozen=True)
class LoseEdges:
    """The receivers of these edges will read nothing more."""

    edges: tuple[int, ...]


@dataclass(frozen=True)
class SignalNode:
    """Signal the whole process group of a node."""

    node: NodeId
    signal: Signals


@dataclass(frozen=True)
class StartTimer:
    """Report `TimerFired` after so long."""

    timer: TimerName
    after_s: float


@dataclass(frozen=True)
class Notice:
    """Tell the user."""

    level: str
    text: str


@dataclass(frozen=True)
class Finish:
    """The dataflow is over."""


Instruction = (
    Admit | OpenBarrier | Tell | CloseEdges | LoseEdges | SignalNode | StartTimer | Notice | Finish
)

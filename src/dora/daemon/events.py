"""What the supervisor is told, and what it asks for in return: frozen values.

They are msgspec structs, because a dataclass takes fifty times as long to define, and the start of
a dataflow waits for it.

Events that come from a process carry its incarnation; an older one's are dropped at the door.
Made and carried out by `daemon.server`; decided on by `daemon.supervisor`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from signal import Signals

    from dora.ids import NodeId, PortId
    from dora.wire.messages import DaemonMessage


class TimerName(Enum):
    """The supervisor's timers."""

    BARRIER = auto()  # time to say which nodes are still awaited
    STOP_REMINDER = auto()  # time to say which nodes have not ended yet
    TERM = auto()  # the grace after STOP is over
    KILL = auto()  # the grace after SIGTERM is over


# ---- events ----


class SpawnFailed(msgspec.Struct, frozen=True):
    """The process of a node could not be started."""

    node: NodeId
    error: str


class Connected(msgspec.Struct, frozen=True):
    """A node registered, and `Supervisor.refusal` had nothing against it."""

    node: NodeId
    incarnation: int
    pid: int


class OutputsClosed(msgspec.Struct, frozen=True):
    """A node sends nothing more on these outputs."""

    node: NodeId
    incarnation: int
    outputs: tuple[PortId, ...]


class Disconnected(msgspec.Struct, frozen=True):
    """A node said goodbye, or, not `clean`, its control socket ended without that."""

    node: NodeId
    incarnation: int
    clean: bool


class Exited(msgspec.Struct, frozen=True):
    """The process of a node ended; all of its lines have been read."""

    node: NodeId
    incarnation: int
    pid: int
    returncode: int
    """The exit status, or the signal's number, negative."""
    after_s: float
    stderr: tuple[str, ...] = ()
    """Its last lines there."""


class StopAsked(msgspec.Struct, frozen=True):
    """The dataflow is to end; asked again, it hurries."""

    why: str
    time_is_up: bool = False
    """Nobody asked for it now: its time, given beforehand, is over."""
    node: NodeId | None = None
    """Who asked, if a node did; that never hurries a stop that goes on already."""


class TimerFired(msgspec.Struct, frozen=True):
    """A timer that was asked for."""

    timer: TimerName


Event = SpawnFailed | Connected | OutputsClosed | Disconnected | Exited | StopAsked | TimerFired


# ---- instructions ----


class Admit(msgspec.Struct, frozen=True):
    """Send the node its wiring."""

    node: NodeId
    without: frozenset[int] = frozenset()
    """Edges that are over and not part of it."""


class OpenBarrier(msgspec.Struct, frozen=True):
    """Let these nodes start; all nodes of a dataflow count time from the same moment."""

    nodes: tuple[NodeId, ...]


class Tell(msgspec.Struct, frozen=True):
    """Send a message to a connected node."""

    node: NodeId
    message: DaemonMessage


class CloseEdges(msgspec.Struct, frozen=True):
    """Put the CLOSE ticket behind all that was sent."""

    edges: tuple[int, ...]


class LoseEdges(msgspec.Struct, frozen=True):
    """The receivers of these edges will read nothing more."""

    edges: tuple[int, ...]


class SignalNode(msgspec.Struct, frozen=True):
    """Signal the whole process group of a node."""

    node: NodeId
    signal: Signals


class StartTimer(msgspec.Struct, frozen=True):
    """Report `TimerFired` after so long."""

    timer: TimerName
    after_s: float


class Notice(msgspec.Struct, frozen=True):
    """Tell the user."""

    level: str
    text: str


class Finish(msgspec.Struct, frozen=True):
    """The dataflow is over."""


Instruction = (
    Admit | OpenBarrier | Tell | CloseEdges | LoseEdges | SignalNode | StartTimer | Notice | Finish
)

"""What the supervisor is told, and what it asks for in return: frozen values.

They are msgspec structs, because a dataclass takes fifty times as long to define, and the start of
a dataflow waits for it.

Events that come from a process carry its incarnation; an older one's are dropped at the door.
Made and carried out by `daemon.server`; decided on by `daemon.supervisor`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from signal import Signals

    from dora.daemon.edges import Edge
    from dora.descriptor.plan import NodePlan, Plan
    from dora.ids import NodeId, PortId
    from dora.wire.messages import DaemonMessage


class TimerName(Enum):
    """The supervisor's timers: of the dataflow, and, from `STARTUP` on, of one node's process."""

    BARRIER = auto()  # time to say which nodes are still awaited
    STOP_REMINDER = auto()  # time to say which nodes have not ended yet
    TERM = auto()  # the grace after STOP is over
    KILL = auto()  # the grace after SIGTERM is over
    STARTUP = auto()  # the node should have connected by now
    NODE_TERM = auto()  # the node's grace after STOP is over
    NODE_KILL = auto()  # the node's grace after SIGTERM is over
    BACKOFF = auto()  # time to start the node again
    FINISH = auto()  # the node should have ended by now: all that feeds it has


# ---- events ----


class SpawnFailed(msgspec.Struct, frozen=True):
    """The process of a node could not be started."""

    node: NodeId
    incarnation: int
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


class OperatorAnew(msgspec.Struct, frozen=True):
    """A node made one of its operators anew."""

    node: NodeId
    incarnation: int
    operator: str


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
    at_s: float = 0.0
    """When, by a clock that only goes forward."""
    unread: int = 0
    """Messages that wait for it."""


class KillAsked(msgspec.Struct, frozen=True):
    """The process of a node does what it must not: it is stuck, or takes too much memory."""

    node: NodeId
    incarnation: int
    why: str
    """What the failure's cause is to be."""


class StopAsked(msgspec.Struct, frozen=True):
    """The dataflow is to end; asked again, it hurries."""

    why: str
    time_is_up: bool = False
    """Nobody asked for it now: its time, given beforehand, is over."""
    node: NodeId | None = None
    """Who asked, if a node did; that never hurries a stop that goes on already."""
    grace_s: float | None = None
    """From STOP to SIGTERM; to SIGKILL half as long again."""
    force: bool = False
    """Kill at once."""


class NodeAsked(msgspec.Struct, frozen=True):
    """One node is to end: to be started again, to stay stopped, or to be taken out."""

    action: Literal["restart", "stop", "remove"]
    node: NodeId
    why: str
    ticket: int | None = None
    """Who wants to be told (`Answered`)."""
    grace_s: float | None = None


class AddAsked(msgspec.Struct, frozen=True):
    """Nodes are to be taken in, with their wires."""

    plan: Plan
    ticket: int


class ReplaceAsked(msgspec.Struct, frozen=True):
    """A node is to take the place of the one of the same id."""

    plan: NodePlan
    ticket: int
    grace_s: float | None = None


class RouteAsked(msgspec.Struct, frozen=True):
    """A wire is wanted, or no longer."""

    connect: bool
    sender: NodeId
    output: PortId
    receiver: NodeId
    input: PortId
    queue_size: int
    backpressure: bool
    ticket: int


class StartAllowed(msgspec.Struct, frozen=True):
    """Whoever wanted to be there before the first message is there."""


class TapAsked(msgspec.Struct, frozen=True):
    """A client wants to read an output; what comes of it is an edge without a receiving node."""

    node: NodeId
    output: PortId
    queue_size: int
    backpressure: bool
    ticket: int


class TapEnded(msgspec.Struct, frozen=True):
    """The client of a tap is gone."""

    edge: int


class TimerFired(msgspec.Struct, frozen=True):
    """A timer that was asked for."""

    timer: TimerName
    node: NodeId | None = None
    incarnation: int = 0


Event = (
    SpawnFailed
    | Connected
    | OutputsClosed
    | OperatorAnew
    | Disconnected
    | Exited
    | KillAsked
    | StopAsked
    | StartAllowed
    | NodeAsked
    | AddAsked
    | ReplaceAsked
    | RouteAsked
    | TapAsked
    | TapEnded
    | TimerFired
)


# ---- instructions ----


class Spawn(msgspec.Struct, frozen=True):
    """Start a process."""

    plan: NodePlan
    incarnation: int


class Admit(msgspec.Struct, frozen=True):
    """Send the node its wiring."""

    node: NodeId
    without: frozenset[int] = frozenset()
    """Edges that are over and not part of it."""
    restarts: int = 0
    takes_over: bool = False
    """Processes were this node before, and all of them have ended."""


class OpenBarrier(msgspec.Struct, frozen=True):
    """Let these nodes start; all nodes of a dataflow count time from the same moment."""

    nodes: tuple[NodeId, ...]


class Tell(msgspec.Struct, frozen=True):
    """Send a message to a connected node."""

    node: NodeId
    message: DaemonMessage


class OpenEdge(msgspec.Struct, frozen=True):
    """Make the pipes of a new edge, and tell those of its two nodes that are connected."""

    edge: Edge
    sender_linked: bool
    receiver_linked: bool
    ticket: int | None = None
    """Of the client that reads it, where no node does."""


class FeedEdge(msgspec.Struct, frozen=True):
    """Tell the sender of an edge, which is connected, that it leads to one more input."""

    edge: Edge


class CloseEdges(msgspec.Struct, frozen=True):
    """Put the CLOSE ticket behind all that was sent."""

    edges: tuple[int, ...]
    detached: bool = False
    """Their receivers lose the wire, but may be given another."""


class LoseEdges(msgspec.Struct, frozen=True):
    """The receivers of these edges will read nothing more."""

    edges: tuple[int, ...]


class SignalNode(msgspec.Struct, frozen=True):
    """Signal the whole process group of a node."""

    node: NodeId
    signal: Signals
    incarnation: int | None = None
    """None: the present one."""


class StartTimer(msgspec.Struct, frozen=True):
    """Report `TimerFired` after so long."""

    timer: TimerName
    after_s: float
    node: NodeId | None = None
    incarnation: int = 0


class Answered(msgspec.Struct, frozen=True):
    """Tell whoever asked that it was done, or why it was not."""

    ticket: int
    text: str = ""
    error: str | None = None


class Retire(msgspec.Struct, frozen=True):
    """A node is out of the dataflow; another may come under its id."""

    node: NodeId


class Notice(msgspec.Struct, frozen=True):
    """Tell the user."""

    level: str
    text: str


class Finish(msgspec.Struct, frozen=True):
    """The dataflow is over."""


Instruction = (
    Spawn
    | Admit
    | OpenBarrier
    | Tell
    | OpenEdge
    | FeedEdge
    | CloseEdges
    | LoseEdges
    | SignalNode
    | StartTimer
    | Answered
    | Retire
    | Notice
    | Finish
)

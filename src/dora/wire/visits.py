"""What a client and the daemon of a running dataflow say to each other: tagged structs.

A client says `Greet` first, and is answered by a `Dataflow`. Each question after that has one
answer, in order, `Refused` where it is not done; after `Watch` and `AskTap` the daemon goes on to
send.
Plans travel packed (`descriptor.packing`), values of parameters as JSON.

Elsewhere: tracing (`wire.spans`), nodes' own messages (`wire.messages`), the background daemon's
(`wire.background`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from dora.errors import ProtocolError
from dora.wire.messages import GARBAGE, ArenaWire, Descriptors, NewArena, Refused
from dora.wire.spans import AskTrace, Traced


class Greet(msgspec.Struct, tag="greet", frozen=True):
    """Client, first of all: I want to look at the dataflow, not to be a node of it."""

    protocol: int
    version: str


class AskStack(msgspec.Struct, tag="ask_stack", frozen=True):
    """Client: what is this node doing? Answer: `Stack`."""

    node: str


class AskState(msgspec.Struct, tag="ask_state", frozen=True):
    """Client: how does everything stand? Answer: `State`."""


class AskDescriptor(msgspec.Struct, tag="ask_descriptor", frozen=True):
    """Client: what does the dataflow file say, read and flat? Answer: `Done`, its text is JSON."""


class AskStop(msgspec.Struct, tag="ask_stop", frozen=True):
    """Client: end the dataflow. Answer: `Done`, at once; the end itself is the connection's."""

    why: str
    grace_s: float | None = None
    """From STOP to SIGTERM; to SIGKILL half as long again. None: what the daemon thinks right."""
    force: bool = False
    """Kill at once."""


class Watch(msgspec.Struct, tag="watch", frozen=True):
    """Client: tell me all that is shown of the dataflow from now on.

    Answer: `Done`, then `Shown` again and again, and in the end `Ended`.
    """

    from_start: bool = False
    """Also what was shown before, if the dataflow began a few seconds ago."""


class AskNode(msgspec.Struct, tag="ask_node", frozen=True):
    """Client: end the process of a node; start it again, keep it stopped, or take the node out.

    Answer: `Done` when the process has ended (for `restart`: when its successor was started).
    """

    action: Literal["restart", "stop", "remove"]
    node: str
    grace_s: float | None = None


class AskAdd(msgspec.Struct, tag="ask_add", frozen=True):
    """Client: take these nodes in. Answer: `Done` when they were started."""

    plan: bytes


class AskReplace(msgspec.Struct, tag="ask_replace", frozen=True):
    """Client: start this node in place of the one of the same id, which ends when it has come up.

    Answer: `Done` when the new one has taken over.
    """

    plan: bytes
    """Of one node; its routes are those of the old one."""
    grace_s: float | None = None


class AskRoute(msgspec.Struct, tag="ask_route", frozen=True):
    """Client: wire an output to an input, or take that wire away. Answer: `Done`."""

    connect: bool
    sender: str
    output: str
    receiver: str
    input: str
    queue_size: int = 10
    backpressure: bool = False


class AskReload(msgspec.Struct, tag="ask_reload", frozen=True):
    """Client: have operators load their file again. Answer: `Done`."""

    node: str
    operator: str | None = None
    """None: all of the node."""


class AskParam(msgspec.Struct, tag="ask_param", frozen=True):
    """Client: a question to the parameters of a node. Answer: `Params`."""

    action: Literal["list", "get", "set", "delete"]
    node: str
    key: str = ""
    value: bytes = b""
    """JSON, for `set`."""


class AskTap(msgspec.Struct, tag="ask_tap", frozen=True):
    """Client: let me read an output too, as one more edge from its sender. Answer: `Tap`.

    The edge lives as long as the connection. One connection may have several.
    """

    node: str
    output: str
    queue_size: int = 10
    backpressure: bool = False
    """The sender waits for this client: nothing is lost, and a slow client slows the node."""


class Publish(msgspec.Struct, tag="publish", frozen=True):
    """Client: have a node send this on its output, as if it were its own. Answer: `Done`."""

    node: str
    output: str
    header: bytes
    """Type header and payload, see `wire.payload`."""
    payload: bytes
    metadata: bytes = b""
    """Encoded, see `wire.metadata`."""


Question = (
    AskStack
    | AskState
    | AskDescriptor
    | AskStop
    | Watch
    | AskNode
    | AskAdd
    | AskReplace
    | AskRoute
    | AskReload
    | AskParam
    | AskTap
    | AskTrace
    | Publish
)
ClientMessage = Greet | Question


class Dataflow(msgspec.Struct, tag="dataflow", frozen=True):
    """Daemon: what runs here."""

    id: str
    name: str
    """Given by the user, else the name of the file."""
    nodes: list[str]
    file: str = ""
    """The dataflow file."""
    log_dir: str = ""
    """Where its `log_<node>.jsonl` files stand."""
    started_ns: int = 0
    """Ns since the epoch."""
    checkout: str = ""
    """The project it was started in, see `transport.endpoint.checkout`; empty if in none."""
    background: bool = False
    """Whether the background daemon runs it, not a `dora run`."""
    pid: int = 0
    """Of the daemon."""


class Stack(msgspec.Struct, tag="stack", frozen=True):
    """Daemon: the Python stack of all threads of a node, as `faulthandler` writes it."""

    node: str
    text: str


class Done(msgspec.Struct, tag="done", frozen=True):
    """Daemon: it was done."""

    text: str = ""
    """What there is to say about it."""


class NodeView(msgspec.Struct, frozen=True):
    """One node as it stands now."""

    id: str
    state: str
    """`spawning`, `waiting`, `running`, `closed`, `stopping`, `backoff`, `finished`, `absent`."""
    pid: int | None
    dynamic: bool
    restarts: int
    policy: str
    """`never`, `on-failure` or `always`."""
    failed: bool
    """Whether it ended for good, and badly."""
    command: list[str]
    inputs: list[str]
    """All of them, timers too."""
    outputs: list[str]
    sources: dict[str, str] = {}
    """Input id to what it reads from, as the dataflow file writes it."""
    uptime_s: float | None = None
    cpu_s: float | None = None
    """CPU time of its process and of their children, seconds; None: not known."""
    memory_bytes: int | None = None
    """Resident, of the same, shared memory counted once for each."""
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None
    path: str = ""
    """As the dataflow file names it; empty where it names none, as for operators."""
    max_restarts: int = 0
    output_types: dict[str, str] = {}
    """Of outputs that have one: the type, with its full name."""


class OutputView(msgspec.Struct, frozen=True):
    """What was sent on one output so far."""

    node: str
    output: str
    messages: int
    bytes: int


class EdgeView(msgspec.Struct, frozen=True):
    """One output to one input, with all that was counted since the start."""

    number: int
    sender: str
    """`dora` for edges that carry log lines."""
    output: str
    receiver: str
    input: str
    queue_size: int
    backpressure: bool
    open: bool
    """False when it carries nothing any more."""
    sent: int
    dropped: int
    flushed: int
    received: int
    bytes: int
    late: int
    waiting: int
    """Messages in the queue now."""
    last_ns: int
    """When the last message was received, ns since the epoch; 0 if none was."""
    latency: list[int]
    """Counts by power of two of ns, see `wire.board`."""
    timeout_s: float | None = None
    broken: bool = False
    """Whether that time has passed since the last message."""


class State(msgspec.Struct, tag="state", frozen=True):
    """Daemon: how everything stands. Rates come from two of these."""

    dataflow: Dataflow
    phase: str
    """`starting`, `running`, `stopping`, `aborting`, `ended`."""
    now_ns: int
    """When this was read, CLOCK_MONOTONIC."""
    nodes: list[NodeView]
    outputs: list[OutputView]
    edges: list[EdgeView]


class ShownLine(msgspec.Struct, frozen=True):
    """A line of a node; see `daemon.logs.LogLine`."""

    node: str
    stream: str
    level: str
    message: str
    timestamp: str
    target: str | None = None
    module_path: str | None = None
    file: str | None = None
    line: int | None = None
    fields: dict[str, object] | None = None


class Shown(msgspec.Struct, tag="shown", frozen=True):
    """Daemon to one that watches: lines, in order. Those of node `dora` are its own words."""

    lines: list[ShownLine]
    lost: int = 0
    """Lines before these that the client was too slow for."""


class Ended(msgspec.Struct, tag="ended", frozen=True):
    """Daemon to one that watches: the dataflow is over."""

    ok: bool
    failures: str
    """What is told of a failure; empty if there was none."""
    summary: str


class Params(msgspec.Struct, tag="params", frozen=True):
    """Daemon: parameters of a node, JSON by key; those that were asked for, set or deleted."""

    values: dict[str, bytes]


class Tap(msgspec.Struct, tag="tap", frozen=True):
    """Daemon: the edge that was asked for.

    Descriptors, in order: the read-only memory of each of `arenas`, ticket pipe read end, return
    pipe write end. A sender that is started again has new memory: `NewArena`.
    """

    fds: int
    edge: int
    node: str
    output: str
    arenas: list[ArenaWire]
    queue_size: int


Answer = (
    Dataflow
    | Refused
    | Stack
    | Done
    | State
    | Shown
    | Ended
    | Params
    | Tap
    | Traced
    | NewArena
    | Descriptors
)

_greet_decoder = msgspec.msgpack.Decoder(Greet)
_question_decoder = msgspec.msgpack.Decoder(ClientMessage)
_answer_decoder = msgspec.msgpack.Decoder(Answer)


def is_greeting(body: bytes) -> bool:
    """Whether this is a client's first message, and not a node's."""
    try:
        _greet_decoder.decode(body)
    except GARBAGE:
        return False
    return True


def decode_question(body: bytes) -> ClientMessage:
    """Read what a client sent.

    Raises:
        ProtocolError: the bytes are no message of this protocol.
    """
    try:
        message: ClientMessage = _question_decoder.decode(body)
    except GARBAGE as exc:
        raise ProtocolError(f"no control message of a client: {exc}") from exc
    return message


def decode_answer(body: bytes) -> Answer:
    """Read what a daemon answered.

    Raises:
        ProtocolError: the bytes are no message of this protocol.
    """
    try:
        message: Answer = _answer_decoder.decode(body)
    except GARBAGE as exc:
        raise ProtocolError(f"no control message of a daemon: {exc}") from exc
    return message

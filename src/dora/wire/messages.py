"""Every control message between a daemon and its nodes: tagged structs, by direction.

A message is a value: it can travel over a unix socket or any other link alike. Descriptors travel
beside it (SCM_RIGHTS), attached to the frame's own bytes or to `Descriptors` frames before it, in
the order that the message's docstring gives; `fds` says how many belong to it.

Elsewhere: tracing (`wire.spans`), what clients say (`wire.visits`), frames on a stream
(`wire.framing`), tickets (`wire.ticket`).
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from dora.errors import ProtocolError
from dora.wire.spans import Spans, Trace

PROTOCOL = 4
"""Raised by one whenever an older peer could misread a message, a ticket or a board."""

STACK_SIGNAL = 43
"""Asks a node's process for its Python stack: a real-time signal (SIGRTMIN + 9 in glibc)."""

GARBAGE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are no message."""

MAX_DESCRIPTORS_PER_FRAME = 250
"""The kernel takes 253 at most in one `sendmsg`."""


Action: TypeAlias = Literal["store", "load", "take", "drop", "drain"]
"""What a node may ask of the dataflow's table of values."""


class Register(msgspec.Struct, tag="register", frozen=True):
    """Node to daemon, first of all: who I am. No descriptors."""

    protocol: int
    version: str
    dataflow: str | None
    """None from a dynamic node, which knows only its own id."""
    node: str
    incarnation: int | None
    pid: int
    checkout: str = ""
    """Of a dynamic node: the project that it was started in; empty if in none."""


class CloseOutputs(msgspec.Struct, tag="close_outputs", frozen=True):
    """Node to daemon: nothing more will be sent on these outputs."""

    outputs: list[str]


class StopDataflow(msgspec.Struct, tag="stop_dataflow", frozen=True):
    """Node to daemon: stop the whole dataflow, and tell the user why."""

    why: str


class OperatorRestarted(msgspec.Struct, tag="operator_restarted", frozen=True):
    """Node to daemon: one of its operators failed and was made anew, in the same process."""

    operator: str


class Goodbye(msgspec.Struct, tag="goodbye", frozen=True):
    """Node to daemon: the node is closed: it will send nothing more and read nothing more.

    Its process may live on, and may still hold views of samples.
    """


class ExtensionAsk(msgspec.Struct, tag="extension", frozen=True):
    """Node to daemon: a question to the dataflow's table of values; see `wire.extensions`.

    `take` is `load` and `drop` in one; `drain` asks for the keys that were dropped.
    """

    number: int
    """The answer has the same."""
    action: Action
    namespace: str
    key: str = ""
    value: bytes = b""


NodeMessage = (
    Register | CloseOutputs | StopDataflow | OperatorRestarted | ExtensionAsk | Spans | Goodbye
)


class RouteWire(msgspec.Struct, frozen=True):
    """The sender's side of one output wired to one input."""

    edge: int
    receiver: str
    input: str
    queue_size: int
    backpressure: bool


class OutputWire(msgspec.Struct, frozen=True):
    """One output of the node and where it leads; a route's place on the board is its order."""

    id: str
    routes: list[RouteWire]


class InputWire(msgspec.Struct, frozen=True):
    """The receiver's side of one edge."""

    id: str
    edge: int
    sender: str
    backpressure: bool
    timeout_s: float | None = None
    """`input_timeout`: the input counts as closed when nothing came for so long."""
    queue_size: int | None = None
    """Of an input that drops its oldest; None if it drops none."""
    as_arrow: bool = False
    """`receive_as: arrow`: NumPy arrays are handed out as flat Arrow arrays."""
    takes_over: bool = False
    """Processes read this edge before, and all of them are gone: what they held is to be freed."""


class TimerWire(msgspec.Struct, frozen=True):
    """A timer input; it ticks inside the node."""

    id: str
    interval_ns: int


class ArenaWire(msgspec.Struct, frozen=True):
    """Shared memory of one incarnation of one sender."""

    arena: int
    """Greater than that of the sender's earlier ones."""
    size_bytes: int
    sender: str = ""


class Descriptors(msgspec.Struct, tag="descriptors", frozen=True):
    """Daemon to node: carries up to 250 descriptors that belong to the next message."""

    count: int


class Welcome(msgspec.Struct, tag="welcome", frozen=True):
    """Daemon to node: you are in; here is your wiring.

    Descriptors, in order: own arena (read-write), board, the pipe to write a stack into when
    STACK_SIGNAL comes, then the read-only memory of each of
    `arenas`, then for each route of each output: ticket pipe write end, ticket pipe read end,
    return pipe read end; then for each input: ticket pipe read end, return pipe write end.
    """

    fds: int
    dataflow: str
    node: str
    incarnation: int
    restart_count: int
    arena: ArenaWire
    arenas: list[ArenaWire]
    outputs: list[OutputWire]
    inputs: list[InputWire]
    timers: list[TimerWire]
    end_without_timers: bool
    """Timers and logs do not keep the node's inputs open (`exit_when_nodes_finish`)."""
    log_inputs: list[str]
    """Ids among `inputs` that carry log lines: they never close of themselves."""
    config: dict[str, Any]
    """What `node_config()` returns."""
    descriptor: dict[str, Any]
    """What `dataflow_descriptor()` returns."""
    heartbeat_s: float | None = None
    """The node counts as hung when its turn on the board is even and stands still for so long."""
    types: dict[str, Any] = {}
    """What is declared of the node's ports, see `wire.layouts.pack`; empty when nothing is."""


class Refused(msgspec.Struct, tag="refused", frozen=True):
    """Daemon to node: you are not in, and why."""

    reason: str


class Start(msgspec.Struct, tag="start", frozen=True):
    """Daemon to node: every node is there. Timers count from `epoch_ns` (CLOCK_MONOTONIC)."""

    epoch_ns: int


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """Daemon to node: hand out STOP with this id."""

    id: str
    alone: bool = False
    """Only this node is to end: those it sends to read on, so that it may wait for room."""


class NodeFailed(msgspec.Struct, tag="node_failed", frozen=True):
    """Daemon to node: a node that feeds some of your inputs failed."""

    source: str
    error: str
    inputs: list[str]


class NodeRestarted(msgspec.Struct, tag="node_restarted", frozen=True):
    """Daemon to node: a node that feeds some of your inputs is back."""

    source: str
    operator: str | None = None
    """Only this operator of it was made anew; the process is the same."""


class ReceiverGone(msgspec.Struct, tag="receiver_gone", frozen=True):
    """Daemon to node: send nothing more on these edges.

    `died` tells that the process is gone too, so that it holds no sample any more. Of what waits on
    them, all that stands before a CLOSE ticket is still read; the rest, by nobody.
    """

    edges: list[int]
    died: bool


class NewArena(msgspec.Struct, tag="new_arena", frozen=True):
    """Daemon to node: a sender came back with new memory. One descriptor: it, read-only."""

    fds: int
    sender: str
    arena: ArenaWire


class AddRoute(msgspec.Struct, tag="add_route", frozen=True):
    """Daemon to node: one of your outputs leads to one more input.

    Three descriptors: ticket pipe write end, ticket pipe read end, return pipe read end.
    """

    fds: int
    output: str
    route: RouteWire
    at: int | None
    """Its place among the routes of the board; None: it is not counted there."""


class AddInput(msgspec.Struct, tag="add_input", frozen=True):
    """Daemon to node: you have one more input.

    Descriptors: the read-only memory of each of `arenas`, ticket pipe read end, return pipe write
    end.
    """

    fds: int
    input: InputWire
    at: int | None
    """Its place among the inputs of the board; None: it is not counted there."""
    arenas: list[ArenaWire]


class Send(msgspec.Struct, tag="send", frozen=True):
    """Daemon to node: send this on an output, as if it were your own message."""

    output: str
    header: bytes
    payload: bytes
    metadata: bytes


class Reload(msgspec.Struct, tag="reload", frozen=True):
    """Daemon to node: an operator is to load its file again."""

    operator: str


class Param(msgspec.Struct, tag="param", frozen=True):
    """Daemon to node: one of your parameters was set, or deleted."""

    key: str
    value: bytes | None
    """JSON; None: deleted."""


class ExtensionAnswer(msgspec.Struct, tag="extension_answer", frozen=True):
    """Daemon to node: the answer to the `ExtensionAsk` of the same number."""

    number: int
    value: bytes | None = None
    keys: list[str] = []
    problem: str | None = None
    """Why it was not done."""


DaemonMessage = (
    Descriptors
    | Welcome
    | Refused
    | Start
    | Stop
    | NodeFailed
    | NodeRestarted
    | ReceiverGone
    | NewArena
    | AddRoute
    | AddInput
    | Send
    | Reload
    | Param
    | ExtensionAnswer
    | Trace
)

_encoder = msgspec.msgpack.Encoder()
_node_decoder = msgspec.msgpack.Decoder(NodeMessage)
_daemon_decoder = msgspec.msgpack.Decoder(DaemonMessage)


def encode(message: msgspec.Struct) -> bytes:
    """The body of a frame that holds `message`."""
    return _encoder.encode(message)


def decode_from_node(body: bytes) -> NodeMessage:
    """Read what a node sent.

    Raises:
        ProtocolError: the bytes are no message of this protocol.
    """
    try:
        message: NodeMessage = _node_decoder.decode(body)
    except GARBAGE as exc:
        raise ProtocolError(f"no control message of a node: {exc}") from exc
    return message


def decode_from_daemon(body: bytes) -> DaemonMessage:
    """Read what a daemon sent.

    Raises:
        ProtocolError: the bytes are no message of this protocol.
    """
    try:
        message: DaemonMessage = _daemon_decoder.decode(body)
    except GARBAGE as exc:
        raise ProtocolError(f"no control message of a daemon: {exc}") from exc
    return message


class NodeConfig(msgspec.Struct, frozen=True):
    """What a spawned node finds in the environment variable `DORA_NODE_CONFIG`, as JSON."""

    dataflow_id: str
    node_id: str
    incarnation: int
    daemon: str
    """The daemon's address, see `transport.endpoint`."""


def encode_config(config: NodeConfig) -> str:
    """The text of `DORA_NODE_CONFIG`."""
    return msgspec.json.encode(config).decode()


def decode_config(text: str) -> NodeConfig:
    """Read `DORA_NODE_CONFIG`.

    Raises:
        ProtocolError: it was not written by a daemon of this kind.
    """
    try:
        return msgspec.json.decode(text, type=NodeConfig)
    except GARBAGE as exc:
        raise ProtocolError(
            f"the environment variable `DORA_NODE_CONFIG` is not of this dora's making: {exc}"
        ) from exc

"""What a simulated node and its coordinator say to each other: tagged msgpack structs.

The node asks, and each ask is answered once, with the virtual time at which it goes on. Payloads
travel in the messages. Frames: `wire.framing`. Who speaks: `node.simulated`, `simulation.driver`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dora.errors import ProtocolError

VARIABLE = "DORA_SIMULATION"
"""The environment variable in which a node finds its `Invitation`."""

START_NS = 1_577_836_800 * 10**9
"""The wall clock when virtual time is 0: the first second of 2020, in nanoseconds since 1970.

A replay begins when its recording did instead."""


class Invitation(msgspec.Struct, frozen=True):
    """Whom a node of a simulation calls, and as whom."""

    address: str
    node: str
    start_ns: int = START_NS
    """The wall clock when virtual time is 0."""


class Join(msgspec.Struct, tag="join", frozen=True):
    """Node, first of all: who I am."""

    node: str


class Ask(msgspec.Struct, tag="ask", frozen=True):
    """Node: one of my threads waits from now on."""

    number: int
    receive: bool
    """Whether an event ends the wait; else only the time does."""
    timeout_ns: int | None
    busy: int = 0
    """How many jobs of this node run beside it, each of which may wait too."""


class Cancel(msgspec.Struct, tag="cancel", frozen=True):
    """Node: this ask need not wait any longer. It is answered, whatever came first."""

    number: int


class Send(msgspec.Struct, tag="send", frozen=True):
    """Node: a message on an output."""

    output: str
    header: bytes
    payload: bytes
    metadata: bytes
    correlated: bool
    flush: bool = False
    number: int | None = None
    """Where the sender waits for room: the ask that is answered when the message was taken."""


class CloseOutputs(msgspec.Struct, tag="close_outputs", frozen=True):
    """Node: nothing more comes on these outputs."""

    outputs: list[str]


class Goodbye(msgspec.Struct, tag="goodbye", frozen=True):
    """Node: it is closed, and ends well."""


NodeWord = Join | Ask | Cancel | Send | CloseOutputs | Goodbye


class Begin(msgspec.Struct, tag="begin", frozen=True):
    """To a node that joined: every node is there; virtual time is 0."""

    dataflow: str
    outputs: list[str] | None
    """None takes any."""
    paced: list[str]
    """Outputs on which a sender may have to wait for room."""
    config: dict[str, Any]
    descriptor: dict[str, Any]
    types: dict[str, Any] = {}
    """As in `wire.messages.Welcome`."""


class Message(msgspec.Struct, tag="message", frozen=True):
    """Answer: a message on an input."""

    number: int
    time_ns: int
    input: str
    header: bytes
    payload: bytes
    metadata: bytes
    sent_ns: int


class Tick(msgspec.Struct, tag="tick", frozen=True):
    """Answer: a timer ticks."""

    number: int
    time_ns: int
    input: str


class Said(msgspec.Struct, tag="said", frozen=True):
    """Answer: an event that is no message."""

    number: int
    time_ns: int
    event: dict[str, Any]


class Over(msgspec.Struct, tag="over", frozen=True):
    """Answer: the time is over, there is room, or the ask was cancelled."""

    number: int
    time_ns: int


Answer = Message | Tick | Said | Over
CoordinatorWord = Begin | Message | Tick | Said | Over

_encoder = msgspec.msgpack.Encoder()
_node_decoder = msgspec.msgpack.Decoder(NodeWord)
_coordinator_decoder = msgspec.msgpack.Decoder(CoordinatorWord)


def encode(word: NodeWord | CoordinatorWord) -> bytes:
    """The body of a frame that holds `word`."""
    return _encoder.encode(word)


def decode_from_node(body: bytes) -> NodeWord:
    """Read what a node said.

    Raises:
        ProtocolError: the bytes are no word of this protocol.
    """
    try:
        word: NodeWord = _node_decoder.decode(body)
    except msgspec.MsgspecError as exc:
        raise ProtocolError(f"no word of a simulated node: {exc}") from exc
    return word


def decode_from_coordinator(body: bytes) -> CoordinatorWord:
    """Read what the coordinator said.

    Raises:
        ProtocolError: the bytes are no word of this protocol.
    """
    try:
        word: CoordinatorWord = _coordinator_decoder.decode(body)
    except msgspec.MsgspecError as exc:
        raise ProtocolError(f"no word of a simulation's coordinator: {exc}") from exc
    return word


def encode_invitation(invitation: Invitation) -> str:
    """The text of the environment variable."""
    return msgspec.json.encode(invitation).decode()


def decode_invitation(text: str) -> Invitation:
    """Read the environment variable.

    Raises:
        ProtocolError: it was not written by a simulation.
    """
    try:
        return msgspec.json.decode(text, type=Invitation)
    except msgspec.MsgspecError as exc:
        raise ProtocolError(f"the environment variable `{VARIABLE}` is malformed: {exc}") from exc

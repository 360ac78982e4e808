"""What a client and the background daemon (`dora up`) say to each other: tagged structs.

One connection, one question after the other; each has one answer, `Refused` where it is not done.
What concerns one running dataflow is asked at that dataflow's own address (`wire.visits`).
"""

from __future__ import annotations

import msgspec

from dora.errors import ProtocolError
from dora.wire.messages import GARBAGE, Refused


class GreetDaemon(msgspec.Struct, tag="greet_daemon", frozen=True):
    """Client, first of all. Answer: `Daemon`."""

    protocol: int
    version: str


class StartDataflow(msgspec.Struct, tag="start_dataflow", frozen=True):
    """Client: run this plan. Answer: `Started`, when its processes were started."""

    plan: bytes
    """Packed, see `descriptor.packing`."""
    name: str | None = None
    hot_reload: bool = False
    after: str | None = None
    """The id of a dataflow that this one is the restart of: its parameters are taken over."""


class AskRuns(msgspec.Struct, tag="ask_runs", frozen=True):
    """Client: which dataflows do you run, and which have you run? Answer: `Runs`."""


class AskPlan(msgspec.Struct, tag="ask_plan", frozen=True):
    """Client: the plan with which a run was started. Answer: `PackedPlan`."""

    id: str


class Forget(msgspec.Struct, tag="forget", frozen=True):
    """Client: forget the runs that are over, and their parameters. Answer: `Runs`, those."""


class Shutdown(msgspec.Struct, tag="shutdown", frozen=True):
    """Client: end. The connection ends when it has, or `Refused` while dataflows run."""

    force: bool = False
    """Stop dataflows that run, first."""


class HandOver(msgspec.Struct, tag="hand_over", frozen=True):
    """Client: become this program, without stopping a node. The connection ends, or `Refused`."""

    argv: list[str]
    env: dict[str, str]


Question = StartDataflow | AskRuns | AskPlan | Forget | Shutdown | HandOver
Message = GreetDaemon | Question


class Daemon(msgspec.Struct, tag="daemon", frozen=True):
    """Daemon: who I am."""

    pid: int
    version: str
    protocol: int
    started_ns: int
    """Ns since the epoch."""
    python: str
    """Its interpreter."""
    checkout: str
    state_file: str
    running: int
    """How many dataflows."""


class Started(msgspec.Struct, tag="started", frozen=True):
    """Daemon: it runs."""

    id: str
    name: str


class Run(msgspec.Struct, frozen=True):
    """One run of a dataflow, as the daemon keeps it."""

    id: str
    name: str
    file: str
    log_dir: str
    nodes: int
    status: str
    """`running`, `finished` or `failed`."""
    started_ns: int
    """Ns since the epoch."""
    ended_ns: int | None = None
    failure: str = ""
    """What is told of it, if it failed."""
    summary: str = ""


class Runs(msgspec.Struct, tag="runs", frozen=True):
    """Daemon: runs, oldest first."""

    runs: list[Run]


class PackedPlan(msgspec.Struct, tag="packed_plan", frozen=True):
    """Daemon: a plan; see `StartDataflow`."""

    plan: bytes
    name: str
    hot_reload: bool


Answer = Daemon | Refused | Started | Runs | PackedPlan

_question_decoder = msgspec.msgpack.Decoder(Message)
_answer_decoder = msgspec.msgpack.Decoder(Answer)


def decode_question(body: bytes) -> Message:
    """Read what a client sent.

    Raises:
        ProtocolError: the bytes are no message of this protocol.
    """
    try:
        message: Message = _question_decoder.decode(body)
    except GARBAGE as exc:
        raise ProtocolError(f"no message to a background daemon: {exc}") from exc
    return message


def decode_answer(body: bytes) -> Answer:
    """Read what the daemon answered.

    Raises:
        ProtocolError: the bytes are no message of this protocol.
    """
    try:
        message: Answer = _answer_decoder.decode(body)
    except GARBAGE as exc:
        raise ProtocolError(f"no message of a background daemon: {exc}") from exc
    return message

"""A replay in virtual time: the recording's clock is the clock of all nodes, and repeats exactly.

The nodes that are not replaced run as under `dora.testing`, one at a time, with their own
`time.time()`, timers and timeouts following the recorded time. Two replays send the same bytes.

Used by `recording.replay`. Elsewhere: the rules (`simulation.coordinator`), who plays
(`recording.casting`).
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from typing import TYPE_CHECKING

from dora.errors import ReplayError
from dora.recording.message import RecordedMessage
from dora.simulation.coordinator import Arrival, Coordinator
from dora.simulation.driver import Driver
from dora.simulation.outcome import check_ends
from dora.simulation.queues import Parcel
from dora.wire import metadata as wire_metadata
from dora.wire.framing import MAX_FRAME_BYTES
from dora.wire.runtime import VARIABLE as OPERATORS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from dora.descriptor.plan import Plan
    from dora.simulation.coordinator import Sent

_MOST_BYTES = MAX_FRAME_BYTES - (1 << 20)
"""Of one payload: what else a message has goes along."""
_FIELDS = struct.Struct("<qIII")
_NAMESPACE = uuid.UUID("6f2b1c1e-0d7a-5a39-9d0c-2f6f0b6f8a11")


class Digest:
    """What one output sent: how much, and a fingerprint of all of it."""

    def __init__(self) -> None:
        self.messages = 0
        self._hash = hashlib.sha256()

    def add(self, message: RecordedMessage) -> None:
        """Take a message in: its time, type, metadata and payload."""
        parts = message.header, message.metadata, message.view
        self._hash.update(_FIELDS.pack(message.sent_ns, *map(len, parts)))
        for part in parts:
            self._hash.update(part)
        self.messages += 1

    @property
    def text(self) -> str:
        """The fingerprint."""
        return self._hash.hexdigest()[:32]


def replay_virtually(
    plan: Plan,
    plays: Mapping[str, tuple[str, str]],
    messages: Iterable[RecordedMessage],
    zero_ns: int,
    *,
    hang_s: float,
    keep: Callable[[RecordedMessage], None] = lambda _message: None,
    show: Callable[[str, str, bytes], None] = lambda _node, _stream, _data: None,
) -> dict[str, Digest]:
    """Run a dataflow on recorded messages, in virtual time.

    Args:
        plan: The dataflow; its replaced nodes are not started.
        plays: Recorded topic to the node and output it is sent on.
        messages: What was recorded of these topics, in order.
        zero_ns: The recorded time at which virtual time begins.
        hang_s: How long a node may compute at a time, in seconds of real time.
        keep: Takes each message that a node sent.
        show: Takes what nodes print.

    Returns:
        What each output of the nodes that ran has sent, `node/output`.

    Raises:
        SimulationError: a node failed (its traceback is in the message), or hangs (its stack).
        ReplayError: a node cannot run in virtual time.
    """
    replaced = {node for node, _ in plays.values()}
    running = [node for node in plan.nodes if node.command is not None and node.id not in replaced]
    _check_runnable(plan, [node.id for node in running])
    digests = {f"{node.id}/{output}": Digest() for node in running for output in node.outputs}

    def take(sent: Sent) -> None:
        parcel = sent.parcel
        message = RecordedMessage(
            f"{sent.node}/{sent.output}",
            parcel.header,
            parcel.payload,
            parcel.metadata,
            parcel.sent_ns,
            parcel.sent_ns,
        )
        digests[message.topic].add(message)
        keep(message)

    coordinator = Coordinator(
        plan,
        {node.id for node in running},
        _arrivals(messages, plays, zero_ns),
        start_ns=zero_ns,
        keep=take,
    )
    driver = Driver(
        plan,
        coordinator,
        {},
        any_output=False,
        hang_s=hang_s,
        dataflow_id=str(uuid.uuid5(_NAMESPACE, f"{plan.name} {zero_ns}")),
        show=show,
    )
    driver.run()
    check_ends(driver.actors, driver.leftovers.found)
    return digests


def _arrivals(
    messages: Iterable[RecordedMessage], plays: Mapping[str, tuple[str, str]], zero_ns: int
) -> Iterator[Arrival]:
    for message in messages:
        node, output = plays[message.topic]
        if message.view.nbytes > _MOST_BYTES:
            raise ReplayError(
                f"a message of `{message.topic}` has {message.view.nbytes:,} bytes; in virtual "
                f"time at most {_MOST_BYTES:,} travel"
            )
        metadata = message.metadata_dict()
        parcel = Parcel(
            message.header,
            bytes(message.view),
            message.metadata,
            0,
            wire_metadata.is_correlated(metadata),
            wire_metadata.is_flush(metadata),
        )
        yield Arrival(node, output, parcel, message.sent_ns - zero_ns)


def _check_runnable(plan: Plan, running: Collection[str]) -> None:
    if not running:
        raise ReplayError("no node is left to run: all are replaced")
    for node in running:
        if OPERATORS in plan.node(node).env:
            raise ReplayError(
                f"node `{node}` is made of operators, which do not run in virtual time; replay it "
                f"too, if it was recorded (`--replace ...,{node}`), or leave `--deterministic` out"
            )

"""A host without a daemon: a node in this process is fed, and what it sends is handed over here.

Everything between the node's calls and the values is the real thing: the event stream, the arena,
encoding and decoding; only pipes and other processes are not there. So a node that works on a stage
works in a dataflow. What plays on it: a prompt (`node.interactive`), a file (`node.scripted`), a
list (`dora.testing`).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dora.errors import NodeClosedError
from dora.ids import is_port_id
from dora.node import events
from dora.node.event_stream import EventStream
from dora.transport.arena import Arena, create_memory
from dora.transport.sender import Sender, materialise
from dora.wire import messages
from dora.wire import metadata as wire_metadata
from dora.wire.board import BoardLayout
from dora.wire.payload import encode
from dora.wire.values import reader_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dora.node.event_types import Event, InputEvent
    from dora.transport.loan import Loan
    from dora.wire.extensions import Extensions
    from dora.wire.payload import Encoded

_ARENA_BYTES = 1 << 36
"""Address space only: memory is taken where it is written to."""


def input_event(
    input_id: str,
    encoded: Encoded,
    metadata: Mapping[str, Any] | None = None,
    sent: datetime | None = None,
) -> InputEvent:
    """An INPUT event as a receiver would get it: a value of its own, read-only.

    Args:
        input_id: The input.
        encoded: What `wire.payload.encode` made of the value.
        metadata: What the sender gives along.
        sent: When it was sent; now when not given.

    Raises:
        MetadataError: the metadata cannot be sent.
    """
    header, size, body = encoded
    read, type_info = reader_of(header)
    value = read(materialise(body, size))
    given = wire_metadata.decode(wire_metadata.encode(metadata)) if metadata else {}
    given["timestamp"] = sent or datetime.now(UTC)
    given["type_info"] = type_info
    return {"kind": "dora", "id": input_id, "metadata": given, "type": "INPUT", "value": value}


class StageSender(Sender):
    """Hands every message to a callback instead of writing it into pipes.

    Args:
        arena: Where loans lie.
        took: Called with each message as its receivers would get it, under the id of the output.
        outputs: The outputs that there are; None takes any.
    """

    def __init__(
        self, arena: Arena, took: Callable[[InputEvent], None], outputs: Sequence[str] | None
    ) -> None:
        super().__init__(arena)
        self._took = took
        self._known = None if outputs is None else set(outputs)
        self._ended: set[str] = set()
        self._closed = False

    def has_output(self, output_id: str) -> bool:
        """Whether this output is there and not closed."""
        if output_id in self._ended:
            return False
        if self._known is not None:
            return output_id in self._known
        return isinstance(output_id, str) and is_port_id(output_id)

    def close_output(self, output_id: str) -> None:
        """Take nothing more on this output."""
        self._ended.add(output_id)

    def send(
        self,
        output_id: str,
        encoded: Encoded,
        metadata: bytes = b"",
        *,
        correlated: bool = False,
        flush: bool = False,
        loan: Loan | None = None,
    ) -> None:
        """Hand the message over before this returns.

        In a signal handler that interrupted another send, right behind that one.

        Raises:
            NodeClosedError: another thread closed the output, or all, meanwhile.
        """
        del correlated, flush, loan
        if self._closed or output_id in self._ended:
            raise NodeClosedError(f"`{output_id}` was closed while a message was on its way")
        given = wire_metadata.decode(metadata) if metadata else {}
        message = input_event(output_id, encoded, given)
        with self._lock:
            self._deferred.append(lambda: self._took(message))
            if self._busy:
                return
            self._busy = True
            try:
                self._catch_up()
            finally:
                self._busy = False

    def close(self) -> None:
        """Take nothing more."""
        self._closed = True
        super().close()


class Stage:
    """Hosts one node of this process (`node.host.Host`). `close()` gives up all it owns.

    Args:
        node_id: What `node.id` is.
        took: Called with each message that the node sends, `id` being the output's.
        outputs: The node's outputs; None takes any.
        config: What `node_config()` returns.
        descriptor: What `dataflow_descriptor()` returns.
        types: What is declared of its ports, see `wire.layouts.pack`.
        dataflow_id: What `dataflow_id()` returns.
        restart_count: What `restart_count()` returns.
        make_stream: Makes its event stream; takes what `EventStream` takes.
        make_sender: Makes its sender; takes what `StageSender` takes.
    """

    _extensions: Extensions | None = None

    def __init__(
        self,
        node_id: str,
        took: Callable[[InputEvent], None],
        *,
        outputs: Sequence[str] | None = None,
        config: dict[str, Any] | None = None,
        descriptor: dict[str, Any] | None = None,
        types: dict[str, Any] | None = None,
        dataflow_id: str = "no-dataflow",
        restart_count: int = 0,
        make_stream: Callable[..., EventStream] = EventStream,
        make_sender: Callable[..., StageSender] = StageSender,
    ) -> None:
        layout = BoardLayout(0, 0, 0)
        self.words = memoryview(bytearray(layout.size_bytes)).cast("Q")
        self.seen_control = 0
        arena = Arena(create_memory("dora stage", _ARENA_BYTES), 1, _ARENA_BYTES)
        self.welcome = messages.Welcome(
            fds=0,
            dataflow=dataflow_id,
            node=node_id,
            incarnation=restart_count,
            restart_count=restart_count,
            arena=messages.ArenaWire(1, _ARENA_BYTES),
            arenas=[],
            outputs=[messages.OutputWire(output, []) for output in outputs or ()],
            inputs=[],
            timers=[],
            end_without_timers=False,
            log_inputs=[],
            config=config or {"inputs": {}, "outputs": list(outputs or ())},
            descriptor=descriptor or {"nodes": [{"id": node_id}]},
            types=types or {},
        )
        self._output_ids = None if outputs is None else tuple(outputs)
        self.sender = make_sender(arena, took, outputs)
        self._quiet_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Stands where a daemon's socket would: never readable."""
        self.stream = make_stream(
            [],
            [],
            self._quiet_fd,
            self.pump,
            endless=frozenset(),
            end_without_timers=False,
            spin_us=0,
            tidy=_nothing_to_tidy,
        )
        self._closed = False

    @property
    def output_ids(self) -> tuple[str, ...] | None:
        """The outputs that were declared; None: any id may be one."""
        return self._output_ids

    def feed(self, input_id: str, data: Any, metadata: Mapping[str, Any] | None = None) -> None:
        """Give the node a message. Any thread may call this.

        Raises:
            PayloadTypeError: `data` could not be sent either.
            MetadataError: the metadata could not be sent either.
        """
        self.post(input_event(input_id, encode(data), metadata))

    def post(self, event: Event) -> None:
        """Give the node any event. Any thread may call this."""
        self.stream.post(event)

    def stop(self) -> None:
        """Tell the node that nothing more comes."""
        self.post(events.stop("ALL_INPUTS_CLOSED"))

    def pump(self) -> None:
        """There is no daemon that could have said anything."""

    def ask(self, question: messages.ExtensionAsk) -> messages.ExtensionAnswer:
        """Keep values for this node alone."""
        from dora.wire.extensions import Extensions

        self._extensions = self._extensions or Extensions()
        return self._extensions.answer(self.welcome.node, question)

    def close_outputs(self, output_ids: Sequence[str]) -> None:
        """Take nothing more on these outputs."""
        for output_id in output_ids:
            self.sender.close_output(output_id)

    def close(self, *, goodbye: bool = True) -> None:
        """Give up every descriptor; twice is fine. Values that were handed out stay valid."""
        del goodbye
        if self._closed:
            return
        self._closed = True
        self.stream.close()
        self.sender.close()
        os.close(self._quiet_fd)

    def disown(self) -> None:
        """In a forked child: there is nobody to leave."""


def _nothing_to_tidy() -> bool:
    return False

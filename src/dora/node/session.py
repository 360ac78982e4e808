"""One node's part in a dataflow: the link, the sender and the event stream, wired as told.

Turns the daemon's `Welcome` and its descriptors into edges, memory, counters and timers, waits for
the start barrier, and afterwards carries out what the daemon says.
Elsewhere: the user's calls (`node.node`), the socket (`node.daemon_link`).
"""

from __future__ import annotations

import itertools
import os
import select
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from dora.errors import NodeInitError, ProtocolError
from dora.node import daemon_link, events
from dora.node.arenas import Arenas
from dora.node.event_stream import EventStream
from dora.node.forwarding import Forwarder
from dora.node.inputs import InputPort, dropped_when_late
from dora.node.stack_dump import answer_into, leave_to_parent
from dora.node.timers import Alarm, Timer
from dora.node.waiting import spin_us
from dora.transport.arena import Arena, ArenaView, map_words
from dora.transport.edge import SendingEdge
from dora.transport.receiving_edge import ReceivingEdge
from dora.transport.sender import Sender
from dora.wire import messages, spans
from dora.wire.board import (
    STATE_RUNNING,
    WORD_BYTES,
    WORD_CONTROL,
    WORD_PID,
    WORD_STATE,
    BoardLayout,
    Turn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dora.node.daemon_link import DaemonLink
    from dora.node.event_types import NodeFailure
    from dora.node.extensions import Questions
    from dora.node.tracing import Tracer

_NEW_ARENA_DEADLINE_S = 60.0
_LOOK_AGAIN_MS = 100  # another thread may have read the daemon's word


class Session:
    """A joined node. `close()` gives up all it owns; twice is fine.

    Args:
        link: Its control socket.
        welcome: What the daemon said of its part.
        make_stream: Makes its event stream; takes what `EventStream` takes.
    """

    def __init__(
        self,
        link: DaemonLink,
        welcome: messages.Welcome,
        make_stream: Callable[..., EventStream] = EventStream,
    ) -> None:
        self.link = link
        self.welcome = welcome
        self._pumping = threading.Lock()
        self._asking = threading.Lock()
        self._questions: Questions | None = None
        self._tracer: Tracer | None = None
        self.interrupted = False
        """Whether a sender need not wait for room any more: the dataflow stops."""
        self.seen_control = 0
        """The control word when the socket was last looked at."""
        layout = self._layout = _layout_of(welcome)
        fds = iter(link.take_descriptors(welcome.fds))
        arena = Arena(next(fds), welcome.arena.arena, welcome.arena.size_bytes)
        self.words = map_words(next(fds), layout.size_bytes)
        turn = Turn(self.words, welcome.heartbeat_s)
        self.sender = Sender(arena, self, turn)
        answer_into(next(fds))
        self.words[WORD_PID] = os.getpid()
        self._arenas = Arenas()
        self._map_arenas(welcome.arenas, fds)
        self._wire_outputs(layout, fds)
        ports = [self._input_port(wire, fds, at) for at, wire in enumerate(welcome.inputs)]
        self._early: list[messages.DaemonMessage] = []
        if welcome.inputs or welcome.heartbeat_s is not None:
            # Else the first message would wait for it, and the node would seem to be stuck.
            import pyarrow  # noqa: F401

        self.epoch_ns = epoch_ns = self._wait_for_start()
        """When the dataflow started (CLOCK_MONOTONIC): what timers count from."""
        self.words[WORD_STATE] = STATE_RUNNING
        self.stream = make_stream(
            ports,
            [Timer(timer.id, timer.interval_ns, epoch_ns) for timer in welcome.timers],
            link.fileno(),
            self.pump,
            endless=frozenset(welcome.log_inputs),
            end_without_timers=welcome.end_without_timers,
            spin_us=spin_us(),
            tidy=self.sender.tidy,
            turn=turn,
        )
        self._forwarder = Forwarder(self.sender, lambda text: self.stream.post(events.error(text)))
        for message in self._early:
            self._obey(message)

    @property
    def output_ids(self) -> tuple[str, ...]:
        """The outputs that were declared, also those that are closed."""
        return tuple(output.id for output in self.welcome.outputs)

    def fileno(self) -> int:
        """The control socket: what a sender that waits for room must watch."""
        return self.link.fileno()

    def pump(self) -> None:
        """Carry out what the daemon has said. Any thread may call this; never blocks.

        One thread at a time does, in the order the daemon said it; for another, or for a signal
        handler that interrupted it, there is nothing to do.
        """
        if not self._pumping.acquire(blocking=False):
            return
        try:
            self.seen_control = self.words[WORD_CONTROL]
            gone_before = self.link.gone
            for message in self.link.pump():
                self._obey(message)
            if self.link.gone and not gone_before:
                self.interrupted = True
                self.stream.unwatch(self.link.fileno())
                self.stream.post(events.error("the daemon that ran this dataflow is gone"))
                self.stream.post(events.stop("MANUAL"))
        finally:
            self._pumping.release()

    def ask(self, question: messages.ExtensionAsk) -> messages.ExtensionAnswer:
        """Ask the dataflow's table of values."""
        from dora.node.extensions import Questions

        with self._asking:  # all threads must come to the same one
            if self._questions is None:
                self._questions = Questions(self.link, self.pump)
        return self._questions.ask(question)

    def close_outputs(self, output_ids: Sequence[str]) -> None:
        """Send nothing more on these, and have the daemon close them behind all that was sent."""
        for output_id in output_ids:
            self.sender.close_output(output_id)
        self.link.send(messages.CloseOutputs(list(output_ids)))

    def ask_stop(self, why: str) -> None:
        """Ask the daemon to stop the whole dataflow."""
        self.link.send(messages.StopDataflow(why))

    def tell_restarted(self, operator: str) -> None:
        """Tell the daemon that an operator was made anew."""
        self.link.send(messages.OperatorRestarted(operator))

    def disown(self) -> None:
        """In a forked child: give up what tells the daemon that the process lives."""
        self.link.disown()
        leave_to_parent()

    def close(self, *, goodbye: bool = True) -> None:
        """Say goodbye; give up every descriptor. Values that were received stay valid.

        Without a goodbye the daemon takes the end of the process for the end of the node.
        """
        if self._tracer is not None:
            self._tracer.close()
        self.stream.close()
        self.sender.close()  # before the goodbye: nothing may come behind the daemon's CLOSE
        self._forwarder.close()
        if goodbye and not self.link.gone:
            self.link.send(messages.Goodbye())
        if self._questions is not None:
            self._questions.close()
        self.link.close()
        self._arenas.close()

    def _map_arenas(self, arenas: Iterable[messages.ArenaWire], fds: Iterator[int]) -> None:
        for wire in arenas:
            self._arenas.add(wire, ArenaView(next(fds), wire.size_bytes))

    def _wire_outputs(self, layout: BoardLayout, fds: Iterator[int]) -> None:
        numbers = itertools.count()
        for index, output in enumerate(self.welcome.outputs):
            routes = [self._sending_edge(route, fds, next(numbers)) for route in output.routes]
            at = layout.output(index)
            self.sender.add_output(output.id, routes, self.words[at : at + 2])

    def _sending_edge(
        self, route: messages.RouteWire, fds: Iterator[int], number: int | None
    ) -> SendingEdge:
        """A route, whose counters stand in place `number` of the board, if anywhere."""
        if number is None:
            counters = memoryview(bytearray(3 * WORD_BYTES)).cast("Q")
        else:
            at = self._layout.route(number)
            counters = self.words[at : at + 3]
        return SendingEdge(
            route.edge,
            next(fds),
            next(fds),
            next(fds),
            route.queue_size,
            backpressure=route.backpressure,
            arena=self.sender.arena,
            counters=counters,
            flushes=bool(route.receiver),  # a tap sees all that was sent
        )

    def _input_port(
        self, wire: messages.InputWire, fds: Iterator[int], number: int | None
    ) -> InputPort:
        """An input, whose counters stand in place `number` of the board, if anywhere."""
        edge = ReceivingEdge(
            next(fds), next(fds), backpressure=wire.backpressure, takes_over=wire.takes_over
        )
        late = dropped_when_late()
        port = InputPort(
            wire.id,
            edge,
            self._find_arena,
            self._input_words(number),
            None if wire.timeout_s is None else Alarm(wire.timeout_s),
            drops_late=late is not None and (not late or wire.id in late),
            as_arrow=wire.as_arrow,
            queue_size=wire.queue_size,
        )
        self._arenas.read_by(wire.sender, port)
        return port

    def _input_words(self, number: int | None) -> memoryview:
        if number is None:
            size = self._layout.input(1) - self._layout.input(0)
            return memoryview(bytearray(size * WORD_BYTES)).cast("Q")
        return self.words[self._layout.input(number) : self._layout.input(number + 1)]

    def _wait_for_start(self) -> int:
        """Wait for the start barrier; when the timers' epoch was (CLOCK_MONOTONIC, ns)."""
        while True:
            message = self.link.wait()
            if isinstance(message, messages.Start):
                return message.epoch_ns
            if isinstance(message, messages.Refused):
                raise NodeInitError(message.reason)
            self._early.append(message)
            if isinstance(message, messages.Stop):
                return time.monotonic_ns()

    def _find_arena(self, arena: int) -> ArenaView:
        """A sender's memory. That of one which came back is announced on the socket."""
        if (view := self._arenas.find(arena)) is not None:
            return view
        deadline = time.monotonic() + _NEW_ARENA_DEADLINE_S
        poll = select.poll()
        if self.link.fileno() >= 0:  # else closed by a signal handler meanwhile
            poll.register(self.link.fileno(), select.POLLIN)
        while True:
            over = self.link.gone or time.monotonic() > deadline
            self.pump()
            if (view := self._arenas.find(arena)) is not None:
                return view
            if over:
                raise ProtocolError(f"a ticket names arena {arena}, which the daemon never sent")
            poll.poll(_LOOK_AGAIN_MS)

    def _obey(self, message: messages.DaemonMessage) -> None:
        match message:
            case messages.Stop(alone=alone):
                self.interrupted = self.interrupted or not alone
                self.stream.post(events.stop("MANUAL"))
            case messages.ReceiverGone(edges=edges, died=died):
                self.sender.receiver_gone(edges, died=died, unread=True)
            case messages.AddRoute() | messages.AddInput():
                self._rewire(message)
            case messages.Send():
                self._forwarder.put(message)
            case messages.Reload(operator=operator):
                self.stream.post(events.reload(operator))
            case messages.Param(key=key, value=None):
                self.stream.post(events.param_deleted(key))
            case messages.Param(key=key, value=bytes(value)):
                self.stream.post(events.param_update(key, msgspec.json.decode(value)))
            case messages.NodeFailed(source=source, error=text, inputs=inputs):
                failure: NodeFailure = {
                    "source_node_id": source,
                    "error": text,
                    "affected_input_ids": inputs,
                }
                self.stream.post(
                    {"kind": "dora", "id": source, "type": "NODE_FAILED", "value": failure}
                )
            case messages.NodeRestarted(source=source):
                self.stream.post({"kind": "dora", "id": source, "type": "NODE_RESTARTED"})
            case messages.NewArena(fds=count, arena=wire):
                (fd,) = self.link.take_descriptors(count)
                self._arenas.tidy()
                self._arenas.add(wire, ArenaView(fd, wire.size_bytes))
            case messages.ExtensionAnswer():
                if self._questions is not None:
                    self._questions.note(message)
            case spans.Trace():
                self._trace(message)
            case messages.Start():
                pass  # a start that a stop overtook
            case _:
                raise ProtocolError(f"the daemon sent {type(message).__name__} to a running node")

    def _trace(self, message: spans.Trace) -> None:
        """Switch tracing on or off, or begin a trace."""
        if self._tracer is None:
            if not message.on:
                return
            from dora.node.tracing import Tracer

            parts = getattr(self.stream, "parts", {"": self.stream})  # operators have one each
            self._tracer = Tracer(parts, self.sender, self.link.try_send)
        self._tracer.obey(message)

    def _rewire(self, message: messages.AddRoute | messages.AddInput) -> None:
        """Take one more route or input in."""
        fds = iter(self.link.take_descriptors(message.fds))
        match message:
            case messages.AddRoute(output=output, route=route, at=at):
                self.sender.add_route(output, self._sending_edge(route, fds, at))
            case messages.AddInput(input=wire, arenas=arenas, at=at):
                self._arenas.tidy()
                self._map_arenas(arenas, fds)
                self.stream.add_port(self._input_port(wire, fds, at))


def _layout_of(welcome: messages.Welcome) -> BoardLayout:
    return BoardLayout.with_spare(
        outputs=len(welcome.outputs),
        routes=sum(len(output.routes) for output in welcome.outputs),
        inputs=len(welcome.inputs),
    )


def join(
    config: messages.NodeConfig | None,
    node_id: str | None,
    version: str,
    make_stream: Callable[..., EventStream] = EventStream,
) -> Session:
    """Join the dataflow and wait until it starts.

    Raises:
        NodeInitError: nobody takes the node in, or the dataflow's start failed.
        ProtocolError: the daemon speaks another protocol.
    """
    link, welcome = daemon_link.join(config, node_id, version)
    try:
        return Session(link, welcome, make_stream)
    except BaseException:
        link.close()
        raise

"""A node of a simulation: its host, whose events and time come from a coordinator.

What the node's code calls is the real thing up to the event stream and the encoding of values;
where a real node would wait, this one asks (`node.simulated_line`), and what it sends is told to
the coordinator. `try_recv` that finds nothing takes no time, but for one that is called again and
again: a node that only looks, and never waits, would stand still for ever.

Elsewhere: who answers (`simulation.coordinator`), the clock (`node.simulated_clock`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from dora.node import events
from dora.node.event_stream import EventStream
from dora.node.inputs import utc_from_ns
from dora.node.simulated_clock import clock
from dora.node.simulated_line import Line
from dora.node.stage import Stage, StageSender, input_event
from dora.transport import endpoint
from dora.transport.sender import materialise
from dora.wire import metadata as wire_metadata
from dora.wire import simulation as wire
from dora.wire.values import as_arrow, null_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dora.node.event_types import Event
    from dora.node.selection import Selection
    from dora.transport.loan import Loan
    from dora.wire.payload import Encoded

_NS = 10**9
_POLLS_FOR_NOTHING = 100
"""So often may `try_recv` find nothing before each such look takes time."""
_POLL_NS = 1_000_000


class SimulatedStream(EventStream):
    """Events as the coordinator hands them out; what this process posts itself comes first."""

    line: Line

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watched = {super().fileno()}
        """Descriptors that are readable when an event may be there."""
        self._idle_polls = 0
        self.as_arrow: frozenset[str] = frozenset()
        """Inputs on which NumPy arrays are handed out as Arrow arrays."""

    def fileno(self) -> int:
        """The descriptor to watch; the loop that will is taken over."""
        self.adopt_loop()
        return super().fileno()

    def adopt_loop(self) -> None:
        """Have the loop that runs here, if any, wait in virtual time."""
        if "asyncio" in sys.modules:
            from dora.node import simulated_loop

            simulated_loop.adopt(self.line, self._watched, self.keep)

    def wait(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None when the stream has ended; ERROR when the time is over."""
        deadline_ns = None if timeout_s is None else clock.now_ns + round(timeout_s * _NS)
        asked = False
        with self._lock:
            try:
                while not self.ended:
                    event = self._take()
                    if event is not None:
                        return event
                    if asked and deadline_ns is not None and clock.now_ns >= deadline_ns:
                        return events.timeout(timeout_s or 0.0)
                    asked = True
                    self._ask(None if deadline_ns is None else max(0, deadline_ns - clock.now_ns))
                return None
            finally:
                self._ring()

    def drain(self) -> list[Event]:
        """All events that are there now."""
        return list(iter(self.try_take, None))

    def select(self, *args: Any, **kwargs: Any) -> Selection:
        """Read some inputs apart, in virtual time; see `EventStream.select`."""
        selection = super().select(*args, **kwargs)
        fd = selection._epoll.fileno()
        self._watched.add(fd)
        selection._waiting = _Asking(self, fd)  # type: ignore[assignment]
        return selection

    def deselect(self, selection: Selection, left: list[Event]) -> None:
        """The selection is over."""
        super().deselect(selection, left)
        still_open = {one._epoll.fileno() for one in self.selections}
        self._watched.intersection_update({super().fileno(), *still_open})

    def keep(self, answer: wire.Answer) -> None:
        """Put in what the coordinator handed out. Any thread may call this."""
        event = _event_of(answer)
        if event is not None and event["type"] == "INPUT" and event["id"] in self.as_arrow:
            event["value"] = as_arrow(event["value"])
        if event is not None:
            self.post(event)

    def ask(self, timeout_ns: int | None, beside: int) -> None:
        """Have the coordinator hand out an event; without a coordinator the stream ends."""
        self._idle_polls = 0
        answer = self.line.ask(receive=True, timeout_ns=timeout_ns, beside=beside)
        if answer is not None:
            self.keep(answer)
        elif not self.ended:
            self.post(events.error("the simulation that ran this node is gone"))
            self.post(events.stop("MANUAL"))

    def _poll(self, timeout_s: float | None) -> None:
        """Ask instead of looking; what was asked for lies among what was posted then."""
        if timeout_s == 0:
            idle = self._idle_polls + 1
            self._ask(_POLL_NS if idle > _POLLS_FOR_NOTHING else 0)
            self._idle_polls = 0 if self._pending else idle
        else:
            self._ask(None if timeout_s is None else round(timeout_s * _NS))

    def _ask(self, timeout_ns: int | None) -> None:
        super()._poll(0)
        if not self._pending and not self._ready:
            self.ask(timeout_ns, super().fileno())
            super()._poll(0)


class _Asking:
    """Stands for the `node.waiting.Waiting` of a selection."""

    def __init__(self, stream: SimulatedStream, fd: int) -> None:
        self._stream = stream
        self._fd = fd

    def wait(self, timeout_s: float | None) -> None:
        self._stream.ask(None if timeout_s is None else max(1, round(timeout_s * _NS)), self._fd)


class _Sender(StageSender):
    """Tells the coordinator what the node sends."""

    line: Line
    stream: SimulatedStream
    paced: frozenset[str]

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
        """Hand the message over; where receivers are never to lose one, wait for room."""
        del loan
        self.stream.adopt_loop()
        header, size, body = encoded
        payload = materialise(body, size)

        def word(number: int | None) -> wire.Send:
            return wire.Send(output_id, header, payload, metadata, correlated, flush, number)

        if output_id in self.paced:
            self.line.send_and_wait(word)
        else:
            self.line.say(word(None))


class SimulatedHost(Stage):
    """Hosts the node of this process in a simulation."""

    stream: SimulatedStream
    sender: _Sender

    def __init__(self, node_id: str, line: Line, begin: wire.Begin) -> None:
        super().__init__(
            node_id,
            _unheard,
            outputs=begin.outputs,
            config=begin.config,
            descriptor=begin.descriptor,
            types=begin.types,
            dataflow_id=begin.dataflow,
            make_stream=SimulatedStream,
            make_sender=_Sender,
        )
        self._line = line
        self.stream.line = self.sender.line = line
        self.stream.as_arrow = _read_as_arrow(begin.config)
        self.sender.stream = self.stream
        self.sender.paced = frozenset(begin.paced)
        self.stream.adopt_loop()

    def close_outputs(self, output_ids: Sequence[str]) -> None:
        """Take nothing more on these outputs."""
        super().close_outputs(output_ids)
        self._line.say(wire.CloseOutputs(list(output_ids)))

    def close(self, *, goodbye: bool = True) -> None:
        """Leave the simulation; twice is fine."""
        if goodbye:
            self._line.say(wire.Goodbye())
        super().close(goodbye=goodbye)
        self._line.close()

    def disown(self) -> None:
        """In a forked child: give up its copy of the socket."""
        super().disown()
        self._line.disown()


def join(invitation: wire.Invitation) -> SimulatedHost:
    """Join the simulation that invites, and wait until it begins.

    Raises:
        NodeInitError: it never does.
    """
    hosts: list[SimulatedHost] = []
    line = Line(endpoint.connect(invitation.address), lambda answer: hosts[0].stream.keep(answer))
    begin = line.begin(invitation.node)
    hosts.append(SimulatedHost(invitation.node, line, begin))

    def pause(timeout_ns: int) -> None:
        line.ask(receive=False, timeout_ns=timeout_ns)

    clock.pause = pause
    return hosts[0]


def _read_as_arrow(config: dict[str, Any]) -> frozenset[str]:
    """The inputs of a node with `receive_as: arrow`."""
    inputs = config["inputs"].items()
    return frozenset(
        name for name, entry in inputs if isinstance(entry, dict) and "receive_as" in entry
    )


def _event_of(answer: wire.Answer) -> Event | None:
    """The event that an answer brings; None when it brings none."""
    match answer:
        case wire.Message():
            encoded = (answer.header, len(answer.payload), answer.payload)
            given = wire_metadata.decode(answer.metadata)
            return input_event(answer.input, encoded, given, utc_from_ns(answer.sent_ns))
        case wire.Tick():
            now = utc_from_ns(clock.start_ns + answer.time_ns)
            given = {"timestamp": now, "type_info": "null"}
            return {
                "kind": "dora",
                "id": answer.input,
                "metadata": given,
                "type": "INPUT",
                "value": null_value(),
            }
        case wire.Said():
            said: Any = answer.event
            return said  # type: ignore[no-any-return]
    return None


def _unheard(event: Event) -> None:
    raise AssertionError(f"a message was not told to the coordinator: {event}")

"""The event stream of a node that is made of operators: one stream for each of them.

Splits inputs and timers by the operator's id in front, and takes it off: an operator sees the ids
that it knows. So each operator waits for its own inputs, is told by its own STOP when these are
closed, and nothing is read ahead for one that is busy.

Stands in for `node.event_stream` where `node.session` joins. Elsewhere: who waits
(`node.operators`).
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING

from dora.node.event_stream import EventStream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dora.node.event_types import Event
    from dora.node.inputs import InputPort
    from dora.node.timers import Timer
    from dora.wire.board import Turn


class OperatorStreams:
    """The streams of all operators. `close()` gives up all; twice is fine.

    Args:
        operators: Their ids.
        ports: Inputs from other nodes, named `operator/input`.
        timers: Inputs that tick, named likewise.
        control_fd: The daemon's socket.
        pump: Reads the daemon's socket; calls `post` for what it found.
        endless: Ids among the inputs that never close of themselves.
        end_without_timers: Timers and endless inputs do not keep a stream open.
        spin_us: How long a wait may stay awake.
        tidy: Takes back memory that receivers returned; whether they still hold much.
        turn: Where all of them note that they wait.
        maker_of: Gives what makes the event stream of an operator; that takes what `EventStream`
            takes.
    """

    def __init__(
        self,
        operators: Sequence[str],
        ports: list[InputPort],
        timers: list[Timer],
        control_fd: int,
        pump: Callable[[], None],
        *,
        endless: frozenset[str],
        end_without_timers: bool,
        spin_us: int,
        tidy: Callable[[], bool],
        turn: Turn,
        maker_of: Callable[[str], Callable[..., EventStream]] = lambda _operator: EventStream,
    ) -> None:
        self._control_fd = control_fd
        self._pump = pump
        self._turn = turn
        self.stopping = False
        """Whether all were told to stop."""
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._closing = threading.Lock()
        self._closed = False
        self._streams: dict[str, EventStream] = {}
        for operator in operators:
            prefix = f"{operator}/"
            own_ports = [port for port in ports if port.id.startswith(prefix)]
            own_timers = [timer for timer in timers if timer.id.startswith(prefix)]
            for port in own_ports:
                port.id = port.id.removeprefix(prefix)
            for timer in own_timers:
                timer.id = timer.id.removeprefix(prefix)
            self._streams[operator] = maker_of(operator)(
                own_ports,
                own_timers,
                control_fd,
                pump,
                endless=frozenset(
                    name.removeprefix(prefix) for name in endless if name.startswith(prefix)
                ),
                end_without_timers=end_without_timers,
                # Threads that stay awake would take the interpreter's lock from one another.
                spin_us=spin_us if len(operators) == 1 else 0,
                tidy=tidy,
                turn=turn,
            )

    def __getitem__(self, operator: str) -> EventStream:
        return self._streams[operator]

    @property
    def parts(self) -> dict[str, EventStream]:
        """The streams, by what stands before the names of their inputs."""
        return {f"{operator}/": stream for operator, stream in self._streams.items()}

    def add_port(self, port: InputPort) -> None:
        """Read one more input, named `operator/input`. Any thread may call this."""
        operator, _, port.id = port.id.partition("/")
        self._streams[operator].add_port(port)

    @property
    def ended(self) -> bool:
        """Whether nothing more comes for any operator."""
        return all(stream.ended for stream in self._streams.values())

    def post(self, event: Event) -> None:
        """Hand an event on to the operators that it concerns. Any thread may call this."""
        for operator, stream in self._streams.items():
            part = _part_of(event, operator)
            if part is not None:
                stream.post(part)
        if event["type"] == "STOP":
            self.stopping = True
            with self._closing:
                if not self._closed:
                    os.eventfd_write(self._stop, 1)

    def wait_for_stop(self, timeout_s: float) -> bool:
        """Wait, reading no input, until all are told to stop; False when the time is over."""
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        poll.register(self._control_fd, select.POLLIN)
        deadline = time.monotonic() + timeout_s
        while not self.stopping and (left := deadline - time.monotonic()) > 0:
            with self._turn:
                poll.poll(left * 1000)
            self._pump()
        return self.stopping

    def unwatch(self, fd: int) -> None:
        """Wait for this descriptor no more."""
        for stream in self._streams.values():
            stream.unwatch(fd)

    def close(self) -> None:
        """End all streams; threads that wait are handed None."""
        for stream in self._streams.values():
            stream.close()
        with self._closing:
            if not self._closed:
                self._closed = True
                os.close(self._stop)


def _part_of(event: Event, operator: str) -> Event | None:
    """What an event of the daemon is to one operator; None when it does not concern it."""
    if event["type"] == "RELOAD":
        return event if event["id"] == operator else None
    if event["type"] == "NODE_FAILED":
        prefix = f"{operator}/"
        affected = event["value"]["affected_input_ids"]
        own = [name.removeprefix(prefix) for name in affected if name.startswith(prefix)]
        return {**event, "value": {**event["value"], "affected_input_ids": own}} if own else None
    return event

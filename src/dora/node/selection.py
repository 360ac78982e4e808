"""Selections: some inputs of a node, read apart from its other events.

`node.request` waits for one answer, `node.sync` reads the inputs that it brings together; all else
stays where it is, in its pipe, for `next()`. A selection is a *claim* (of the inputs it names it
wants some messages; the others of these inputs are put aside in order, for `next()`), or it is
*exclusive*: nobody else reads its inputs while it is open.

Any thread may sit in `next()` meanwhile: whoever reads a message hands it to the selection that
wants it. No thread waits with the stream's lock in its hands but the one in `next()`; a selection
takes the lock only to look, waits without it, and is rung for when another thread had it. What is
ready on inputs that only an exclusive selection reads, that thread reads when it is nudged.

Used by `node.event_stream`, which owns the queues. Elsewhere: what is wanted (`node.services`,
`node.actions`, `node.synchroniser`, `node.streams`).
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from dora.errors import InputError, NodeClosedError
from dora.node import sources
from dora.node.waiting import LONGEST_S, Awaiting, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from dora.node.event_types import Event, InputEvent
    from dora.wire.board import Turn

STOPS = "the dataflow stops"
CLOSED = "nothing more comes on"


class Source(sources.Source, Protocol):
    """An input that a selection may read."""

    id: str
    fd: int

    @property
    def queue_size(self) -> int | None:
        """How many messages of it may be put aside; None: any number."""

    def count_overtaken(self) -> None:
        """Note that one which was put aside was dropped for a newer one."""


class Reader(Protocol):
    """What a selection needs of the stream that it is part of."""

    spin_us: int
    selections: tuple[Selection, ...]
    turn: Turn

    def serve(self, selection: Selection) -> bool:
        """Give the selection what is there; False when another thread has the stream."""

    def deselect(self, selection: Selection, left: list[Event]) -> None:
        """The selection is over: its inputs, and what is left, are for `next()` again."""

    def wake_up(self) -> None:
        """Have the thread that has the stream, and waits, see who is hungry."""


def refuse(others: tuple[Selection, ...], inputs: frozenset[str] | None, closed: bool) -> None:
    """Check that a selection of these inputs may be opened.

    Raises:
        NodeClosedError: the stream is closed.
        InputError: one of the others is exclusive, and reads one of these inputs.
    """
    if closed:
        raise NodeClosedError("this node cannot receive: it was closed")
    taken = {name for one in others if one.exclusive for name in one.inputs or ()}
    for name in sorted(taken & (inputs or frozenset())):
        raise InputError(
            f"input `{name}` is already read by another `sync`, `serve`, `serve_goals` or "
            "`stream_reader`; end that first (a loop over it: close its iterator)"
        )


class Selection:
    """See the module. Used by one thread at a time; `close()` twice is fine.

    Args:
        reader: The stream.
        inputs: The inputs; None for all, where there are no pipes.
        wants: Whether a message of these inputs is for this selection.
        chosen: Those of the inputs that are read from pipes and clocks.
        closed: Those of the inputs that are closed already.
        control_fd: The daemon's socket.
        exclusive: Nobody else reads these inputs.
    """

    def __init__(
        self,
        reader: Reader,
        inputs: frozenset[str] | None,
        wants: Callable[[InputEvent], bool],
        chosen: list[Source],
        closed: frozenset[str],
        control_fd: int,
        *,
        exclusive: bool,
    ) -> None:
        self.exclusive = exclusive
        self.inputs = inputs
        self.sources = chosen
        self.hands_out = exclusive
        """Whether whoever asks has handled what was handed out before; see `node.tracing`."""
        self.asked_ns = 0
        """When it was last waited for, by `time.perf_counter_ns`."""
        self.got: deque[Event] = deque()
        """Read for this selection and not yet handed out."""
        self.over: str | None = None
        """Why nothing more will come."""
        self._open = None if inputs is None else set(inputs - closed)
        self._reader = reader
        self._wants = wants
        self._closing = threading.RLock()
        self._closed = False
        self._missed = False
        """Whether another thread had the stream when last looked: it rings when it leaves."""
        self.hungry = False
        """Whether that thread is to read for this selection."""
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        for fd in (self._bell, control_fd, *(source.fd for source in chosen)):
            if fd >= 0:
                self._epoll.register(fd, select.EPOLLIN)
        self._waiting = Waiting(self._epoll, reader.spin_us, reader.turn)

    def reads(self, input_id: str) -> bool:
        """Whether this input is one of the selection's."""
        return self.inputs is None or input_id in self.inputs

    def takes(self, event: InputEvent) -> bool:
        """Whether this message is for this selection."""
        return self.over is None and self.reads(event["id"]) and self._wants(event)

    def give(self, event: Event) -> bool:
        """Hand an event over, with the stream's lock; False when this was just closed."""
        with self._closing:
            if self._closed:
                return False
            self.got.append(event)
            os.eventfd_write(self._bell, 1)
            return True

    def ring(self) -> None:
        """Have whoever waits look again. Any thread may call this."""
        with self._closing:
            if not self._closed:
                os.eventfd_write(self._bell, 1)

    def forget(self, input_id: str) -> None:
        """This input is closed."""
        with self._closing:
            if self._open is not None:
                self._open.discard(input_id)
            for source in [one for one in self.sources if one.id == input_id]:
                self.sources.remove(source)
                if not self._closed:
                    self._epoll.unregister(source.fd)
                    os.eventfd_write(self._bell, 1)
            self.note_end(stops=False)  # here: another thread may have the stream from now on

    def admit(self, source: Source) -> bool:
        """Read an input that was wired just now, if it is one of these; whether it is."""
        with self._closing:
            if self._closed or self.over is not None or self._open is None:
                return False
            if not self.reads(source.id):
                return False
            self._open.add(source.id)
            self.sources.append(source)
            self._epoll.register(source.fd, select.EPOLLIN)
            return True

    def note_end(self, stops: bool) -> None:
        """Note whether more can come."""
        if self.over is None and self._open is not None and not self._open:
            names = ", ".join(f"`{name}`" for name in sorted(self.inputs or ()))
            self.over = f"{CLOSED} {names}"
        elif stops:
            self.over = STOPS

    def try_take(self) -> Event | None:
        """The next event if one is there now.

        While another thread sits in `next()`, one that is there is found at a later call only.
        """
        event = self._look()
        if event is None and self._reads_alone and not self.hungry and self._epoll.poll(0):
            self._nudge()
        return event

    def stops(self) -> bool:
        """Whether the dataflow stops, as far as any thread of this node has heard."""
        if self.over != STOPS:
            self._reader.serve(self)
        return self.over == STOPS

    def wait(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None when the time is over, or nothing more will come: see `over`."""
        self.asked_ns = time.perf_counter_ns()
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            event = self._look()
            if event is not None or self.over is not None:
                return event
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            self._sleep(left)

    async def receive(self, timeout_s: float | None = None) -> Event | None:
        """`wait` for asyncio: neither blocks the loop nor takes a thread."""
        self.asked_ns = time.perf_counter_ns()
        await asyncio.sleep(0)  # also when messages come without a pause, other tasks run
        try:
            async with asyncio.timeout(timeout_s):
                with Awaiting(self._reader.turn):
                    return await self._receive()
        except TimeoutError:
            return None

    async def _receive(self) -> Event | None:
        while True:
            event = self._look()
            if event is not None or self.over is not None:
                return event
            if not self._missed or self._reads_alone:
                await _readable(self._epoll.fileno())
            if self._missed:
                if self._reads_alone and not self._is_rung():
                    self._nudge()
                await _readable(self._bell)
            self._hush()

    def close(self) -> None:
        """Want nothing more; what was not handed out goes back to the stream."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self.over = self.over or "it was closed"
            left = list(self.got)
            self.got.clear()
            self._epoll.close()
            os.close(self._bell)
        self._reader.deselect(self, left)  # not under the lock: whoever reads may want to ring

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _reads_alone(self) -> bool:
        """Whether another thread has the stream, but does not see this selection's inputs."""
        return self._missed and self.exclusive and bool(self.sources) and self.over is None

    def _look(self) -> Event | None:
        self._missed = False
        if not self.got and self.over is None:
            self._missed = not self._reader.serve(self)
        return self.got.popleft() if self.got else None

    def _nudge(self) -> None:
        """Have the thread that has the stream read for this selection; afterwards it rings."""
        self.hungry = True
        self._reader.wake_up()

    def _sleep(self, timeout_s: float | None) -> None:
        if not self._missed or self._reads_alone:
            found = self._waiting.wait(timeout_s)
            if not self._missed or not found:
                self._hush()
                return
            if not self._is_rung():
                self._nudge()
        # The other thread reads all inputs: looking at them would not sleep.
        with self._reader.turn:
            self._is_rung(timeout_s)
        self._hush()

    def _is_rung(self, timeout_s: float | None = 0.0) -> bool:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        if timeout_s:  # rounded up: a wait that ends too early is begun again
            timeout_s = min(LONGEST_S, timeout_s + 0.001)
        return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))

    def _hush(self) -> None:
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            return


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)

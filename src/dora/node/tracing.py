"""Where the time of a message goes: a span for each traced message that the node handles.

A node loads this when tracing is switched on. Messages of a trace are known by their metadata; only
while one is handled, or a trace is about to begin, does the tracer hook into the sender, the
streams and the timers. So an untraced message costs nothing.

A step is what one thread does from being handed a message to asking for the next. What is sent
meanwhile belongs to it; under asyncio, what is sent by the task that was handed the message, or by
tasks that this one started. Whoever hands on metadata with another context keeps that.
A trace begins where the daemon says so: with a tick, or, in a node without timers, with a message
that is sent of itself. Where a trace comes to an input a second time, on a longer way, it goes in a
circle and is not followed.

Elsewhere: contexts and spans (`wire.spans`), which node begins a trace (`daemon.traces`).
"""

from __future__ import annotations

import sys
import threading
import time
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from dora.wire import metadata as wire_metadata
from dora.wire.spans import (
    CONTEXT,
    Context,
    Sent,
    Span,
    Spans,
    new_span_id,
    new_trace_id,
    parse_context,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dora.node.event_stream import EventStream
    from dora.node.event_types import InputEvent
    from dora.node.inputs import InputPort
    from dora.node.timers import Timer
    from dora.transport.sender import Sender
    from dora.wire.spans import Trace

_MOST_HZ = 500.0
"""Spans of a node in a second; more are dropped, and counted."""
_MOST_SENT = 64
"""Messages noted of one step; more are traced and not noted."""
_MOST_SEEN = 512
"""Messages whose way is remembered."""


class Step(msgspec.Struct, eq=False):
    """A span that is not over."""

    trace: str
    span: str
    parent: str
    input: str
    sent_ns: int
    asked_ns: int
    received_ns: int
    context: str | None
    """Of what it sends; None where the trace is not followed."""
    sent: list[Sent] = []
    links: list[str] = []
    forgotten: bool = False
    """Whether tracing was switched off meanwhile."""

    def over(self) -> Span:
        """As it is told."""
        return Span(
            self.trace,
            self.span,
            self.parent,
            self.input,
            self.sent_ns,
            self.asked_ns,
            self.received_ns,
            time.time_ns(),
            self.sent,
            self.links,
        )


_current: ContextVar[Step | None] = ContextVar("dora_trace_step", default=None)


class Tracer:
    """Traces one node. `close()` takes it off; twice is fine. Any thread may send and receive.

    Args:
        streams: Its event streams; by what stands before the names of their inputs.
        sender: What it sends with.
        tell: Hands spans to the daemon; False when the daemon does not take them now.
    """

    def __init__(
        self,
        streams: Mapping[str, EventStream],
        sender: Sender,
        tell: Callable[[Spans], bool],
    ) -> None:
        self._tell = tell
        self._lock = threading.RLock()  # a signal handler may send and receive too
        self._open: dict[int, list[Step]] = {}
        """Steps by the thread that was handed the message."""
        self._shared = len(streams) == 1
        """Whether other threads may be taken to send for the one that receives."""
        self._stays = False
        """Whether tasks may send long after their step: the hooks stay, then."""
        self._seen: dict[tuple[str, str], int] = {}
        self._begins = False
        self._room, self._filled_s = _MOST_HZ, time.monotonic()
        self._lost = 0
        self._sender = sender
        self._streams = streams
        self._timers = [
            (timer, partial(self._tick, prefix))
            for prefix, stream in streams.items()
            for timer in stream.inputs.timers
        ]

    def obey(self, message: Trace) -> None:
        """Do what the daemon says."""
        if not message.on:
            self.close()
            return
        for prefix, stream in self._streams.items():
            stream.inputs.trace(partial(self._received, stream, prefix))
        if message.begin:
            with self._lock:
                for timer, tick in self._timers:
                    timer.traced = tick
                if not self._timers:
                    self._begins = True
                    self._sender.marks = self._mark

    def close(self) -> None:
        """Trace nothing more; tell of what is open."""
        for stream in self._streams.values():
            stream.inputs.trace(None)
        with self._lock:
            steps = [step for opened in self._open.values() for step in opened]
            self._open.clear()
            for step in steps:
                step.forgotten = True
            self._begins = self._stays = False
            self._hook_ticks_off()
            self._hook_off()
        self._finish(steps)

    # ---- steps ----

    def _received(
        self,
        stream: EventStream,
        prefix: str,
        port: InputPort,
        metadata: dict[str, Any],
        sent_ns: int,
    ) -> None:
        """A message that has a context is about to be handed out."""
        context = parse_context(metadata[CONTEXT])
        if context is None or not context.sampled:
            return
        now_ns = time.time_ns()
        span, name = new_span_id(), f"{prefix}{port.id}"
        hops = context.hops + 1
        text: str | None = None
        if self._goes_on(context.trace, name, hops):
            text = Context(context.trace, span, True, context.state, hops).text()
            metadata[CONTEXT] = text
        else:
            del metadata[CONTEXT]  # handed on, it would go round for ever
        asked_ns = min(now_ns, _asked_ns(stream, port.id, now_ns))
        step = Step(context.trace, span, context.span, name, sent_ns, asked_ns, now_ns, text)
        self._begin(step)

    def _goes_on(self, trace: str, name: str, hops: int) -> bool:
        """Whether a message came by the shortest way that its trace has to this input."""
        with self._lock:
            first = self._seen.setdefault((trace, name), hops)
            if len(self._seen) > _MOST_SEEN:
                del self._seen[next(iter(self._seen))]
            return hops <= first

    def _tick(self, prefix: str, timer: Timer, event: InputEvent) -> None:
        """A trace begins with this tick."""
        with self._lock:
            self._hook_ticks_off()
        step = _root(f"{prefix}{timer.id}")
        event["metadata"][CONTEXT] = step.context
        self._begin(step)

    def _hook_ticks_off(self) -> None:
        for timer, _ in self._timers:
            timer.traced = None

    def _begin(self, step: Step) -> None:
        with self._lock:
            opened = self._open.setdefault(threading.get_ident(), [])
            step.links = [other.span for other in opened]
            opened.append(step)
            self._stays = self._stays or _in_a_task()
            self._sender.marks = self._mark
            for stream in self._streams.values():
                stream.asks = self._end
        _current.set(step)

    def _end(self) -> None:
        """This thread asks for an event: what it was handed before is handled."""
        _current.set(None)
        if not self._open:  # where tasks may send later, the hook stays
            return
        with self._lock:
            steps = self._open.pop(threading.get_ident(), [])
            alive = sys._current_frames()  # takes no lock: a signal handler may be here
            for ended in [thread for thread in self._open if thread not in alive]:
                steps += self._open.pop(ended)
            self._hook_off()
        self._finish(steps)

    def _hook_off(self) -> None:
        """Take off the hooks that nothing needs now."""
        if self._open or self._stays:
            return
        for stream in self._streams.values():
            stream.asks = None
        if not self._begins:
            self._sender.marks = None

    # ---- sending ----

    def _mark(self, output_id: str, metadata: bytes) -> bytes:
        """The metadata of a message that is about to be sent, with what it belongs to."""
        step = _current.get()
        if step is None or step.forgotten:
            step = self._step_of_another_thread()
        if step is None and self._begins:
            with self._lock:
                self._begins = False
                self._hook_off()
            step = _root("")
            metadata = _marked(step, output_id, metadata)
            self._finish([step])
        elif step is not None and step.context is not None:
            metadata = _marked(step, output_id, metadata)
        return metadata

    def _step_of_another_thread(self) -> Step | None:
        """The step of the thread that receives, if there is one and this is not it."""
        if not self._open or not self._shared or threading.get_ident() in self._open:
            return None
        with self._lock:
            return next((opened[-1] for opened in self._open.values()), None)

    # ---- telling ----

    def _finish(self, steps: list[Step]) -> None:
        """Hand over what is over; a tick that nothing was sent for is no trace."""
        spans = [step.over() for step in steps if step.parent or step.sent]
        if not spans:
            return
        with self._lock:
            now_s = time.monotonic()
            self._room = min(_MOST_HZ, self._room + (now_s - self._filled_s) * _MOST_HZ)
            self._filled_s = now_s
            kept = spans[: int(self._room)]
            self._lost += len(spans) - len(kept)
            if not kept:
                return
            if self._tell(Spans(kept, self._lost)):
                self._room -= len(kept)
                self._lost = 0
            else:
                self._lost += len(kept)


def _root(input_id: str) -> Step:
    """A step that begins a trace, now."""
    context = Context(new_trace_id(), new_span_id())
    now_ns = time.time_ns()
    return Step(context.trace, context.span, "", input_id, 0, now_ns, now_ns, context.text())


def _in_a_task() -> bool:
    """Whether a loop of asyncio calls this. A node that never loaded it need not now."""
    loaded = sys.modules.get("asyncio")
    return loaded is not None and loaded._get_running_loop() is not None


def _marked(step: Step, output_id: str, metadata: bytes) -> bytes:
    """Metadata with the step's context, unless it has one already; the step notes the message."""
    facts = wire_metadata.decode(metadata)
    named = parse_context(facts[CONTEXT]) if CONTEXT in facts else None
    if CONTEXT not in facts:
        facts[CONTEXT] = step.context
        metadata = wire_metadata.encode(facts)
    elif named is None or named.trace != step.trace:
        return metadata  # it belongs to another trace: whoever sends it said so
    other = "" if named is None or named.span == step.span else named.span
    if len(step.sent) < _MOST_SENT:
        step.sent = [*step.sent, Sent(output_id, time.time_ns(), other)]
    return metadata


def _asked_ns(stream: EventStream, input_id: str, now_ns: int) -> int:
    """When whoever is handed a message asked for it, ns since the epoch."""
    apart = [one.asked_ns for one in stream.selections if one.reads(input_id)]
    if apart:
        asked_ns = max(apart)
    elif stream.turn.awaited_ns and _in_a_task():
        asked_ns = stream.turn.awaited_ns
    elif stream.served != stream.served_before:
        return now_ns  # it was ready as well when another one was taken
    else:
        asked_ns = stream.waits.began_ns
    return now_ns - (time.perf_counter_ns() - asked_ns)

"""Traces: the context that a message carries in its metadata, and spans, what nodes tell of them.

The context is dora-rs's: under the key `open_telemetry_context` the text
`traceparent:<W3C traceparent>;tracestate:<W3C tracestate>;`, whose parts come in any order. The
span that it names is what its sender did when it sent. Our own member of `tracestate`, `dora=N`,
counts the nodes that a trace has passed, so that one which goes in a circle is noticed.

Elsewhere: who makes spans (`node.tracing`), who keeps them (`daemon.traces`), what they show
(`monitor.traces`).
"""

from __future__ import annotations

import os
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

CONTEXT = "open_telemetry_context"
"""The key of the metadata."""

MOST_KEPT = 4096
"""Spans that a daemon keeps of each dataflow."""

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER = "dora="
_MOST_STATE = 512
_MOST_MEMBERS = 32


class Context(msgspec.Struct, frozen=True):
    """Which trace a message belongs to, and which span sent it."""

    trace: str
    """32 hexadecimal digits."""
    span: str
    """16 hexadecimal digits."""
    sampled: bool = True
    """Whether spans of it are to be kept."""
    state: str = ""
    """`tracestate` without our own member."""
    hops: int = 0
    """Nodes passed before the one that sent it."""

    def text(self) -> str:
        """What stands in the metadata."""
        members = [f"{_MEMBER}{self.hops}", *([self.state] if self.state else [])]
        parent = f"00-{self.trace}-{self.span}-{int(self.sampled):02x}"
        return f"traceparent:{parent};tracestate:{','.join(members)};"


def parse_context(text: object) -> Context | None:
    """Read what stands in the metadata; None for what is none: whoever put it there, it is lost."""
    if not isinstance(text, str):
        return None
    parent, state = _parts(text)
    found = _PARENT.fullmatch(parent)
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not (int(trace, 16) and int(span, 16)):
        return None
    members = [member.strip() for member in state.split(",")]
    own = next((member for member in members if member.startswith(_MEMBER)), "")
    digits = own.removeprefix(_MEMBER)
    hops = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0
    others = [member for member in members if member and not member.startswith(_MEMBER)]
    kept = ",".join(others[: _MOST_MEMBERS - 1])
    return Context(
        trace, span, bool(int(flags, 16) & 1), kept if len(kept) < _MOST_STATE else "", hops
    )


def _parts(text: str) -> tuple[str, str]:
    """`traceparent` and `tracestate`. The latter may itself have `;` and `:` in it."""
    head, mark, state = text.partition("tracestate:")
    if mark and head and not head.endswith(";"):
        return "", ""
    parent = head
    if "traceparent:" in state:
        state, _, parent = state.rpartition("traceparent:")
    return (
        parent.removeprefix("traceparent:").partition(";")[0].strip(),
        state.strip().removesuffix(";"),
    )


def new_trace_id() -> str:
    """The id of a new trace."""
    return os.urandom(16).hex()


def new_span_id() -> str:
    """The id of a new span."""
    return os.urandom(8).hex()


# What nodes tell is shown, added up and sent on: so only what can be is taken.
_TraceId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
_SpanId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
_AnySpanId = Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?\Z")]
_Port = Annotated[str, Meta(pattern=r"^[\w./-]{0,1024}\Z")]
_TimeNs = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Sent(msgspec.Struct, frozen=True):
    """A message that was sent within a span."""

    output: _Port
    at_ns: _TimeNs
    """When it was handed to dora, ns since the epoch; it may have waited for room then."""
    span: _AnySpanId = ""
    """The span that its context names, if that is another: one of the user's own."""


class Span(msgspec.Struct, frozen=True):
    """What a node did about one message, tick, or of itself; times are ns since the epoch."""

    trace: _TraceId
    span: _SpanId
    parent: _AnySpanId
    """Empty where the trace began."""
    input: _Port
    """Empty for what the node sent of itself; `operator/input` of an operator."""
    sent_ns: _TimeNs
    """When the message was sent; 0 where the trace began."""
    asked_ns: _TimeNs
    """When the node asked for an event that then was this one."""
    received_ns: _TimeNs
    """When the node was handed it."""
    done_ns: _TimeNs
    """When the node asked for the next."""
    sent: list[Sent] = []
    links: list[_SpanId] = []
    """Spans of messages that the node was handed in one go with this one."""
    node: str = ""
    """Set by the daemon, as the next."""
    source: str = ""
    """What the input reads from, as the dataflow file writes it."""


class Trace(msgspec.Struct, tag="trace", frozen=True):
    """Daemon to node: trace, or trace no more. Such messages may come twice."""

    on: bool
    begin: bool = False
    """Begin a trace at the next tick; without timers, at the next message that you send."""


class Spans(msgspec.Struct, tag="spans", frozen=True):
    """Node to daemon: spans that are over."""

    spans: list[Span]
    lost: Annotated[int, Meta(ge=0, le=(1 << 32) - 1)] = 0
    """Spans before these that were dropped, since there were too many."""


class AskTrace(msgspec.Struct, tag="ask_trace", frozen=True):
    """Client: switch tracing on or off, and tell what was traced. Answer: `Traced`."""

    action: Literal["look", "on", "off"]
    rate_hz: float | None = None
    """Traces begun in a second, in all; None: as it is."""
    for_s: float | None = None
    """On for so long from now on, unless it is on without an end; None: without an end."""
    after: int = 0
    """Spans of greater numbers only. The first has 1."""


class Traced(msgspec.Struct, tag="traced", frozen=True):
    """Daemon: spans in the order that they came in, 1024 at most, and how tracing stands."""

    spans: list[Span]
    last: int
    """Number of the last of these spans, or what was asked `after`."""
    newest: int
    """Number of the last span there is."""
    lost: int
    """Spans that nodes had to drop, since the start."""
    on: bool
    was_on: bool
    """Before this question."""
    rate_hz: float

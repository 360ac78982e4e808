"""Tracing of one dataflow: switched on and off, which node begins a trace when, spans kept.

A few traces in a second are begun in all, each by another node: one with timers, or one that all
that reaches it comes back from (a source, or a circle without one). So tracing costs the same
however fast messages go. On for a while, it goes off of itself.

Elsewhere: what nodes do (`node.tracing`), values (`wire.spans`), what spans show
(`monitor.traces`).
"""

from __future__ import annotations

import math
import os
from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from dora.errors import DoraError
from dora.wire.spans import MOST_KEPT, AskTrace, Span, Spans, Trace, Traced

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping

    from dora.daemon.callbacks import Loop
    from dora.daemon.flow import Flow
    from dora.daemon.link import Link
    from dora.daemon.visitors import Visitors

VARIABLE = "DORA_TRACE"
"""On from the start, with this many traces in a second."""

DEFAULT_HZ = 10.0
MOST_HZ = 100.0
_AT_ONCE = 1024
"""Spans of one answer."""
_OFF = frozenset({"", "0", "false", "off"})
_ON = frozenset({"true", "on"})


def asked_rate() -> float | None:
    """What the environment asks for; None: nothing.

    Raises:
        DoraError: it is no number of traces.
    """
    text = os.environ.get(VARIABLE, "").strip().lower()
    if text in _OFF:
        return None
    if text in _ON:
        return DEFAULT_HZ
    try:
        return _checked(float(text))
    except ValueError:
        raise DoraError(
            f"`{VARIABLE}={text}` is no number of traces in a second; write e.g. {DEFAULT_HZ:g}"
        ) from None


class TraceDesk:
    """Traces a dataflow as visitors ask.

    Args:
        visitors: Whose questions.
        loop: Where it waits until the next trace is to begin.
        flow: The nodes and edges.
        tell: Sends a node that runs a message.
        rate_hz: On from the start, if given.
    """

    def __init__(
        self,
        visitors: Visitors,
        loop: Loop,
        flow: Flow,
        tell: Callable[[str, Trace], None],
        rate_hz: float | None = None,
    ) -> None:
        self._loop = loop
        self._flow = flow
        self._tell = tell
        self._spans: deque[Span] = deque(maxlen=MOST_KEPT)
        self._newest = 0
        self._lost = 0
        self._rate_hz = DEFAULT_HZ
        self._until_s = -math.inf
        self._ticking: asyncio.TimerHandle | None = None
        self._turn = 0
        self._beginners: tuple[tuple[int, ...], list[str]] = ((), [])
        visitors.provide(AskTrace, self._answer)
        if rate_hz is not None:
            self.switch_on(rate_hz)

    @property
    def on(self) -> bool:
        """Whether it traces now."""
        return self._ticking is not None

    def switch_on(self, rate_hz: float | None = None, for_s: float | None = None) -> None:
        """Trace, for so long from now on at least; without an end if None.

        Raises:
            DoraError: the rate is none.
        """
        if rate_hz is not None:
            self._rate_hz = _checked(rate_hz)
        until_s = math.inf if for_s is None else self._loop.time() + for_s
        self._until_s = max(self._until_s, until_s)
        if self._ticking is None:
            for record in self._flow.roster:
                self._tell(record.id, Trace(on=True))
            self._tick()

    def switch_off(self) -> None:
        """Trace no more; what was traced is kept."""
        self._until_s = -math.inf
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
            for record in self._flow.roster:
                self._tell(record.id, Trace(on=False))

    def for_node(self, _node: str) -> list[Trace]:
        """What a process of the node that has just joined must be told."""
        return [Trace(on=True)] if self.on else []

    def heard(self, node: str, message: Spans) -> None:
        """Keep spans that a node told of."""
        self._lost += message.lost
        record = self._flow.roster.get(node)
        sources = {edge.input: edge.source for edge in self._flow.book.read_by(node)}
        for timer in record.plan.timers if record is not None else ():
            sources[timer.input] = f"dora/timer/nanos/{timer.interval_ns}"
        for span in message.spans:
            self._spans.append(replace(span, node=node, source=sources.get(span.input, "")))
        self._newest += len(message.spans)

    def _answer(self, link: Link, ask: AskTrace) -> None:
        was_on = self.on
        if ask.action == "on":
            self.switch_on(ask.rate_hz, ask.for_s)
        elif ask.action == "off":
            self.switch_off()
        oldest = self._newest - len(self._spans)
        begin = min(max(ask.after, oldest), self._newest)
        spans = [self._spans[at] for at in range(begin - oldest, len(self._spans))][:_AT_ONCE]
        link.send(
            Traced(
                spans,
                begin + len(spans),
                self._newest,
                self._lost,
                self.on,
                was_on,
                self._rate_hz,
            )
        )

    def _tick(self) -> None:
        """Have the next node begin a trace."""
        if self._loop.time() > self._until_s:
            self.switch_off()
            return
        nodes = self._who_begins()
        if nodes:
            self._turn += 1
            self._tell(nodes[self._turn % len(nodes)], Trace(on=True, begin=True))
        self._ticking = self._loop.call_later(1 / self._rate_hz, self._tick)

    def _who_begins(self) -> list[str]:
        """The nodes that begin traces, in turn; found anew when nodes or edges changed."""
        roster, book = self._flow.roster, self._flow.book
        linked = [record for record in roster if record.linked]
        seen = (book.next_number, len(book.edges), len(linked), sum(r.incarnation for r in linked))
        if self._beginners[0] != seen:
            timers = {record.id for record in linked if record.plan.timers}
            ids = [record.id for record in linked]
            edges = [(e.sender, e.receiver) for e in book.edges.values() if not e.tap]
            self._beginners = (seen, [*beginners(ids, edges, timers)])
        return self._beginners[1]


def beginners(
    nodes: Iterable[str], edges: Iterable[tuple[str, str]], with_timers: set[str]
) -> list[str]:
    """The nodes at which traces begin, in the order of `nodes`.

    Args:
        nodes: All of them.
        edges: Sender and receiver; those between other nodes do not count.
        with_timers: Nodes that tick.
    """
    ids = list(nodes)
    known = set(ids)
    readers: dict[str, list[str]] = {node: [] for node in ids}
    senders: dict[str, list[str]] = {node: [] for node in ids}
    for sender, receiver in edges:
        if sender in known and receiver in known:
            readers[sender].append(receiver)
            senders[receiver].append(sender)
    # Kosaraju: against the edges, in the order in which a search along them leaves nodes last,
    # each search finds one set of nodes that all reach each other.
    group: dict[str, int] = {}
    grouped: set[str] = set()
    for number, node in enumerate(reversed(_left_in_order(ids, readers, set()))):
        group |= dict.fromkeys(_left_in_order([node], senders, grouped), number)
    fed = {
        group[receiver]
        for sender, receivers in readers.items()
        for receiver in receivers
        if group[sender] != group[receiver]
    }
    return [node for node in ids if node in with_timers or group[node] not in fed]


def _left_in_order(
    starts: Iterable[str], nexts: Mapping[str, list[str]], seen: set[str]
) -> list[str]:
    """All nodes that are reached and not seen yet, as a search in depth leaves them."""
    left = []
    for start in starts:
        if start in seen:
            continue
        seen.add(start)
        path = [(start, iter(nexts[start]))]
        while path:
            node, following = path[-1]
            new = next((one for one in following if one not in seen), None)
            if new is None:
                left.append(node)
                path.pop()
            else:
                seen.add(new)
                path.append((new, iter(nexts[new])))
    return left


def _checked(rate_hz: float) -> float:
    if not 0 < rate_hz <= MOST_HZ:
        raise DoraError(f"{rate_hz:g} traces in a second: give a number up to {MOST_HZ:g}")
    return rate_hz

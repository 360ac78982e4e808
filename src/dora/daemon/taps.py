"""Taps: visitors that read an output, each by one more edge from the sender.

So it costs nothing while nobody looks, and a payload is written once however many look.

Elsewhere: their pipes (`daemon.wiring`), when they close (`daemon.supervisor`).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from dora.daemon.events import TapAsked, TapEnded
from dora.wire.visits import AskTap, Tap

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.daemon.desks import Tickets
    from dora.daemon.edges import Edge
    from dora.daemon.events import Event
    from dora.daemon.link import Link
    from dora.daemon.visitors import Visitors
    from dora.daemon.wiring import Wiring

_MOST_QUEUED = 1 << 20


class TapDesk:
    """The taps of one dataflow."""

    def __init__(
        self,
        visitors: Visitors,
        tickets: Tickets,
        wiring: Wiring,
        post: Callable[[Event], None],
    ) -> None:
        self._tickets = tickets
        self._wiring = wiring
        self._post = post
        self._edges: dict[Link, list[Edge]] = defaultdict(list)
        visitors.provide(AskTap, self._ask)
        visitors.when_one_leaves(self._left)

    def opened(self, ticket: int, edge: Edge) -> None:
        """An edge is there: hand it to the one who asked for it."""
        link = self._tickets.take(ticket)
        if link.closed:
            self._post(TapEnded(edge.number))
            return
        self._edges[link].append(edge)
        wires, arenas = self._wiring.memory_for(edge)
        fds = [*arenas, *self._wiring.receiver_fds(edge.number)]
        size = self._wiring.pipes(edge.number).queue_size
        tap = Tap(len(fds), edge.number, edge.sender, edge.output, wires, size)
        link.send(tap, fds)

    def sender_is_back(self, node: str) -> None:
        """A node has new memory: tell those who read from it."""
        for link, edges in list(self._edges.items()):
            if any(edge.memory_owner == node for edge in edges):
                link.send(*self._wiring.new_arena(node))

    def _ask(self, link: Link, ask: AskTap) -> None:
        ticket = self._tickets.issue(link)
        size = min(max(1, ask.queue_size), _MOST_QUEUED)
        self._post(TapAsked(ask.node, ask.output, size, ask.backpressure, ticket))

    def _left(self, link: Link) -> None:
        for edge in self._edges.pop(link, ()):
            self._post(TapEnded(edge.number))

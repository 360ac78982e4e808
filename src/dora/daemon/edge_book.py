"""Which edges are over, at their sender's end or their receiver's, and who must be told. Pure.

A part of `daemon.supervisor`, which decides when: an edge is *closed* when its sender will send
nothing more, and *lost* when its receiver will read nothing more.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from dora.daemon.events import CloseEdges, Instruction, LoseEdges, Tell
from dora.wire.messages import NodeFailed, ReceiverGone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.daemon.edges import Edge
    from dora.daemon.report import NodeFailure
    from dora.daemon.roster import Roster


class EdgeBook:
    """The state of all edges of a dataflow."""

    def __init__(self, edges: tuple[Edge, ...], roster: Roster) -> None:
        self._edges = edges
        self._roster = roster
        self._closed: set[int] = set()
        self._lost: set[int] = set()

    def touching(self, node: str) -> list[Edge]:
        """Edges that a node sends on or receives from."""
        return [edge for edge in self._edges if node in (edge.sender, edge.receiver)]

    def sent_by(self, node: str) -> list[Edge]:
        """Edges that a node writes its messages to, and those that carry its lines."""
        return [edge for edge in self._edges if edge.sender == node]

    def written_by(self, node: str) -> list[Edge]:
        """Edges that a node itself writes to."""
        return [edge for edge in self._edges if edge.sender == node and edge.feed == "node"]

    def read_by(self, node: str) -> list[Edge]:
        """Edges that a node reads from."""
        return [edge for edge in self._edges if edge.receiver == node]

    def is_over(self, edge: Edge) -> bool:
        """Whether either end is done with it."""
        return edge.number in self._closed or edge.number in self._lost

    def is_lost(self, edge: Edge) -> bool:
        """Whether its receiver is done with it."""
        return edge.number in self._lost

    def close(self, edges: Iterable[Edge]) -> list[Instruction]:
        """Their senders will send nothing more."""
        fresh = [e.number for e in edges if e.number not in self._closed]
        self._closed.update(fresh)
        wanted = tuple(number for number in fresh if number not in self._lost)
        return [CloseEdges(wanted)] if wanted else []

    def lose(self, edges: Iterable[Edge], *, died: bool) -> list[Instruction]:
        """Their receivers will read nothing more; one that `died` holds nothing any more either."""
        edges = list(edges)
        fresh = tuple(e.number for e in edges if e.number not in self._lost)
        self._lost.update(fresh)
        told = [edge for edge in edges if died or edge.number in fresh]
        instructions: list[Instruction] = [LoseEdges(fresh)] if fresh else []
        return instructions + self.tell_senders(told, died=died)

    def tell_senders(self, edges: list[Edge], *, died: bool) -> list[Instruction]:
        """Tell those who send on these edges that nobody reads them now."""
        senders: dict[str, list[int]] = defaultdict(list)
        for edge in edges:
            if edge.feed == "node" and self._roster[edge.sender].linked:
                senders[edge.sender].append(edge.number)
        return [Tell(sender, ReceiverGone(numbers, died)) for sender, numbers in senders.items()]

    def tell_consumers(self, node: str, failure: NodeFailure) -> list[Instruction]:
        """Tell those who read from a node that it failed."""
        inputs: dict[str, list[str]] = defaultdict(list)
        for edge in self.sent_by(node):
            if edge.number not in self._lost:
                inputs[edge.receiver].append(edge.input)
        return [
            Tell(receiver, NodeFailed(node, failure.brief, ids))
            for receiver, ids in inputs.items()
            if self._roster[receiver].linked
        ]

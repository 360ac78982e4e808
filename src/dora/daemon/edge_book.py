"""Which edges there are and which are over, at their sender's end or their receiver's. Pure.

A part of `daemon.supervisor`, which decides when: an edge is *closed* when its sender will send
nothing more, and *lost* when its receiver will read nothing more. An edge that is over stays in the
book; a new one between the same ports has a new number.
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
        self.edges: dict[int, Edge] = {}
        self._sent: dict[str, list[Edge]] = defaultdict(list)
        self._read: dict[str, list[Edge]] = defaultdict(list)
        self._roster = roster
        self._closed: set[int] = set()
        self._lost: set[int] = set()
        self._unfed: set[int] = set()
        """Edges whose sender does not know of them yet."""
        self._detached: set[int] = set()
        """Those that were taken away from their receivers, which may be given others."""
        self._taken: set[int] = set()
        """Those that were taken away, or one of whose nodes was: nobody is shown them."""
        self.next_number = 0
        for edge in edges:
            self.add(edge)

    def add(self, edge: Edge, *, unfed: bool = False) -> None:
        """Take a new edge in, whose number is `next_number`.

        Args:
            edge: The edge.
            unfed: Its sender is not to send before its receiver has joined.
        """
        if unfed:
            self._unfed.add(edge.number)
        self.edges[edge.number] = edge
        self._sent[edge.sender].append(edge)
        if not edge.tap:
            self._read[edge.receiver].append(edge)
        self.next_number = edge.number + 1

    def remove(self, number: int) -> Edge:
        """Take an edge out that nobody will ask for again."""
        edge = self.edges.pop(number)
        self._sent[edge.sender].remove(edge)
        if not edge.tap:
            self._read[edge.receiver].remove(edge)
        return edge

    def is_unfed(self, edge: Edge) -> bool:
        """Whether its sender does not know of it yet."""
        return edge.number in self._unfed

    def feed(self, node: str) -> list[Edge]:
        """The edges to a node that has just joined, whose senders are to know of them now."""
        fed = [edge for edge in self.read_by(node) if edge.number in self._unfed]
        self._unfed.difference_update(edge.number for edge in fed)
        return [edge for edge in fed if not self.is_over(edge)]

    def marks(self) -> list[list[int]]:
        """Numbers of edges that are closed, lost, not fed yet, detached, taken."""
        return [sorted(marked) for marked in self._marked()]

    def resume(self, marks: list[list[int]], next_number: int) -> None:
        """Go on where another book was left."""
        for mine, theirs in zip(self._marked(), marks, strict=True):
            mine.update(theirs)
        self.next_number = next_number

    def _marked(self) -> tuple[set[int], ...]:
        return self._closed, self._lost, self._unfed, self._detached, self._taken

    def take_away(self, edges: Iterable[Edge]) -> None:
        """Show these no more."""
        self._taken.update(edge.number for edge in edges)

    def shown(self) -> list[Edge]:
        """Edges that nodes read, or have read: without taps, and without what was taken away."""
        return [e for e in self.edges.values() if not e.tap and e.number not in self._taken]

    def touching(self, node: str) -> list[Edge]:
        """Edges that a node sends on or receives from."""
        own = [*self.sent_by(node), *(e for e in self.read_by(node) if e.sender != node)]
        return sorted(own, key=lambda edge: edge.number)

    def sent_by(self, node: str) -> list[Edge]:
        """Edges that a node writes its messages to, and those that carry its lines."""
        return list(self._sent.get(node, ()))

    def written_by(self, node: str) -> list[Edge]:
        """Edges that a node itself writes to."""
        return [edge for edge in self.sent_by(node) if edge.feed == "node"]

    def read_by(self, node: str) -> list[Edge]:
        """Edges that a node reads from."""
        return list(self._read.get(node, ()))

    def feeding(self, node: str, input_id: str) -> Edge | None:
        """The edge that feeds an input now, if one does."""
        for edge in self.read_by(node):
            if edge.input == input_id and not self.is_over(edge):
                return edge
        return None

    def is_over(self, edge: Edge) -> bool:
        """Whether either end is done with it."""
        return edge.number in self._closed or edge.number in self._lost

    def is_closed(self, edge: Edge) -> bool:
        """Whether its sender is done with it."""
        return edge.number in self._closed

    def is_lost(self, edge: Edge) -> bool:
        """Whether its receiver is done with it."""
        return edge.number in self._lost

    def all_closed(self, node: str) -> bool:
        """Whether a node has data inputs, and nothing more comes on any of them."""
        reads = [e for e in self.read_by(node) if e.feed != "dataflow" and not self.is_lost(e)]
        return bool(reads) and all(self.is_closed(edge) for edge in reads)

    def was_detached(self, node: str) -> bool:
        """Whether a wire was taken away from a node."""
        return any(edge.number in self._detached for edge in self.read_by(node))

    def close(self, edges: Iterable[Edge], *, detached: bool = False) -> list[Instruction]:
        """Their senders will send nothing more."""
        edges = list(edges)
        if detached:
            self._detached.update(edge.number for edge in edges)
        fresh = [e.number for e in edges if e.number not in self._closed]
        self._closed.update(fresh)
        wanted = tuple(number for number in fresh if number not in self._lost)
        return [CloseEdges(wanted, detached)] if wanted else []

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
            if edge.feed == "node" and self._roster.is_linked(edge.sender):
                senders[edge.sender].append(edge.number)
        return [Tell(sender, ReceiverGone(numbers, died)) for sender, numbers in senders.items()]

    def tell_consumers(self, node: str, failure: NodeFailure) -> list[Instruction]:
        """Tell those who read from a node that it failed."""
        inputs: dict[str, list[str]] = defaultdict(list)
        for edge in self.sent_by(node):
            if edge.number not in self._lost and not edge.tap:
                inputs[edge.receiver].append(edge.input)
        return [
            Tell(receiver, NodeFailed(node, failure.brief, ids))
            for receiver, ids in inputs.items()
            if self._roster.is_linked(receiver)
        ]

"""The boards of a dataflow's nodes, and what was counted on those of processes that are gone.

Counters start at 0 with each process; what is told of an edge or an output is the sum since the
dataflow began. Owns the memory. Elsewhere: where each counter stands (`wire.board`).
"""

from __future__ import annotations

import mmap
import os
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from dora.daemon.saved import SavedBoard
from dora.transport.arena import create_memory
from dora.wire.board import (
    LATENCY_BUCKETS,
    WORD_CONTROL,
    BoardLayout,
    BoardReader,
    fresh_header,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dora.daemon.edges import Edge
    from dora.daemon.saved import SavedWiring
    from dora.wire.messages import InputWire, OutputWire


class EdgeCounts(msgspec.Struct):
    """What was counted on one edge."""

    sent: int = 0
    dropped: int = 0
    flushed: int = 0
    received: int = 0
    bytes: int = 0
    last_ns: int = 0
    """When the last message was received, ns since the epoch; 0 if none was."""
    late: int = 0
    latency: list[int] = msgspec.field(default_factory=lambda: [0] * LATENCY_BUCKETS)
    """Counts by power of two of ns."""

    @property
    def consumed(self) -> int:
        """Messages that wait no more."""
        return self.received + self.dropped + self.flushed

    def take_off(self, others: EdgeCounts) -> None:
        """Leave out what was counted on another edge, in the same place."""
        self.sent -= others.sent
        self.dropped -= others.dropped
        self.flushed -= others.flushed
        self.received -= others.received
        self.bytes -= others.bytes
        self.late -= others.late
        self.latency = [a - b for a, b in zip(self.latency, others.latency, strict=True)]


class Board:
    """The counters of one process of a node, mapped. Takes over `saved.fd`."""

    def __init__(self, saved: SavedBoard) -> None:
        self.outputs = saved.outputs
        self.routes = saved.routes
        self.inputs = saved.inputs
        """Edge numbers, to their places."""
        self._layout = BoardLayout(*saved.layout)
        self.fd = saved.fd
        self._map = mmap.mmap(self.fd, self._layout.size_bytes)
        self._words = memoryview(self._map).cast("Q")
        self.reader = BoardReader(self._words, self._layout)

    @classmethod
    def fresh(cls, name: str, outputs: Sequence[OutputWire], inputs: Sequence[InputWire]) -> Board:
        """A new one, for a process that starts with these."""
        edges = [route.edge for output in outputs for route in output.routes]
        layout = BoardLayout.with_spare(len(outputs), len(edges), len(inputs))
        board = cls(
            SavedBoard(
                fd=create_memory(f"dora {name} board", layout.size_bytes),
                outputs=[output.id for output in outputs],
                layout=(layout.outputs, layout.routes, layout.inputs),
                routes={number: index for index, number in enumerate(edges)},
                inputs={wire.edge: index for index, wire in enumerate(inputs)},
            )
        )
        board._map[: len(fresh_header(layout))] = fresh_header(layout)
        return board

    def saved(self) -> SavedBoard:
        """This as a value; the descriptor stays this one's."""
        layout = self._layout.outputs, self._layout.routes, self._layout.inputs
        return SavedBoard(self.fd, self.outputs, layout, self.routes, self.inputs)

    def raise_control(self) -> None:
        """Tell the node to look at its control socket."""
        self._words[WORD_CONTROL] += 1

    @property
    def room(self) -> tuple[int, int]:
        """For how many routes, and inputs, there are places."""
        return self._layout.routes, self._layout.inputs

    def sent_on(self, counts: EdgeCounts, edge: int) -> None:
        """Add what was counted as the edge's sender."""
        index = self.routes.get(edge)
        if index is not None:
            sent, dropped = self.reader.route(index)
            counts.sent += sent
            counts.dropped += dropped
            counts.flushed += self.reader.flushed(index)

    def received_on(self, counts: EdgeCounts, edge: int) -> None:
        """Add what was counted as the edge's receiver."""
        index = self.inputs.get(edge)
        if index is None:
            return
        seen = self.reader.input(index)
        counts.received += seen.received
        counts.bytes += seen.bytes
        counts.last_ns = max(counts.last_ns, seen.last_ns)
        counts.late += seen.late
        counts.latency = [a + b for a, b in zip(counts.latency, seen.latency, strict=True)]

    def output(self, output: str) -> tuple[int, int]:
        """Messages and bytes sent on an output."""
        return self.reader.output(self.outputs.index(output)) if output in self.outputs else (0, 0)

    def activity(self) -> tuple[int, ...]:
        """Counters that change when the node calls dora, whatever it does there."""
        sent = (self.reader.output(index)[0] for index in range(len(self.outputs)))
        got = (self.reader.input(index).received for index in self.inputs.values())
        return (*sent, *got)

    def close(self) -> None:
        """Give up the memory; twice is fine."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self._words.release()
            self._map.close()


class Boards:
    """All boards. `close()` gives them up; twice is fine."""

    def __init__(self, saved: SavedWiring | None = None) -> None:
        self._now: dict[str, Board] = {}
        self._past: dict[int, EdgeCounts] = {}
        self._past_outputs: Counter[tuple[str, str]] = Counter()
        self._past_bytes: Counter[tuple[str, str]] = Counter()
        if saved is None:
            return
        self._now |= {node: Board(board) for node, board in saved.boards.items()}
        for edge, (counts, latency) in saved.past.items():
            past = self._past[edge] = EdgeCounts(latency=latency)
            past.sent, past.dropped, past.flushed, *others = counts
            past.received, past.bytes, past.last_ns, past.late = others
        for node, output, messages, size in saved.past_outputs:
            self._past_outputs[node, output] = messages
            self._past_bytes[node, output] = size

    def boards(self) -> dict[str, SavedBoard]:
        """The present boards as values."""
        return {node: board.saved() for node, board in self._now.items()}

    def past(
        self,
    ) -> tuple[dict[int, tuple[list[int], list[int]]], list[tuple[str, str, int, int]]]:
        """What was counted on earlier boards, by edge and by output."""
        edges = {
            edge: (
                [c.sent, c.dropped, c.flushed, c.received, c.bytes, c.last_ns, c.late],
                c.latency,
            )
            for edge, c in self._past.items()
        }
        outputs = [
            (*place, messages, self._past_bytes[place])
            for place, messages in self._past_outputs.items()
        ]
        return edges, outputs

    def renew(self, node: str, outputs: Sequence[OutputWire], inputs: Sequence[InputWire]) -> Board:
        """The board of a node's new process."""
        self.retire(node)
        board = self._now[node] = Board.fresh(node, outputs, inputs)
        return board

    def retire(self, node: str) -> None:
        """A node's process is gone: keep what was counted, and give up its board."""
        before = self._now.pop(node, None)
        if before is not None:
            for edge in before.routes:
                before.sent_on(self._past.setdefault(edge, EdgeCounts()), edge)
            for edge in before.inputs:
                before.received_on(self._past.setdefault(edge, EdgeCounts()), edge)
            for output in before.outputs:
                messages, size = before.output(output)
                self._past_outputs[node, output] += messages
                self._past_bytes[node, output] += size
            before.close()

    def place_route(self, edge: Edge, settled: Callable[[int], bool]) -> int | None:
        """A place on its sender's board for a new edge.

        Args:
            edge: Which.
            settled: Whether a former edge is counted no more, so that its place may be taken.

        Returns:
            None when all are taken, or there is no board yet.
        """
        board = self._now.get(edge.sender)
        if board is None:
            return None
        return self._place(edge.number, board.routes, board.room[0], board.sent_on, settled)

    def place_input(self, edge: Edge, settled: Callable[[int], bool]) -> int | None:
        """A place on its receiver's board for a new edge; see `place_route`."""
        board = self._now.get(edge.receiver)
        if board is None:
            return None
        return self._place(edge.number, board.inputs, board.room[1], board.received_on, settled)

    def _place(
        self,
        edge: int,
        places: dict[int, int],
        room: int,
        count: Callable[[EdgeCounts, int], None],
        settled: Callable[[int], bool],
    ) -> int | None:
        if len(places) < room:
            places[edge] = index = len(places)
            return index
        former = next((one for one in places if settled(one)), None)
        if former is None:
            return None
        # The words are the node's and go on from where they are.
        before = EdgeCounts()
        count(before, former)
        count(self._past.setdefault(former, EdgeCounts()), former)
        self._past.setdefault(edge, EdgeCounts()).take_off(before)
        places[edge] = index = places.pop(former)
        return index

    def of(self, node: str) -> Board | None:
        """The board of a node's present or last process; None before its first joined."""
        return self._now.get(node)

    def counts(self, edge: Edge) -> EdgeCounts:
        """What was counted on an edge."""
        past = self._past.get(edge.number)
        counts = EdgeCounts() if past is None else msgspec.structs.replace(past)
        sender, receiver = self._now.get(edge.sender), self._now.get(edge.receiver)
        if sender is not None:
            sender.sent_on(counts, edge.number)
        if receiver is not None:
            receiver.received_on(counts, edge.number)
        if not counts.received:
            counts.last_ns = 0  # it was that of another edge, which had this place
        return counts

    def output(self, node: str, output: str) -> tuple[int, int]:
        """Messages and bytes sent on an output."""
        board = self._now.get(node)
        messages, size = (0, 0) if board is None else board.output(output)
        place = node, output
        return messages + self._past_outputs[place], size + self._past_bytes[place]

    def messages(self) -> int:
        """Messages that all nodes sent, on all outputs."""
        now = sum(
            board.output(output)[0] for board in self._now.values() for output in board.outputs
        )
        return now + sum(self._past_outputs.values())

    def all(self) -> Iterable[Board]:
        """Those that there are."""
        return self._now.values()

    def close(self) -> None:
        """Give them up."""
        for board in self._now.values():
            board.close()

"""Messages dropped on the edges: the first one of each is told at once, all are summed at the end.

Senders count on their boards, so looking costs the nodes nothing. Elsewhere: the boards
(`daemon.wiring`), lines that log inputs lost (`daemon.logfeed`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dora.daemon.edges import Edge
    from dora.daemon.logfeed import LogFeed
    from dora.daemon.wiring import Wiring


class DropWatch:
    """Looks at the counters of all edges."""

    def __init__(
        self, edges: tuple[Edge, ...], wiring: Wiring, feed: Callable[[], LogFeed | None]
    ) -> None:
        self._edges = edges
        self._wiring = wiring
        self._feed = feed
        self._told: set[int] = set()

    @property
    def watching(self) -> bool:
        """Whether there is an edge that has not lost anything yet."""
        return len(self._told) < len(self._edges)

    def news(self) -> list[str]:
        """A text for each edge that lost its first message since the last call."""
        texts = []
        for number, _sent, dropped in self._counts():
            if dropped and number not in self._told:
                self._told.add(number)
                edge = self._edges[number]
                lost = (
                    "a message that waited for room" if edge.backpressure else "the oldest message"
                )
                texts.append(
                    f"input `{edge.target}` is slower than `{edge.source}`: its queue "
                    f"(`queue_size: {edge.queue_size}`) was full and {lost} was dropped; later "
                    "drops are only counted"
                )
        return texts

    def totals(self) -> dict[str, int]:
        """Messages dropped so far, by input; only inputs that lost any."""
        lost: Counter[str] = Counter()
        for number, _sent, dropped in self._counts():
            if dropped:
                lost[self._edges[number].target] += dropped
        return dict(lost)

    def log_messages(self) -> int:
        """Messages that the daemon itself sent."""
        feed = self._feed()
        if feed is None:
            return 0
        return sum(feed.counts(edge.number)[0] for edge in self._edges if edge.feed != "node")

    def _counts(self) -> Iterator[tuple[int, int, int]]:
        """Edge, messages sent, messages dropped; an edge once for each board that it is on."""
        for boards in self._wiring.boards.values():
            for board in boards:
                for index, number in enumerate(board.routes):
                    yield (number, *board.reader.route(index))
        feed = self._feed()
        if feed is not None:
            for edge in self._edges:
                if edge.feed != "node":
                    yield (edge.number, *feed.counts(edge.number))

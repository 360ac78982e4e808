"""Messages dropped on the edges: the first one of each is told at once, all are summed at the end.

Senders count on their boards, so looking, once a second, costs the nodes nothing. Elsewhere: the
boards (`daemon.boards`), lines that log inputs lost (`daemon.logfeed`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dora.daemon.callbacks import Loop
    from dora.daemon.edge_book import EdgeBook
    from dora.daemon.edges import Edge
    from dora.daemon.logfeed import LogFeed
    from dora.daemon.wiring import Wiring


_EVERY_S = 1.0


class DropWatch:
    """Looks at the counters of all edges that nodes read."""

    def __init__(
        self,
        loop: Loop,
        book: EdgeBook,
        wiring: Wiring,
        feed: Callable[[], LogFeed | None],
        notice: Callable[[str, str], None],
    ) -> None:
        self._loop = loop
        self._book = book
        self._wiring = wiring
        self._feed = feed
        self._notice = notice
        self._told: set[int] = set()

    @property
    def told(self) -> list[int]:
        """Edges whose first drop was told."""
        return sorted(self._told)

    def resume(self, told: Iterable[int]) -> None:
        """Tell nothing of these any more."""
        self._told.update(told)

    def look_again(self) -> None:
        """Tell of drops in a second, and again and again."""
        self._loop.call_later(_EVERY_S, self._look)

    def _look(self) -> None:
        self.tell()
        self.look_again()

    def tell(self) -> None:
        """Tell of each edge that lost its first message since the last time."""
        for edge, _sent, dropped in self._counts(self._told):
            if dropped:
                self._told.add(edge.number)
                lost = (
                    "a message that waited for room" if edge.backpressure else "the oldest message"
                )
                self._notice(
                    "warn",
                    f"input `{edge.target}` is slower than `{edge.source}`: its queue "
                    f"(`queue_size: {edge.queue_size}`) was full and {lost} was dropped; later "
                    "drops are only counted",
                )

    def totals(self) -> dict[str, int]:
        """Messages dropped so far, by input; only inputs that lost any."""
        lost: Counter[str] = Counter()
        for edge, _sent, dropped in self._counts():
            if dropped:
                lost[edge.target] += dropped
        return dict(lost)

    def log_messages(self) -> int:
        """Messages that the daemon itself sent."""
        return sum(sent for edge, sent, _dropped in self._counts() if edge.feed != "node")

    def _counts(
        self, without: set[int] | frozenset[int] = frozenset()
    ) -> Iterator[tuple[Edge, int, int]]:
        """Edge, messages sent, messages dropped."""
        feed = self._feed()
        for edge in self._book.edges.values():
            if edge.tap or edge.number in without:
                continue
            if edge.feed == "node":
                counts = self._wiring.boards.counts(edge)
                yield edge, counts.sent, counts.dropped
            elif feed is not None:
                yield (edge, *feed.counts(edge.number))

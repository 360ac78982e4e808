"""Ending edges: the CLOSE ticket as soon as the pipe has room for it, or all given up at once.

Owns nothing; watches pipes of `daemon.wiring` that were too full. Elsewhere: when an edge ends
(`daemon.edge_book`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.daemon.callbacks import Loop
    from dora.daemon.logfeed import LogFeed
    from dora.daemon.wiring import Wiring


class EdgeCloser:
    """Ends edges of one dataflow. `close()` stops watching."""

    def __init__(
        self,
        loop: Loop,
        wiring: Wiring,
        feed: Callable[[], LogFeed | None],
    ) -> None:
        self._loop = loop
        self._wiring = wiring
        self._feed = feed
        self._full: dict[int, int] = {}
        """Edges whose pipe is too full for the CLOSE ticket, and the descriptor watched."""

    def close_edge(self, number: int, *, detached: bool = False) -> None:
        """Put the CLOSE ticket behind all that was sent; later if there is no room."""
        self._stop_feed(number)
        if not self._wiring.has(number):
            return
        if not self._wiring.try_close(number, detached=detached):
            fd = self._full[number] = self._wiring.pipes(number).ticket_write
            self._loop.add_writer(fd, self._retry, number, detached)
        elif detached:
            # Its two nodes settle the rest between them: nobody tells the daemon when the CLOSE is
            # read. So what waits is lost if the receiver is started again before that.
            self._wiring.lose(number)

    def lose_edge(self, number: int) -> None:
        """Give up an edge that nobody reads any more."""
        fd = self._full.pop(number, None)
        if fd is not None:
            self._loop.remove_writer(fd)
        self._stop_feed(number)
        self._wiring.lose(number)

    def close(self) -> None:
        """Watch no pipe any more."""
        for fd in self._full.values():
            self._loop.remove_writer(fd)
        self._full.clear()

    def _retry(self, number: int, detached: bool) -> None:
        self._loop.remove_writer(self._full.pop(number))
        self.close_edge(number, detached=detached)

    def _stop_feed(self, number: int) -> None:
        feed = self._feed()
        if feed is not None:
            feed.stop(number)

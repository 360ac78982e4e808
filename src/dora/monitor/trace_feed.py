"""Spans of a running dataflow as they come in, over a connection to its daemon.

Elsewhere: the connection (`dora.client`), what spans show (`monitor.traces`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from dora.errors import ProtocolError
from dora.wire.spans import AskTrace, Span, Traced

if TYPE_CHECKING:
    from dora.client import Client


class TraceFeed:
    """Asks for spans; each is given once.

    Args:
        client: The connection; the caller closes it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._after = 0
        self.lost = 0
        """Spans that nodes dropped, since the dataflow began."""
        self.missed = 0
        """Spans that the daemon had forgotten before they were asked for."""

    def switch(
        self, action: Literal["on", "off"], rate_hz: float | None = None, for_s: float | None = None
    ) -> Traced:
        """Switch tracing on or off; how it stands then. See `wire.spans.AskTrace`.

        Raises:
            DoraError: the rate is none, or the dataflow has ended.
        """
        # From what is asked `after`, nothing is sent: spans are for `news`.
        return self._ask(AskTrace(action, rate_hz, for_s, after=1 << 62))

    def news(self) -> list[Span]:
        """Spans since last asked; at first, all that are kept.

        Raises:
            DoraError: the dataflow has ended.
        """
        found: list[Span] = []
        while True:
            answer = self._ask(AskTrace("look", after=self._after))
            if self._after:
                self.missed += answer.last - self._after - len(answer.spans)
            self._after = answer.last
            found += answer.spans
            if not answer.spans or answer.last == answer.newest:
                return found

    def skip(self) -> None:
        """Give no spans that are there already.

        Raises:
            DoraError: the dataflow has ended.
        """
        self._after = self._ask(AskTrace("look", after=1 << 62)).newest

    def _ask(self, question: AskTrace) -> Traced:
        answer = self._client.ask(question)
        if not isinstance(answer, Traced):
            raise ProtocolError(f"the daemon answered {type(answer).__name__} to a question")
        self.lost = answer.lost
        return answer

"""An event stream that says when its node asks for more, and that may end without a STOP.

So whoever feeds the node by hand, from a pipe or from a file reads no further than the node has
come. Elsewhere: the stream itself (`node.event_stream`), who feeds it (`node.interactive_prompt`,
`node.interactive_lines`, `node.scripted`).
"""

from __future__ import annotations

import functools
import signal
import threading
from typing import TYPE_CHECKING, Any, cast

from dora.node.event_stream import EventStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.node.event_types import Event

_END = cast("Event", {"kind": "dora", "type": "END"})
"""Posted to end the stream; no node is handed it."""


class AskedStream(EventStream):
    """See the module; takes what `EventStream` takes. Another thread waits for `asked`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.asked = threading.Event()
        """Set when the node waits and nothing is there."""
        self._failure: Callable[[], BaseException] | None = None
        super().__init__(*args, **options)

    def fed_by(self, feed: Callable[[], None]) -> None:
        """Run what feeds the node in a thread; what that raises, the node that asks has raised."""

        def run() -> None:
            # A signal that is handed to this thread would not end the main thread's wait.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - {signal.SIGWINCH})
            try:
                feed()
            except Exception as exc:  # a node that nobody feeds any more would wait for ever
                if self.ended:
                    raise
                self.fail(functools.partial(_as_it_is, exc))

        threading.Thread(target=run, daemon=True).start()

    def give(self, event: Event) -> None:
        """Answer to what was asked: the next question comes after the node has seen this."""
        self.asked.clear()
        self.post(event)

    def finish(self) -> None:
        """End the stream behind all that was posted, without a STOP."""
        self.give(_END)

    def fail(self, failure: Callable[[], BaseException]) -> None:
        """End the stream; whoever asks next has this raised at them.

        Args:
            failure: Makes what is raised; called in the thread of the node that asks.
        """
        self._failure = failure
        self.finish()

    def drain(self) -> list[Event]:
        """All events that are there now; where there is none, more are asked for."""
        self._idle()
        return super().drain()

    def close(self) -> None:
        """End the stream, also for the thread that waits to be asked."""
        super().close()
        self.asked.set()

    def _idle(self) -> None:
        if not self._pending:
            self.asked.set()

    def _poll(self, timeout_s: float | None) -> None:
        self._idle()
        super()._poll(timeout_s)

    def _hand_out(self, event: Event) -> Event | None:
        if event is not _END:
            return super()._hand_out(event)
        self._ended = True
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure()
        return None


def _as_it_is(exc: BaseException) -> BaseException:
    return exc

"""Sending what somebody else publishes on this node's outputs, as if it were the node's own.

A thread of its own sends, in the order that it was asked for: under backpressure it waits for room,
and neither a thread that reads events nor one that sends must wait with it. The thread exists only
once something was published. Elsewhere: who publishes (`dora topic pub`, by way of the daemon).
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from dora.errors import ArenaFullError, NodeClosedError
from dora.wire import metadata as wire_metadata

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.transport.sender import Sender
    from dora.wire.messages import Send


class Forwarder:
    """Sends for others. `close()` ends its thread; twice is fine.

    Args:
        sender: The node's; must be closed before this is.
        complain: Called with a text when a message could not be sent.
    """

    def __init__(self, sender: Sender, complain: Callable[[str], None]) -> None:
        self._sender = sender
        self._complain = complain
        self._queue: queue.SimpleQueue[Send | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, message: Send) -> None:
        """Send a message soon, behind those that were put before. Never blocks."""
        self._queue.put(message)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="dora publish", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Send nothing more."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                self._send(message)
            except (NodeClosedError, ArenaFullError) as exc:
                self._complain(f"what was published on `{message.output}` was not sent: {exc}")

    def _send(self, message: Send) -> None:
        facts = wire_metadata.decode(message.metadata) if message.metadata else {}
        self._sender.send(
            message.output,
            (message.header, len(message.payload), message.payload),
            message.metadata,
            correlated=wire_metadata.is_correlated(facts),
            flush=wire_metadata.is_flush(facts),
        )

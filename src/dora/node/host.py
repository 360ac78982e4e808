"""What a node needs of whoever hosts it: a daemon at the other end, or this process alone.

Implemented by `node.session` (a dataflow) and `node.stage` (no dataflow: tests, trying by hand).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dora.node.event_types import Event
    from dora.transport.sender import Sender
    from dora.wire.messages import Welcome


class Stream(Protocol):
    """Where events come from; `node.event_stream.EventStream` has the words to each."""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""

    def fileno(self) -> int:
        """A descriptor that is readable when an event may be there."""

    def post(self, event: Event) -> None:
        """Put an event in. Any thread may call this."""

    def wait(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None when the stream has ended; ERROR when the time is over."""

    def try_take(self) -> Event | None:
        """The next event if there is one now."""


class Host(Protocol):
    """Gives a node its part, its events, its memory and its counters."""

    welcome: Welcome
    """Who the node is."""
    sender: Sender
    """Takes what it sends."""
    words: memoryview
    """Its board."""
    seen_control: int
    """The control word when `pump` was last called."""

    @property
    def stream(self) -> Stream:
        """Its events."""

    def pump(self) -> None:
        """Carry out what the host has said meanwhile. Any thread may call this; never blocks."""

    def close_outputs(self, output_ids: Sequence[str]) -> None:
        """End these outputs; those that are closed stay so."""

    def close(self, *, goodbye: bool = True) -> None:
        """Let the node go; twice is fine."""

    def disown(self) -> None:
        """In a forked child: the node stays the parent's."""

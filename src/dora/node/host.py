"""What a node needs of whoever hosts it: a daemon at the other end, or this process alone.

Implemented by `node.session` (a dataflow) and `node.stage` (no dataflow: tests, trying by hand).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dora.node.event_types import Event, InputEvent
    from dora.node.selection import Selection
    from dora.node.sources import Source
    from dora.transport.sender import Sender
    from dora.wire.board import Turn
    from dora.wire.messages import ExtensionAnswer, ExtensionAsk, Welcome


class Stream(Protocol):
    """Where events come from; `node.event_stream.EventStream` has the words to each."""

    turn: Turn
    """Where waits are noted."""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""

    def fileno(self) -> int:
        """A descriptor that is readable when an event may be there."""

    def post(self, event: Event) -> None:
        """Put an event in. Any thread may call this."""

    @property
    def input_ids(self) -> frozenset[str] | None:
        """The inputs that there are; None: any id may come."""

    def drain(self) -> list[Event]:
        """All events that are there now."""

    def is_empty(self) -> bool:
        """Whether none is there now; reads none."""

    def select(
        self,
        inputs: frozenset[str] | None,
        wants: Callable[[InputEvent], bool],
        *,
        exclusive: bool = False,
    ) -> Selection:
        """Read some inputs apart from the others."""

    def merge(self, fd: int, source: Source, end: Callable[[], None]) -> None:
        """Wait for a source of another kind too."""

    def unwatch(self, fd: int) -> None:
        """Wait for this descriptor no more."""

    def watermark(self, input_id: str | None = None) -> int | float | None:
        """How far an input's senders said to have come."""

    def wait(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None when the stream has ended; ERROR when the time is over."""

    def try_take(self) -> Event | None:
        """The next event if there is one now."""


class Host(Protocol):
    """Gives a node its part, its events, its memory and its counters."""

    welcome: Welcome
    """Who the node is."""
    words: memoryview
    """Its board."""
    seen_control: int
    """The control word when `pump` was last called."""

    @property
    def sender(self) -> Sender:
        """Takes what it sends."""

    @property
    def stream(self) -> Stream:
        """Its events."""

    @property
    def output_ids(self) -> tuple[str, ...] | None:
        """The outputs that were declared; None: any id may be one."""

    def pump(self) -> None:
        """Carry out what the host has said meanwhile. Any thread may call this; never blocks."""

    def ask(self, question: ExtensionAsk) -> ExtensionAnswer:
        """Ask the table of values that the nodes of a dataflow share."""

    def close_outputs(self, output_ids: Sequence[str]) -> None:
        """End these outputs; those that are closed stay so."""

    def close(self, *, goodbye: bool = True) -> None:
        """Let the node go; twice is fine."""

    def disown(self) -> None:
        """In a forked child: the node stays the parent's."""

"""Who is told what happens in a dataflow while it runs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dora.daemon.logs import LogLine


class Observers:
    """Several observers as one."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def lines(self, batch: list[LogLine]) -> None:
        """Show lines to all."""
        for observer in self._observers:
            observer.lines(batch)

    def notice(self, level: str, text: str) -> None:
        """Show a word of the daemon to all."""
        for observer in self._observers:
            observer.notice(level, text)


class Observer(Protocol):
    """Shows a running dataflow; called from the daemon's loop, so it must not wait."""

    def lines(self, batch: list[LogLine]) -> None:
        """Lines that a node printed, in order."""

    def notice(self, level: str, text: str) -> None:
        """A word of the daemon itself; `level` is one of `ids.LOG_LEVELS`."""

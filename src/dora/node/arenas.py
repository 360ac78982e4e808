"""The memory of those that a node reads from, of earlier processes too while messages in it wait.

A sender that is started again has new memory, whose number is greater. The former is given up when
every input that reads from the sender has come past it; values that were handed out keep it mapped.

Elsewhere: announcing it (`node.session`), reading it (`node.inputs`), the daemon's own hold on it
(`daemon.wiring`).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dora.node.inputs import InputPort
    from dora.transport.arena import ArenaView
    from dora.wire.messages import ArenaWire


class Arenas:
    """Memory by its number. Owns the views; `close()` gives them up."""

    def __init__(self) -> None:
        self._views: dict[int, ArenaView] = {}
        self._senders: dict[int, str] = {}
        self._ports: dict[str, list[InputPort]] = defaultdict(list)
        self._passed: set[int] = set()
        """Those that no input needed when they were last looked at."""

    def add(self, wire: ArenaWire, view: ArenaView) -> None:
        """Take memory in, unless it is there."""
        if wire.arena in self._views:
            view.close()  # another input reads from that sender already
            return
        self._views[wire.arena] = view
        self._senders[wire.arena] = wire.sender

    def read_by(self, sender: str, port: InputPort) -> None:
        """An input reads from this sender."""
        self._ports[sender].append(port)

    def find(self, arena: int) -> ArenaView | None:
        """The memory of this number, if it was announced."""
        return self._views.get(arena)

    def tidy(self) -> None:
        """Give up what nobody needed at the last look either.

        To be called when something new comes, before it is taken in.
        """
        ports = {
            sender: [port for port in own if not port.closed] for sender, own in self._ports.items()
        }
        self._ports = defaultdict(list, {sender: own for sender, own in ports.items() if own})
        newest = {sender: arena for arena, sender in sorted(self._senders.items())}
        passed = {
            arena
            for arena, sender in self._senders.items()
            if (arena != newest[sender] or sender not in self._ports)
            and not any(_may_name(port, arena) for port in self._ports.get(sender, ()))
        }
        for arena in passed & self._passed:
            self._views.pop(arena).close()
            del self._senders[arena]
        self._passed = passed

    def close(self) -> None:
        """Give all up."""
        for view in self._views.values():
            view.close()


def _may_name(port: InputPort, arena: int) -> bool:
    """Whether an input may still come to a message in this memory."""
    # What waits is asked first: a ticket that is read in between is in somebody's hands then.
    return port.arena <= arena and (port.waiting > 0 or port.taking)

"""Which inputs a node reads from other nodes, which of them are open, and when all are over.

An input that is wired again while its former edge still brings something gets the new edge behind
the old one's CLOSE ticket, so that nothing is lost or handed out in another order.

Used by `node.event_stream`, under its lock for what is open. Elsewhere: reading (`node.inputs`).
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dora.node.inputs import InputPort
    from dora.node.timers import Timer

    Traced = Callable[[InputPort, dict[str, Any], int], None]


class OpenInputs:
    """The ports of a stream.

    Args:
        timers: Inputs that tick.
        endless: Ids of inputs that never close of themselves.
        end_without_timers: Timers and endless inputs do not keep the stream open.
    """

    def __init__(
        self,
        timers: list[Timer],
        endless: frozenset[str],
        *,
        end_without_timers: bool,
    ) -> None:
        self.timers = timers
        self.ports: dict[str, InputPort] = {}
        """By id: the one that is read, or was read last."""
        self._open: set[str] = set()
        self._endless = endless
        self._all_end = end_without_timers
        self._next: dict[str, deque[InputPort]] = defaultdict(deque)
        self._data: set[str] = set()
        self._ever_data = False
        self.over = False
        """Whether nothing more is to be read at all."""
        self._traced: Traced | None = None

    def trace(self, traced: Traced | None) -> None:
        """Have `traced` called for each message of a trace, on all inputs; None: not any more."""
        self._traced = traced
        waiting = [port for following in list(self._next.values()) for port in following]
        for port in [*list(self.ports.values()), *waiting]:
            port.traced = traced

    @property
    def ids(self) -> frozenset[str]:
        """All inputs, timers too, also those that are closed."""
        return frozenset(self.ports) | {timer.id for timer in self.timers}

    @property
    def closed(self) -> frozenset[str]:
        """Those that bring nothing more."""
        return frozenset(self.ports) - self._open

    def read_by(self, inputs: frozenset[str] | None) -> list[InputPort | Timer]:
        """The open ones of these."""
        here: list[InputPort | Timer] = [*self.ports.values(), *self.timers]
        closed = self.closed
        return [one for one in here if one.id in (inputs or ()) and one.id not in closed]

    def ended(self, input_id: str) -> bool:
        """Whether an input has read its CLOSE ticket, and is not yet noted as closed."""
        return input_id in self._open and self.ports[input_id].closed

    def add(self, port: InputPort) -> bool:
        """Note one more; False when it is to be read after the one that is open, or never."""
        if self.over:
            port.close()
            return False
        port.traced = self._traced
        if port.id in self._open:
            self._next[port.id].append(port)
            return False
        self.ports[port.id] = port
        self._open.add(port.id)
        if port.id not in self._endless:
            self._data.add(port.id)
            self._ever_data = True
        return True

    def end(self, input_id: str) -> InputPort | None:
        """Note that an input is closed; the port that is to be read from now on, if one waits."""
        self._open.discard(input_id)
        self._data.discard(input_id)
        following = self._next.get(input_id)
        return following.popleft() if following else None

    @property
    def ended_by_detaching(self) -> bool:
        """Whether the edge that ended last, which may not be the last read, was taken away."""
        ended = [port for port in self.ports.values() if port.id not in self._open]
        return bool(ended) and max(ended, key=lambda port: port.ended_ns).detached

    @property
    def all_over(self) -> bool:
        """Whether nothing is left that the stream stays open for."""
        others = self.timers or not self._endless.isdisjoint(self.ports)
        return self._ever_data and not self._data and (self._all_end or not others)

    def watermark(self, input_id: str | None) -> int | float | None:
        """The least that the senders of an input, or of all, said; None: nothing."""
        ports = [port for port in list(self.ports.values()) if input_id in (None, port.id)]
        return min((port.watermark for port in ports if port.watermark is not None), default=None)

    def close(self) -> None:
        """Give up all."""
        for port in self.ports.values():
            port.close()
        for following in self._next.values():
            for port in following:
                port.close()
        for timer in self.timers:
            timer.close()

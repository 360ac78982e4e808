"""What all browsers share: the list of dataflows, looks at them, taps, recordings.

Used from the event loop only. Elsewhere: one browser (`web.browser`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from dora.errors import DoraError
from dora.web.peeking import Peek
from dora.web.recorder import Recorder
from dora.web.watching import FlowList, FlowWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.web.outbox import Frame
    from dora.wire.visits import Dataflow


class Hub:
    """One for each server.

    Args:
        read_only: Browsers may look, and change nothing.
        preferred: The dataflow that a browser shows first.
    """

    def __init__(self, *, read_only: bool = False, preferred: str = "") -> None:
        self.read_only = read_only
        self.preferred = preferred
        self.list = FlowList()
        self._watches: dict[str, FlowWatch] = {}
        self._peeks: dict[tuple[str, str], Peek] = {}
        self._recorders: dict[str, Recorder] = {}

    def flow(self, flow: str) -> Dataflow:
        """A dataflow that browsers were told of.

        Raises:
            DoraError: there is none of this id.
        """
        found = self.list.flows.get(flow)
        if found is None:
            raise DoraError("this dataflow has ended")
        return found

    def watch(self, flow: str, listener: Callable[[str], None]) -> None:
        """Tell a listener how a dataflow stands."""
        watch = self._watches.setdefault(flow, FlowWatch(flow))
        watch.join(listener)

    def unwatch(self, flow: str, listener: Callable[[str], None]) -> None:
        """Tell it no more; twice is fine."""
        watch = self._watches.get(flow)
        if watch is not None:
            watch.leave(listener)
            if not watch.heard:
                del self._watches[flow]

    def peek(self, flow: str, output: str, looker: Callable[[Frame], None]) -> Peek:
        """Show an output, written `node/output`."""
        peek = self._peeks.get((flow, output))
        if peek is None or peek.over:
            node, _, port = output.partition("/")
            peek = self._peeks[flow, output] = Peek(flow, node, port)
        peek.join(looker)
        return peek

    def recorder(self, flow: str) -> Recorder:
        """What records a dataflow.

        Raises:
            DoraError: there is none of this id.
        """
        found = self._recorders.get(flow)
        if found is None:
            found = self._recorders[flow] = Recorder(self.flow(flow), Path.cwd())
        return found

    async def close(self) -> None:
        """Finish all recordings."""
        running = [one for one in self._recorders.values() if one.running]
        await asyncio.gather(*(one.stop() for one in running))

    def forget(self, peek: Peek) -> None:
        """Nobody looks at it any more."""
        self._peeks = {key: one for key, one in self._peeks.items() if one is not peek}

"""Looks at dataflows that all browsers share: which there are, and how one of them stands.

A look is taken once a second, for as long as somebody watches. Used from the event loop; what
blocks runs in threads. Elsewhere: looking (`monitor.looks`), what is told (`web.snapshot`), who is
told (`web.browser`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from dora import client
from dora.errors import DoraError
from dora.monitor.looks import Looks
from dora.transport import endpoint
from dora.web.lane import Lane
from dora.web.snapshot import listed, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.wire.visits import Dataflow

LOOK_EVERY_S = 1.0


def encoded(kind: str, told: dict[str, Any]) -> str:
    """One message to browsers."""
    return msgspec.json.encode({"t": kind, **told}).decode()


class Shared:
    """Something that runs while anybody listens to it."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[str], None]] = []
        self._task: asyncio.Task[None] | None = None

    def join(self, listener: Callable[[str], None]) -> None:
        """Tell a listener, from now on."""
        self._listeners.append(listener)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(_raise_bugs)

    def leave(self, listener: Callable[[str], None]) -> None:
        """Tell it nothing more; twice is fine."""
        if listener in self._listeners:
            self._listeners.remove(listener)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def _tell(self, frame: str) -> None:
        for listener in list(self._listeners):
            listener(frame)

    async def _run(self) -> None:
        raise NotImplementedError


class FlowList(Shared):
    """Which dataflows run here. Asks anew only when the kernel's table of sockets has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.flows: dict[str, Dataflow] = {}
        self.frame = ""

    def join(self, listener: Callable[[str], None]) -> None:
        """Tell a listener, at once and when there is news."""
        super().join(listener)
        if self.frame:
            listener(self.frame)

    def leave(self, listener: Callable[[str], None]) -> None:
        """Tell it nothing more; twice is fine."""
        super().leave(listener)
        if not self.heard:  # it is looked at no more, and gets old
            self.flows, self.frame = {}, ""

    async def _run(self) -> None:
        before: list[str] | None = None
        while True:
            there = await asyncio.to_thread(endpoint.running)
            if there != before:
                before = there
                await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Look now."""
        found = await asyncio.to_thread(client.running)
        self.flows = {flow.id: flow for flow in found}
        frame = encoded("flows", {"flows": listed(found)})
        if frame != self.frame:
            self.frame = frame
            self._tell(frame)


class FlowWatch(Shared):
    """One dataflow.

    Args:
        flow: Its id.
    """

    def __init__(self, flow: str) -> None:
        super().__init__()
        self.flow = flow
        self._last = ""

    def join(self, listener: Callable[[str], None]) -> None:
        """Tell a listener, at once if there was a look before, and after each look."""
        super().join(listener)
        if self._last:
            listener(self._last)

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
                self._tell(encoded("ended", {"flow": self.flow, "why": ""}))
                return
            except DoraError as exc:  # it has ended, or does not answer
                kind = "late" if await asyncio.to_thread(self._is_there) else "ended"
                self._tell(encoded(kind, {"flow": self.flow, "why": str(exc)}))
                if kind == "ended":
                    return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        """Look again and again, until it has ended."""
        lane = Lane("look")
        looks: list[Looks] = []
        try:
            await lane.call(lambda: looks.append(Looks(self.flow)))
            while measured := await lane.call(looks[0].look):
                self._last = encoded("state", snapshot(measured[0]))
                self._tell(self._last)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self._last = ""
            lane.close(lambda: _close_all(looks))

    def _is_there(self) -> bool:
        return endpoint.address_of(self.flow) in endpoint.running()


def _close_all(looks: list[Looks]) -> None:
    for one in looks:
        one.close()


def _raise_bugs(task: asyncio.Task[None]) -> None:
    """What nobody expected is told by the event loop."""
    if not task.cancelled():
        task.result()

"""One output that browsers look at: a tap, open while anybody looks, shared by all who do.

At most one message is on its way to a browser: the next is taken when it has shown the last, and is
the newest there is then. So neither a fast output nor a slow browser fills anything, and the sender
pays for one more edge that drops all but the newest.

The tap is read by a thread of its own. Elsewhere: taps (`monitor.taps`), what is shown of a message
(`web.previews`).
"""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from dora.errors import DoraError
from dora.monitor.taps import Taps
from dora.web.previews import Preview, preview_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.web.outbox import Frame

MOST_HZ = 30.0
"""As often as a screen is worth it."""
_TURN_S = 0.2
"""How soon the thread sees that nobody looks any more."""


class Peek:
    """Previews of one output. Used from the event loop.

    Args:
        flow: Id of the dataflow.
        node: The sender.
        output: Its output.
    """

    def __init__(self, flow: str, node: str, output: str) -> None:
        self._flow, self._node, self._output = flow, node, output
        self._loop = asyncio.get_running_loop()
        self._lookers: dict[Callable[[Frame], None], bool] = {}
        """Whether each is ready for a message."""
        self._ready = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._read, name=f"peek {node}/{output}")
        self._count = 0

    def join(self, looker: Callable[[Frame], None]) -> None:
        """Show it to one more."""
        if not self._thread.ident:
            self._thread.start()
        self._lookers[looker] = True
        self._ready.set()

    def leave(self, looker: Callable[[Frame], None]) -> None:
        """Show it no more; twice is fine. The tap is closed when nobody looks."""
        self._lookers.pop(looker, None)
        if not self._lookers:
            self._over = True
            self._ready.set()

    def shown(self, looker: Callable[[Frame], None]) -> None:
        """A browser has shown what it was sent."""
        if looker in self._lookers:
            self._lookers[looker] = True
            self._ready.set()

    @property
    def over(self) -> bool:
        """Whether it shows nothing any more."""
        return self._over

    # ---- in the thread ----

    def _read(self) -> None:
        try:
            with Taps(self._flow) as taps:
                taps.add(self._node, self._output, 1)
                types = {node.id: node.output_types for node in taps.state().nodes}
                self._show(taps, types.get(self._node, {}).get(self._output, ""))
        except DoraError as exc:
            self._post(Preview({"kind": "over", "text": str(exc)}))

    def _show(self, taps: Taps, declared: str) -> None:
        while not self._over:
            if not self._ready.wait(_TURN_S):
                continue
            event = taps.receive(_TURN_S)
            if event is None:
                if not taps.over:
                    continue
                self._post(Preview({"kind": "over", "text": "nothing more comes: it was closed"}))
                return
            started_s = time.monotonic()
            if event["type"] == "INPUT":
                self._ready.clear()
                self._post(preview_of(event, declared))
            elif event["type"] == "ERROR":
                self._post(Preview({"kind": "value", "text": "", "note": event["error"]}))
            del event  # its memory goes back to the sender
            time.sleep(max(0.0, started_s + 1 / MOST_HZ - time.monotonic()))

    def _post(self, preview: Preview) -> None:
        frame = self._frame(preview)
        if not self._over:
            self._loop.call_soon_threadsafe(self._deliver, frame, preview.told["kind"] == "over")

    def _frame(self, preview: Preview) -> Frame:
        self._count += 1
        where = {"flow": self._flow, "output": f"{self._node}/{self._output}", "n": self._count}
        told = msgspec.json.encode({"t": "preview", **where, **preview.told})
        return framed(told, preview.content) if preview.content else told.decode()

    # ---- in the event loop ----

    def _deliver(self, frame: Frame, last: bool) -> None:
        for looker, ready in list(self._lookers.items()):
            if ready or last:
                self._lookers[looker] = False
                looker(frame)
        if last:
            self._over = True


def framed(told: bytes, content: bytes) -> bytes:
    """JSON and bytes in one frame: the length of the JSON, 4 bytes little-endian, comes first."""
    return b"".join((struct.pack("<I", len(told)), told, content))

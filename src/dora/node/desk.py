"""Who gets an event that was read while some inputs are read apart: a selection, or `next()`.

What nobody wants now is put aside, in order, for `next()`; of an input that drops its oldest, no
more than its `queue_size`. Used by `node.event_stream`, under its lock.
Elsewhere: waiting for one's part (`node.selection`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.node import events, sources
from dora.wire import metadata as wire_metadata

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from dora.node.event_types import Event
    from dora.node.selection import Selection, Source

_ENDS = ("STOP", "END")
"""Events behind which nothing comes; END is of `node.asked_stream`."""


class Desk:
    """Gives selections what is theirs, for the stream whose lock the caller has.

    Args:
        pending: The stream's events that come before its inputs.
        wake: Tells the stream's waiting threads that an event was put there.
        close_input: Notes that an input is closed.
        recovered: Whether this input was silent for its `input_timeout`, and is not any more.
    """

    def __init__(
        self,
        pending: deque[Event],
        wake: Callable[[], None],
        close_input: Callable[[str], None],
        recovered: Callable[[str], bool],
    ) -> None:
        self._pending = pending
        self._wake = wake
        self._close_input = close_input
        self._recovered = recovered

    def serve(self, selection: Selection, others: tuple[Selection, ...], ended: bool) -> None:
        """Read for a selection until it has something, or nothing is there for it."""
        self._take_pending(selection)
        if selection.exclusive:  # STOP must not wait until a busy input is read out
            selection.note_end(ended or self._stops())
        while not selection.got and selection.over is None:
            for source in sorted(selection.sources, key=sources.last_served):
                event = source.take()
                if event is not None:
                    if len(selection.sources) > 1:
                        source.served = 1 + max(other.served for other in selection.sources)
                    self._sort(event, source, selection, others)
                    break
            else:
                break
        if not selection.got and selection.over is None:
            selection.note_end(ended or self._stops())

    def serve_hungry(self, selections: tuple[Selection, ...], ended: bool) -> None:
        """Read for those that asked the caller's thread to."""
        for selection in selections:
            if selection.hungry:
                selection.hungry = False
                self.serve(selection, selections, ended)
                selection.ring()

    def _take_pending(self, selection: Selection) -> None:
        at = 0
        for event in list(self._pending):  # other threads only append
            mine = False
            if event["type"] == "INPUT":
                mine = selection.takes(event)
            elif event["type"] == "INPUT_CLOSED" and selection.reads(event["id"]):
                if all(source.id != event["id"] for source in selection.sources):
                    selection.forget(event["id"])
                mine = selection.exclusive
            if mine and selection.give(event):
                del self._pending[at]
            else:
                at += 1

    def _sort(
        self,
        event: Event,
        source: Source,
        selection: Selection,
        others: tuple[Selection, ...],
    ) -> None:
        """Put an event that was read for a selection where it belongs."""
        if event["type"] == "INPUT":
            if self._recovered(event["id"]):
                self._pending.append(events.input_recovered(event["id"]))
            taker = next((one for one in others if one.takes(event)), None)
            if taker is not None and taker.give(event):
                return
            if event["metadata"].get("flush") is True:
                self._flush(event["id"])
        elif event["type"] == "INPUT_CLOSED":
            told = not self._recovered(event["id"])  # else it was called closed when it timed out
            if not (selection.exclusive and selection.give(event)) and told:
                self._pending.append(event)
            self._close_input(event["id"])
            self._wake()
            return
        self._pending.append(event)
        if event["type"] == "INPUT" and source.queue_size is not None:
            self._keep_newest(source, source.queue_size)
        self._wake()

    def _keep_newest(self, source: Source, queue_size: int) -> None:
        """Of what was put aside of an input, drop the oldest beyond its queue size."""
        droppable = [
            at
            for at, event in enumerate(list(self._pending))
            if event["type"] == "INPUT"
            and event["id"] == source.id
            and not wire_metadata.is_correlated(event["metadata"])
        ]
        if len(droppable) > queue_size:
            del self._pending[droppable[0]]
            source.count_overtaken()

    def _flush(self, input_id: str) -> None:
        """Discard what was put aside of an input, but for requests and goals."""
        at = 0
        for event in list(self._pending):
            if (
                event["type"] == "INPUT"
                and event["id"] == input_id
                and not wire_metadata.is_correlated(event["metadata"])
            ):
                del self._pending[at]
            else:
                at += 1

    def _stops(self) -> bool:
        return any(event["type"] in _ENDS for event in list(self._pending))

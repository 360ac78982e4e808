"""A node in a notebook or a Python shell: fed by calls, heard by looking.

    node = Node.interactive()
    node.feed("image", array)
    for event in node:                 # all that was fed; the loop ends when nothing is left
        node.send_output("mean", float(event["value"].mean()))
    node.sent                          # shown readable

Elsewhere: a terminal or a pipe (`node.interactive`), tests (`dora.testing`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from dora.errors import InputError
from dora.ids import PORT_ID_RULE, is_port_id
from dora.node import events
from dora.node.core import Core
from dora.node.node import Node
from dora.node.previews import preview_message
from dora.node.stage import Stage, input_event
from dora.wire.payload import encode
from dora.wire.values import null_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dora.node.event_types import Event, InputEvent

_NODE_ID = "node"


class Sent(list["InputEvent"]):
    """What a node sent, oldest first: events as a receiver would get them, readable when shown."""

    def of(self, output_id: str) -> list[Any]:
        """The values sent on one output."""
        return [event["value"] for event in self if event["id"] == output_id]

    def __repr__(self) -> str:
        return "\n".join(map(preview_message, self)) or "nothing was sent"


class NotebookNode(Node):
    """A node without a dataflow, for trying things cell by cell; made by `Node.interactive`.

    Nothing waits without end: `next()`, loops and `recv_async()` end when all that was fed is used
    up, and go on when more is fed. A timer is an input that is fed by `tick`.
    """

    def __init__(self, node_id: str = _NODE_ID) -> None:
        self.sent = Sent()
        """What the node sent. `sent.clear()` forgets it."""
        self._stage = Stage(node_id, self.sent.append)
        Core.__init__(self, self._stage)

    def feed(
        self, input_id: str, data: Any = None, metadata: Mapping[str, Any] | None = None
    ) -> NotebookNode:
        """Give the node an input.

        Args:
            input_id: Which.
            data: What another node could send; None is no value, as from a timer.
            metadata: What goes along.

        Returns:
            The node, so that calls can follow each other.

        Raises:
            InputError: `input_id` is no id.
            PayloadTypeError: `data` could not be sent either.
            MetadataError: the metadata could not be sent either.
        """
        if not isinstance(input_id, str):
            raise InputError(
                "first comes the id of the input, then the data: "
                f'`feed("image", data)`; here the id is of type `{type(input_id).__name__}`'
            )
        if not is_port_id(input_id):
            raise InputError(f"`{input_id}` cannot be the id of an input; {PORT_ID_RULE}")
        value = null_value() if data is None else data
        self._stage.post(input_event(input_id, encode(value), metadata))
        return self

    def tick(self, input_id: str = "tick", times: int = 1) -> NotebookNode:
        """Have a timer tick."""
        for _ in range(times):
            self.feed(input_id)
        return self

    def close_input(self, input_id: str) -> NotebookNode:
        """End an input: the node gets INPUT_CLOSED."""
        self._stage.post(events.input_closed(input_id))
        return self

    def stop(self) -> NotebookNode:
        """End the stream: the node gets STOP behind all that was fed."""
        self._stage.post(events.stop("MANUAL"))
        return self

    def next(self, timeout: float | None = None) -> Event | None:
        """The next event; without a timeout None when nothing is left."""
        return self.try_recv() if timeout is None else super().next(timeout)

    async def recv_async(self, timeout: float | None = None) -> Event | None:  # noqa: ASYNC109
        """As `next`, for asyncio."""
        if timeout is not None:
            return await super().recv_async(timeout)
        await asyncio.sleep(0)
        return self.try_recv()

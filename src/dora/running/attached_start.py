"""The line that says which nodes are still to come, for a dataflow of the background daemon.

Asks on a connection of its own. Elsewhere: the line (`running.progress`), the same for a dataflow
that runs here (`running.starting`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dora.daemon.link import Link
from dora.errors import ProtocolError
from dora.running.starting import show_start
from dora.transport import endpoint
from dora.version import VERSION
from dora.wire.messages import PROTOCOL
from dora.wire.visits import AskState, Dataflow, Greet, State, decode_answer

if TYPE_CHECKING:
    from dora.running.progress import Progress

_UNSEEN = ("spawning", "backoff", "absent")


class Starting:
    """Shows the line until the dataflow has started; made inside a running loop.

    Args:
        dataflow: Its id.
        progress: The line.

    Raises:
        OSError: the dataflow is over.
    """

    def __init__(self, dataflow: str, progress: Progress) -> None:
        loop = asyncio.get_running_loop()
        self._awaited: tuple[int, list[str]] | None = None
        self._asked = False
        self._link = Link(loop, endpoint.connect(endpoint.address_of(dataflow)), self)
        self._link.send(Greet(PROTOCOL, VERSION))
        self._loop = loop
        self._progress = progress

    def on_frame(self, link: Link, body: bytes) -> None:
        """The daemon answered."""
        try:
            answer = decode_answer(body)
        except ProtocolError:
            link.close()
            return
        if isinstance(answer, Dataflow):
            link.send(AskState())
        elif isinstance(answer, State):
            nodes = [node for node in answer.nodes if not node.dynamic]
            unseen = [node.id for node in nodes if node.state in _UNSEEN]
            first = not self._asked and answer.phase == "starting"
            self._asked = True
            self._awaited = (len(nodes), unseen) if answer.phase == "starting" else None
            if first:
                show_start(self._loop, self._progress, self._look)

    def on_end(self, link: Link, problem: str | None) -> None:
        """The daemon is gone: there is nothing more to show."""
        self._awaited = None

    def on_written(self, link: Link) -> None:
        """The daemon looks at its socket by itself."""

    def close(self) -> None:
        """Show nothing more."""
        self._awaited = None
        self._link.close()

    def _look(self) -> tuple[int, list[str]] | None:
        """What was answered last; ask anew for the next look."""
        if self._awaited is not None:
            self._link.send(AskState())
        return self._awaited

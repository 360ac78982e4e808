"""What arrives at a dataflow's sockets: who registers as a node, what nodes and visitors say.

Elsewhere: the connections (`daemon.door`, `daemon.link`), whether a node is let in
(`daemon.roster`), what visitors want (`daemon.visitors`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.daemon import limits
from dora.daemon.events import Connected, Disconnected, OperatorAnew, OutputsClosed, StopAsked
from dora.errors import ProtocolError
from dora.transport import endpoint
from dora.wire.messages import (
    PROTOCOL,
    CloseOutputs,
    ExtensionAsk,
    Goodbye,
    OperatorRestarted,
    Refused,
    Register,
    StopDataflow,
    decode_from_node,
)
from dora.wire.spans import Spans
from dora.wire.visits import is_greeting

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.daemon.callbacks import Loop
    from dora.daemon.carrier import Carrier
    from dora.daemon.crew import Crew
    from dora.daemon.door import Door
    from dora.daemon.events import Event
    from dora.daemon.link import Link
    from dora.daemon.observer import Observer
    from dora.daemon.supervisor import Supervisor
    from dora.daemon.traces import TraceDesk
    from dora.daemon.visitors import Visitors
    from dora.wire.extensions import Extensions

_EXIT_FOLLOWS_WITHIN_S = 1.0
"""A socket that ends without a goodbye mostly tells of an exit, whose own event says more."""


class Reception:
    """Hears all connections of one dataflow; a `daemon.link.LinkOwner`."""

    def __init__(
        self,
        loop: Loop,
        dataflow_id: str,
        supervisor: Supervisor,
        carrier: Carrier,
        crew: Crew,
        visitors: Visitors,
        extensions: Extensions,
        traces: TraceDesk,
        observer: Observer,
        post: Callable[[Event], None],
    ) -> None:
        self._loop = loop
        self._dataflow_id = dataflow_id
        self._supervisor = supervisor
        self._carrier = carrier
        self._links = carrier.links
        self._crew = crew
        self._visitors = visitors
        self._extensions = extensions
        self._traces = traces
        self._observer = observer
        self._post = post
        self.door: Door | None = None

    def on_frame(self, link: Link, body: bytes) -> None:
        """A node, or a client that may become one, said something."""
        try:
            if link.visitor or (link.node is None and is_greeting(body)):
                self._not_a_stranger(link)
                link.visitor = True
                self._visitors.hear(link, body)
                return
            message = decode_from_node(body)
        except ProtocolError as exc:
            link.close()
            self.on_end(link, str(exc))
            return
        if link.node is None:
            if isinstance(message, Register):
                self._register(link, message)
            else:
                link.close()
                self.on_end(link, "it did not register first")
        elif isinstance(message, CloseOutputs):
            self._post(OutputsClosed(link.node, link.incarnation, tuple(message.outputs)))
        elif isinstance(message, ExtensionAsk):
            link.send(self._extensions.answer(link.node, message))
        elif isinstance(message, Spans):
            self._traces.heard(link.node, message)
        elif isinstance(message, StopDataflow):
            self._post(StopAsked(message.why, node=link.node))
        elif isinstance(message, OperatorRestarted):
            self._post(OperatorAnew(link.node, link.incarnation, message.operator))
        elif isinstance(message, Goodbye):
            link.goodbye = True
            self._extensions.forget(link.node)
            self._post(Disconnected(link.node, link.incarnation, clean=True))

    def on_end(self, link: Link, problem: str | None) -> None:
        """A connection is over."""
        self._not_a_stranger(link)
        if problem is not None:
            who = f"node `{link.node}`" if link.node else "a client"
            self._observer.notice("warn", f"{who} was disconnected: {problem}")
        if link.visitor:
            self._visitors.left(link)
        if (node := link.node) is None:
            return
        if self._links.get((node, link.incarnation)) is link:
            del self._links[node, link.incarnation]
            self._extensions.forget(node)
        if link.goodbye:
            return
        event = Disconnected(node, link.incarnation, clean=False)
        if self._crew.has(node, link.incarnation):
            self._loop.call_later(_EXIT_FOLLOWS_WITHIN_S, self._post, event)
        else:
            self._post(event)

    def on_written(self, link: Link) -> None:
        """Let a node that only sends look at its socket."""
        if link.node is None or self._carrier.link(link.node) is not link:
            return
        board = self._carrier.wiring.boards.of(link.node)
        if board is not None:
            board.raise_control()

    def process_ended(self, node: str, incarnation: int) -> None:
        """Hear the last words of a node's process, sent before it ended."""
        link = self._links.get((node, incarnation))
        if link is not None:
            link.drain()
            link.close()
            self._links.pop((node, incarnation), None)
        self._extensions.forget(node)

    def _not_a_stranger(self, link: Link) -> None:
        if self.door is not None:
            self.door.forget(link)

    def _register(self, link: Link, message: Register) -> None:
        self._not_a_stranger(link)
        link.pid = link.peer_pid
        reason = self._refusal(link, message)
        if reason is not None:
            link.send(Refused(reason))
            link.close_when_sent()
            return
        link.node = message.node
        link.incarnation = self._supervisor.incarnation_of(message.node, message.incarnation)
        self._links[link.node, link.incarnation] = link
        self._post(Connected(link.node, link.incarnation, link.pid))

    def _refusal(self, link: Link, message: Register) -> str | None:
        if message.protocol != PROTOCOL:
            return (
                f"node `{message.node}` (dora {message.version}) speaks control protocol "
                f"{message.protocol}, the daemon speaks {PROTOCOL}; install one version for both"
            )
        here = self._dataflow_id
        if message.dataflow not in (None, here):
            return f"this is dataflow {here}, not {message.dataflow}"
        mine = endpoint.checkout()
        if message.checkout and mine and message.checkout != mine:
            return f"this dataflow belongs to `{mine}`, not to `{message.checkout}`"
        reason = self._supervisor.refusal(message.node, message.incarnation)
        if reason is not None:
            return reason
        needed = limits.nodes_need(self._carrier.wiring.live).get(message.node)
        if needed is not None and link.pid:
            try:
                limits.provide_for_node(link.pid, needed)
            except (OSError, ValueError) as exc:
                return (
                    f"node `{message.node}` needs {needed} file descriptors and its limit "
                    f"(`ulimit -n`) cannot be raised: {exc}"
                )
        return None

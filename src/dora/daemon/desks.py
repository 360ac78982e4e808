"""What visitors may have done to a dataflow: stop it; end, add, replace, wire nodes; send for them.

Questions become events of the supervisor; its answers come back by tickets. Elsewhere: what follows
(`daemon.supervisor`), what visitors may see (`daemon.views`, `daemon.taps`, `daemon.watchers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.daemon import limits
from dora.daemon.edges import edges_of
from dora.daemon.events import AddAsked, NodeAsked, ReplaceAsked, RouteAsked, StopAsked
from dora.daemon.launch import check_files
from dora.daemon.lifecycle import NodeState
from dora.descriptor.packing import unpack_plan
from dora.errors import DoraError
from dora.wire import messages
from dora.wire.visits import (
    AskAdd,
    AskNode,
    AskReload,
    AskReplace,
    AskRoute,
    AskStop,
    Done,
    Publish,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.daemon.carrier import Carrier
    from dora.daemon.events import Event
    from dora.daemon.link import Link
    from dora.daemon.roster import NodeRecord, Roster
    from dora.daemon.visitors import Visitors


class Tickets:
    """Who waits for what the supervisor was asked for."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        self._last = 0

    @property
    def waiting(self) -> bool:
        """Whether anybody waits."""
        return bool(self._links)

    def issue(self, link: Link) -> int:
        """A number by which the supervisor's answer finds the link."""
        self._last += 1
        self._links[self._last] = link
        return self._last

    def answer(self, ticket: int, text: str = "", error: str | None = None) -> None:
        """Tell the one who waits; a link that is gone hears nothing."""
        self.take(ticket).send(Done(text) if error is None else messages.Refused(error))

    def take(self, ticket: int) -> Link:
        """The link of a ticket that somebody else answers."""
        return self._links.pop(ticket)

    def close(self) -> None:
        """Refuse what nobody will answer any more."""
        for ticket in list(self._links):
            self.answer(ticket, error="the dataflow ended")


class ChangeDesk:
    """Takes questions that change the dataflow."""

    def __init__(
        self,
        visitors: Visitors,
        tickets: Tickets,
        roster: Roster,
        carrier: Carrier,
        post: Callable[[Event], None],
    ) -> None:
        self._tickets = tickets
        self._roster = roster
        self._carrier = carrier
        self._post = post
        visitors.provide(AskStop, self._stop)
        visitors.provide(AskNode, self._node)
        visitors.provide(AskAdd, self._add)
        visitors.provide(AskReplace, self._replace)
        visitors.provide(AskRoute, self._route)
        visitors.provide(AskReload, self._reload)
        visitors.provide(Publish, self._publish)

    def _stop(self, link: Link, ask: AskStop) -> None:
        link.send(Done())
        self._post(StopAsked(ask.why, grace_s=ask.grace_s, force=ask.force))

    def _node(self, link: Link, ask: AskNode) -> None:
        why = f"{ask.action} (`dora node {ask.action}`)"
        ticket = self._tickets.issue(link)
        self._post(NodeAsked(ask.action, ask.node, why, ticket, ask.grace_s))

    def _add(self, link: Link, ask: AskAdd) -> None:
        plan = unpack_plan(ask.plan)
        for node in plan.nodes:
            check_files(node)
        limits.provide(plan, edges_of(plan))
        self._carrier.wiring.learn_types(plan)
        self._post(AddAsked(plan, self._tickets.issue(link)))

    def _replace(self, link: Link, ask: AskReplace) -> None:
        plan = unpack_plan(ask.plan)
        if len(plan.nodes) != 1:
            raise DoraError(f"one node takes the place of one; these are {len(plan.nodes)}")
        self._post(ReplaceAsked(plan.nodes[0], self._tickets.issue(link), ask.grace_s))

    def _route(self, link: Link, ask: AskRoute) -> None:
        if ask.connect:
            limits.provide_here()
        ticket = self._tickets.issue(link)
        ends = ask.sender, ask.output, ask.receiver, ask.input
        size = max(1, ask.queue_size)
        self._post(RouteAsked(ask.connect, *ends, size, ask.backpressure, ticket))

    def _reload(self, link: Link, ask: AskReload) -> None:
        node = self._running(ask.node)
        operators = list(node.plan.operator_sources)
        wanted = operators if ask.operator is None else [ask.operator]
        if not operators or not set(wanted) <= set(operators):
            named = f"operator `{ask.operator}`" if ask.operator else "operators"
            raise DoraError(f"node `{node.id}` has no {named}; `dora node restart` starts it anew")
        for operator in wanted:
            self._carrier.send(node.id, messages.Reload(operator))
        link.send(Done(f"node `{node.id}`: {', '.join(wanted)} told to load anew"))

    def _publish(self, link: Link, ask: Publish) -> None:
        node = self._running(ask.node)
        if ask.output not in node.plan.outputs:
            outputs = ", ".join(f"`{one}`" for one in node.plan.outputs) or "none"
            raise DoraError(f"node `{node.id}` has no output `{ask.output}`; outputs: {outputs}")
        if ask.output in (node.plan.logs.send_stdout_as, node.plan.logs.send_logs_as):
            raise DoraError(f"output `{node.id}/{ask.output}` carries the node's own lines alone")
        told = messages.Send(ask.output, ask.header, ask.payload, ask.metadata)
        self._carrier.send(node.id, told)
        link.send(Done(f"Published to {node.id}/{ask.output}"))

    def _running(self, node_id: str) -> NodeRecord:
        """A node that is connected.

        Raises:
            DoraError: there is none, or it is not.
        """
        node = self._roster.get(node_id)
        if node is None:
            raise DoraError(self._roster.absent(node_id))
        if not node.linked or node.state is not NodeState.RUNNING:
            raise DoraError(f"node `{node_id}` does not run now ({node.state.name.lower()})")
        return node

"""Clients that look at a dataflow without being a node of it: who answers which question.

The parts of a daemon say here what they answer (`provide`); each answers on the client's link, now
or later. Elsewhere: the questions (`wire.visits`), the client's side (`dora.client`), connections
(`daemon.link`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dora.errors import DoraError
from dora.ids import suggest
from dora.wire.messages import PROTOCOL, Refused
from dora.wire.visits import AskStack, Dataflow, Greet, Stack, decode_question

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.daemon.link import Link
    from dora.daemon.stacks import Stacks


class Visitors:
    """The clients of one dataflow.

    Args:
        dataflow: What they may know of it when they come.
    """

    def __init__(self, dataflow: Callable[[], Dataflow]) -> None:
        self._dataflow = dataflow
        self._answers: dict[type, Callable[[Link, Any], None]] = {}
        self._ends: list[Callable[[Link], None]] = []
        self.links: list[Link] = []
        """Theirs, among which may be some that are closed."""

    def provide(self, question: type, answer: Callable[[Link, Any], None]) -> None:
        """Have questions of this type answered by `answer`; a DoraError refuses one."""
        self._answers[question] = answer

    def when_one_leaves(self, tell: Callable[[Link], None]) -> None:
        """Call `tell` with the link of each client that is gone."""
        self._ends.append(tell)

    def left(self, link: Link) -> None:
        """A client is gone."""
        for tell in self._ends:
            tell(link)

    def send_away(self) -> None:
        """End all connections."""
        for link in self.links:
            link.close()
            self.left(link)

    def hear(self, link: Link, body: bytes) -> None:
        """Answer what a client said.

        Raises:
            ProtocolError: it is no question of this protocol.
        """
        message = decode_question(body)
        if isinstance(message, Greet):
            self._greet(link, message)
            return
        try:
            answer = self._answers.get(type(message))
            if answer is None:
                raise DoraError(f"nobody here answers {type(message).__name__}")
            answer(link, message)
        except DoraError as exc:
            link.send(Refused(str(exc)))

    def _greet(self, link: Link, message: Greet) -> None:
        self.links = [one for one in self.links if not one.closed and one is not link] + [link]
        if message.protocol == PROTOCOL:
            link.send(self._dataflow())
            return
        link.send(
            Refused(
                f"dora {message.version} speaks control protocol {message.protocol}, this "
                f"dataflow's daemon {PROTOCOL}; use the `dora` that runs the dataflow"
            )
        )


def need_node(node: str, known: list[str]) -> None:
    """Refuse a question about a node that is not there.

    Raises:
        DoraError: it is not; the message says which are.
    """
    if node not in known:
        near = suggest(node, known)
        hint = f"did you mean `{near}`?" if near else f"nodes: {', '.join(known)}"
        raise DoraError(f"this dataflow has no node `{node}`; {hint}")


class StackDesk:
    """Answers what nodes are doing.

    Args:
        visitors: Whose questions.
        stacks: Gives the stacks of nodes.
        nodes: Gives the ids of all nodes.
    """

    def __init__(self, visitors: Visitors, stacks: Stacks, nodes: Callable[[], list[str]]) -> None:
        self._stacks = stacks
        self._nodes = nodes
        visitors.provide(AskStack, self._answer)

    def _answer(self, link: Link, question: AskStack) -> None:
        node = question.node
        need_node(node, self._nodes())
        pipe = self._stacks.of(node)
        if pipe is None:
            raise DoraError(
                f"node `{node}` has no stack to show: its process has not come to `Node()` "
                "yet, or has ended"
            )

        def tell(outcome: str | DoraError) -> None:
            if isinstance(outcome, DoraError):
                link.send(Refused(f"node `{node}`: {outcome}"))
            else:
                link.send(Stack(node, outcome))

        pipe.ask(tell)

"""Clients that look at a dataflow without being a node of it: what they ask, what they are told.

Elsewhere: their side (`dora.client`), connections (`daemon.link`), stacks (`daemon.stacks`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.errors import DoraError
from dora.ids import suggest
from dora.wire.messages import PROTOCOL, AskStack, Dataflow, Greet, Refused, Stack

if TYPE_CHECKING:
    from dora.daemon.link import Link
    from dora.daemon.stacks import Stacks


class Visitors:
    """Answers visitors of one dataflow.

    Args:
        dataflow: What they may know of it.
        stacks: Gives the stacks of its nodes.
    """

    def __init__(self, dataflow: Dataflow, stacks: Stacks) -> None:
        self._dataflow = dataflow
        self._stacks = stacks
        self.links: list[Link] = []
        """Theirs, among which may be some that are closed."""

    def answer(self, link: Link, message: Greet | AskStack) -> None:
        """Answer on the link, now or when the answer is there."""
        if isinstance(message, Greet):
            self.links = [one for one in self.links if not one.closed and one is not link] + [link]
            if message.protocol == PROTOCOL:
                link.send(self._dataflow)
            else:
                link.send(
                    Refused(
                        f"dora {message.version} speaks control protocol {message.protocol}, this "
                        f"dataflow's daemon {PROTOCOL}; use the `dora` that runs the dataflow"
                    )
                )
            return
        self._answer_stack(link, message.node)

    def _answer_stack(self, link: Link, node: str) -> None:
        if node not in self._dataflow.nodes:
            near = suggest(node, self._dataflow.nodes)
            hint = (
                f"did you mean `{near}`?" if near else f"nodes: {', '.join(self._dataflow.nodes)}"
            )
            link.send(Refused(f"this dataflow has no node `{node}`; {hint}"))
            return
        pipe = self._stacks.of(node)
        if pipe is None:
            link.send(
                Refused(
                    f"node `{node}` has no stack to show: its process has not come to `Node()` "
                    "yet, or has ended"
                )
            )
            return

        def tell(outcome: str | DoraError) -> None:
            if isinstance(outcome, DoraError):
                link.send(Refused(f"node `{node}`: {outcome}"))
            else:
                link.send(Stack(node, outcome))

        pipe.ask(tell)

"""Parameters of the nodes of one dataflow: asked for, set and deleted by clients, told to nodes.

What is set is saved first, then kept, then told, so that nothing is known to a node that would be
lost with the daemon.

Elsewhere: the table and its limits (`wire.params`), the questions (`wire.visits`), where values
outlive the daemon (whoever gives `saved`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.daemon.visitors import need_node
from dora.wire.messages import Param
from dora.wire.params import Params
from dora.wire.visits import AskParam
from dora.wire.visits import Params as Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dora.daemon.link import Link
    from dora.daemon.visitors import Visitors


class ParamDesk:
    """Answers questions about parameters, and tells nodes what changes.

    Args:
        visitors: Whose questions.
        nodes: Gives the ids of all nodes.
        tell: Sends a node that runs a message; one that does not run gets `for_node` later.
        saved: Keeps a value, or forgets it when it is None, beyond the end of this process.
        known: What was saved before: values by node and key.
    """

    def __init__(
        self,
        visitors: Visitors,
        nodes: Callable[[], list[str]],
        tell: Callable[[str, Param], None],
        saved: Callable[[str, str, bytes | None], None],
        known: Mapping[str, Mapping[str, bytes]] | None = None,
    ) -> None:
        self._nodes = nodes
        self._tell = tell
        self._saved = saved
        self._table = Params()
        for node, values in (known or {}).items():
            for key, value in values.items():
                self._table.put(node, key, value)
        visitors.provide(AskParam, self._answer)

    def for_node(self, node: str) -> list[Param]:
        """What a process of the node that has just joined must be told, sorted by key."""
        return [Param(key, value) for key, value in self._table.all_of(node).items()]

    def forget(self, node: str) -> None:
        """The node was taken out of the dataflow, and its parameters with it."""
        for key in self._table.all_of(node):
            self._saved(node, key, None)
        self._table.forget(node)

    def _answer(self, link: Link, question: AskParam) -> None:
        need_node(question.node, self._nodes())
        link.send(Answer(self._done(question)))

    def _done(self, question: AskParam) -> dict[str, bytes]:
        """Do what is asked; the parameters that it was about."""
        node, key = question.node, question.key
        match question.action:
            case "list":
                return self._table.all_of(node)
            case "get":
                return {key: self._table.get(node, key)}
            case "set":
                value = self._table.check(node, key, question.value)
                self._saved(node, key, value)
                self._table.put(node, key, value)
                self._tell(node, Param(key, value))
                return {key: value}
            case "delete":
                value = self._table.get(node, key)
                self._saved(node, key, None)
                self._table.delete(node, key)
                self._tell(node, Param(key, None))
                return {key: value}

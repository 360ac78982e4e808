"""Which outputs a dataflow has, who reads them, and which ones a user means. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dora.errors import DoraError
from dora.ids import suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dora.wire.visits import State


class Topic(msgspec.Struct, frozen=True):
    """One output and who reads it; as `dora topic list --format json` prints it."""

    node: str
    name: str
    subscribers: list[str]
    """Written `node/input`."""

    def __str__(self) -> str:
        return f"{self.node}/{self.name}"


def topics_of(state: State) -> list[Topic]:
    """All outputs, in the order of the nodes."""
    nodes = {node.id for node in state.nodes}
    readers: dict[tuple[str, str], list[str]] = {}
    for edge in state.edges:
        if edge.receiver in nodes and edge.open:
            target = f"{edge.receiver}/{edge.input}"
            readers.setdefault((edge.sender, edge.output), []).append(target)
    return [
        Topic(node.id, output, readers.get((node.id, output), []))
        for node in state.nodes
        for output in node.outputs
    ]


def chosen(topics: Sequence[Topic], names: Sequence[str]) -> list[Topic]:
    """The outputs of these names, each once; all if there are none.

    Raises:
        DoraError: a name is none of an output, with what was meant perhaps.
    """
    if not names:
        if not topics:
            raise DoraError("no node of this dataflow has an output")
        return list(topics)
    known = {str(topic): topic for topic in topics}
    for name in names:
        if name not in known:
            near = suggest(name, known)
            hint = f"did you mean `{near}`?" if near else f"outputs: {', '.join(known) or '-'}"
            raise DoraError(f"the dataflow has no output `{name}`, written `node/output`; {hint}")
    return [known[name] for name in dict.fromkeys(names)]


def table(topics: Sequence[Topic]) -> str:
    """The outputs in columns."""
    rows = [("Node", "Name", "Subscribers")]
    rows += [(topic.node, topic.name, ", ".join(topic.subscribers)) for topic in topics]
    node_width, name_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(
        f"{node:<{node_width}}  {name:<{name_width}}  {readers}".rstrip()
        for node, name, readers in rows
    )

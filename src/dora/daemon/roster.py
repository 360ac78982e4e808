"""Who is in a dataflow, and who may join it. Pure.

Elsewhere: the states of a node (`daemon.lifecycle`), what follows from them (`daemon.supervisor`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.daemon.lifecycle import NodeLife, NodeState
from dora.daemon.report import listed
from dora.ids import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dora.descriptor.plan import NodePlan, Plan


class NodeRecord:
    """What the supervisor knows of one node."""

    def __init__(self, plan: NodePlan) -> None:
        self.id = plan.id
        self.dynamic = not plan.spawned
        self.by_hand = plan.by_hand
        self.life = NodeLife(plan.id, dynamic=self.dynamic)
        self.incarnation = 0
        self.joins = 0
        """How often it has connected."""
        self.linked = False
        """Whether its control socket is up."""
        self.pid: int | None = None
        self.killed = False
        self.wired = bool(plan.inputs or plan.outputs)
        """Whether it has a port, and so is nothing without `Node()`."""
        shell = plan.command is not None and plan.command.argv[:2] == ("sh", "-c")
        self.gating = plan.command is not None and not (shell and not self.wired)

    @property
    def state(self) -> NodeState:
        """Where it stands."""
        return self.life.state

    @property
    def kind(self) -> str:
        """What it is called when told of."""
        if self.by_hand:
            return "hand-started node"
        return "dynamic node" if self.dynamic else "node"

    @property
    def alive(self) -> bool:
        """Whether it has a process that dora started."""
        return not self.dynamic and self.state is not NodeState.FINISHED

    @property
    def next_incarnation(self) -> int:
        """Which incarnation it is that joins now: dynamic nodes count their joins."""
        return self.joins if self.dynamic else self.incarnation


class Roster:
    """All nodes of a plan, in its order."""

    def __init__(self, plan: Plan) -> None:
        self._nodes = {node.id: NodeRecord(node) for node in plan.nodes}

    def __getitem__(self, node_id: str) -> NodeRecord:
        return self._nodes[node_id]

    def __iter__(self) -> Iterator[NodeRecord]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def alive(self) -> list[NodeRecord]:
        """Nodes with a process that dora started."""
        return [node for node in self if node.alive]

    def awaited(self) -> list[str]:
        """Nodes that the start barrier waits for."""
        unseen = (NodeState.SPAWNING, NodeState.ABSENT)
        return [n.id for n in self if n.gating and not n.joins and n.state in unseen]

    def held_open(self) -> bool:
        """Whether the dataflow goes on although no process of dora's is left."""
        if all(node.dynamic and not node.by_hand for node in self):
            return True  # it ends when it is asked to
        return any(node.by_hand and (node.linked or not node.joins) for node in self)

    def refusal(self, node_id: str, incarnation: int | None) -> str | None:
        """Why a node cannot join now; None when it can."""
        node = self._nodes.get(node_id)
        if node is None:
            near = suggest(node_id, self._nodes)
            return (
                f"this dataflow has no node `{node_id}`"
                + (f"; did you mean `{near}`?" if near else "")
                + f" (nodes here: {listed(self._nodes)})"
            )
        if not node.dynamic and incarnation is None:
            return (
                f"node `{node_id}` is started by dora itself; only a node with `path: dynamic` "
                "can join from outside"
            )
        if node.linked:
            return (
                f"node `{node_id}` is already connected (pid {node.pid}): a node has one `Node()`; "
                'with multiprocessing\'s spawn, guard it by `if __name__ == "__main__":`'
            )
        if node.dynamic:
            return None
        if incarnation != node.incarnation:
            return f"incarnation {incarnation} of node `{node_id}` is over"
        if node.state is not NodeState.SPAWNING:
            return f"node `{node_id}` has left the dataflow; a node joins only once"
        return None

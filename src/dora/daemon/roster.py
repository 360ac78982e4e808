"""Who is in a dataflow, and who may join it. Pure.

Elsewhere: the states of a node (`daemon.lifecycle`), what follows from them (`daemon.supervisor`).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from dora.daemon.lifecycle import NodeLife, NodeState
from dora.daemon.report import listed
from dora.daemon.saved import SavedNode
from dora.ids import suggest
from dora.wire.restarts import Restarts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dora.descriptor.plan import NodePlan


class Goal(Enum):
    """What one node was asked to end for."""

    NONE = auto()  # nobody asked
    RESTART = auto()  # to be started again
    STOP = auto()  # to stay stopped
    REMOVE = auto()  # to be taken out of the dataflow
    REPLACE = auto()  # to make room for its successor


class Successor:
    """A process that is to take a node's place once it has come up."""

    def __init__(
        self, plan: NodePlan, incarnation: int, ticket: int, grace_s: float | None
    ) -> None:
        self.plan = plan
        self.incarnation = incarnation
        self.ticket = ticket
        self.grace_s = grace_s
        self.pid: int | None = None
        """Of the process that registered; None: none has."""


class NodeRecord:
    """What the supervisor knows of one node."""

    def __init__(self, plan: NodePlan) -> None:
        self.id = plan.id
        self.life = NodeLife(plan.id, dynamic=not plan.spawned)
        self.incarnation = 0
        self._incarnations = 0
        self.joins = 0
        """How often it has connected."""
        self.restart_count = 0
        """How often it was started again."""
        self.linked = False
        """Whether its control socket is up."""
        self.pid: int | None = None
        self.killed = False
        self.killed_why: str | None = None
        """What it was killed for, if for something of its own."""
        self.failed = False
        """Whether it ended badly, for good or until its file is saved."""
        self.goal = Goal.NONE
        self.tickets: list[int] = []
        """Who wants to know when it has come to its goal."""
        self.successor: Successor | None = None
        self.readers_gone = True
        """Whether all processes that were this node before have ended, and so hold nothing."""
        self.watched_to_finish = False
        """Whether a timer runs since nothing feeds it any more."""
        self.take_plan(plan)

    def saved(self) -> SavedNode:
        """This as a value."""
        return SavedNode(
            plan=self.plan,
            state=self.state.name,
            incarnation=self.incarnation,
            incarnations=self._incarnations,
            joins=self.joins,
            restart_count=self.restart_count,
            linked=self.linked,
            pid=self.pid,
            killed=self.killed,
            killed_why=self.killed_why,
            failed=self.failed,
            goal=self.goal.name,
            readers_gone=self.readers_gone,
            watched_to_finish=self.watched_to_finish,
            window=self.restarts.window,
        )

    @classmethod
    def resumed(cls, saved: SavedNode) -> NodeRecord:
        """The record that was saved."""
        record = cls(saved.plan)
        record.life.state = NodeState[saved.state]
        record.incarnation = saved.incarnation
        record._incarnations = saved.incarnations
        record.joins = saved.joins
        record.restart_count = saved.restart_count
        record.linked = saved.linked
        record.pid = saved.pid
        record.killed, record.killed_why = saved.killed, saved.killed_why
        record.failed = saved.failed
        record.goal = Goal[saved.goal]
        record.readers_gone = saved.readers_gone
        record.watched_to_finish = saved.watched_to_finish
        record.restarts.take_over(saved.window)
        return record

    def take_plan(self, plan: NodePlan) -> None:
        """Go by this plan from now on."""
        self.plan = plan
        self.dynamic = not plan.spawned
        self.by_hand = plan.by_hand
        self.restarts = Restarts(plan.restart)
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
        """Whether it has a process that dora started, or will have one."""
        return not self.dynamic and self.state is not NodeState.FINISHED

    @property
    def may_restart(self) -> bool:
        """Whether its end may be followed by another start, so that its edges stay till then."""
        return self.plan.restart.policy != "never" or self.goal in (Goal.RESTART, Goal.REPLACE)

    def new_incarnation(self) -> int:
        """The number of a process that is to be started: none had it before."""
        self._incarnations += 1
        return self._incarnations


class Roster:
    """All nodes of a dataflow, in the plan's order, then as they came."""

    def __init__(self, nodes: Iterable[NodeRecord]) -> None:
        self._nodes = {node.id: node for node in nodes}

    def __getitem__(self, node_id: str) -> NodeRecord:
        return self._nodes[node_id]

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._nodes

    def __iter__(self) -> Iterator[NodeRecord]:
        return iter(list(self._nodes.values()))

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, node_id: str) -> NodeRecord | None:
        """The node of this id, if there is one."""
        return self._nodes.get(node_id)

    def add(self, plan: NodePlan) -> NodeRecord:
        """Take a node in."""
        record = self._nodes[plan.id] = NodeRecord(plan)
        return record

    def remove(self, node_id: str) -> None:
        """Take a node out."""
        del self._nodes[node_id]

    def is_linked(self, node_id: str) -> bool:
        """Whether there is such a node, and its control socket is up."""
        node = self._nodes.get(node_id)
        return node is not None and node.linked

    def alive(self) -> list[NodeRecord]:
        """Nodes with a process that dora started."""
        return [node for node in self if node.alive]

    def awaited(self) -> list[str]:
        """Nodes that the start barrier waits for."""
        unseen = (NodeState.SPAWNING, NodeState.BACKOFF, NodeState.ABSENT)
        return [n.id for n in self if n.gating and not n.joins and n.state in unseen]

    def held_open(self) -> bool:
        """Whether the dataflow goes on although no process of dora's is left."""
        if all(node.dynamic and not node.by_hand for node in self):
            return len(self) > 0  # it ends when it is asked to
        return any(node.by_hand and (node.linked or not node.joins) for node in self)

    def absent(self, node_id: str) -> str:
        """What is told of a node that is not there."""
        near = suggest(node_id, self._nodes)
        return (
            f"this dataflow has no node `{node_id}`"
            + (f"; did you mean `{near}`?" if near else "")
            + f" (nodes here: {listed(self._nodes)})"
        )

    def refusal(self, node_id: str, incarnation: int | None) -> str | None:
        """Why a node cannot join now; None when it can."""
        node = self._nodes.get(node_id)
        if node is None:
            return self.absent(node_id)
        if not node.dynamic and incarnation is None:
            return (
                f"node `{node_id}` is started by dora itself; only a node with `path: dynamic` "
                "can join from outside"
            )
        successor = node.successor
        if successor is not None and incarnation == successor.incarnation:
            return None if successor.pid is None else f"node `{node_id}` has registered already"
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

"""What the parts of a supervisor share: who there is, how they are wired, where it stands. Pure.

Parts: `daemon.supervisor` (who comes), `daemon.departures` (who goes), `daemon.ending` (all go),
`daemon.changes` (who and what is exchanged).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

import msgspec

from dora.daemon.edge_book import EdgeBook
from dora.daemon.edges import edges_of
from dora.daemon.roster import NodeRecord, Roster

if TYPE_CHECKING:
    from dora.daemon.report import NodeFailure
    from dora.daemon.saved import SavedFlow
    from dora.descriptor.plan import Plan


class Graces(msgspec.Struct, frozen=True):
    """How long a node may take, on each rung of the ladder."""

    stop_s: float = 10.0
    """From STOP to SIGTERM."""
    term_s: float = 5.0
    """From SIGTERM to SIGKILL."""
    hurry_s: float = 2.0
    """From SIGTERM to SIGKILL when asked twice, or when the start failed."""
    node_stop_s: float = 5.0
    """From STOP to SIGTERM where one node alone is to end; half of it more to SIGKILL."""


class Phase(Enum):
    """Where the dataflow stands."""

    STARTING = auto()  # the barrier is closed
    RUNNING = auto()  # the barrier is open
    STOPPING = auto()  # asked to stop
    ABORTING = auto()  # a node failed before the barrier; the others are being ended
    ENDED = auto()  # all over


class Flow:
    """The state of one dataflow."""

    def __init__(
        self,
        plan: Plan,
        graces: Graces,
        saved: SavedFlow | None = None,
        *,
        hot_reload: bool = False,
    ) -> None:
        self.hot_reload = hot_reload
        """Whether nodes are started again when their files are saved."""
        self.phase = Phase.STARTING
        self.held = False
        """Whether the start barrier waits for somebody else too: a recorder."""
        self.graces = graces
        self.failures: list[NodeFailure] = []
        self.forced = False
        """Whether it was asked to end at once, by force."""
        self.never_joined: list[str] = []
        """Whom the start barrier still waited for when the time of the dataflow was over."""
        if saved is None:
            self.roster = Roster(NodeRecord(node) for node in plan.nodes)
            self.book = EdgeBook(edges_of(plan), self.roster)
            return
        self.phase = Phase[saved.phase]
        self.failures += saved.failures
        self.never_joined += saved.never_joined
        self.roster = Roster(NodeRecord.resumed(node) for node in saved.nodes)
        self.book = EdgeBook(tuple(saved.edges), self.roster)
        self.book.resume(saved.marks, saved.next_edge)

    @property
    def ending(self) -> bool:
        """Whether all are to end."""
        return self.phase in (Phase.STOPPING, Phase.ABORTING)

    def forgive(self, node: NodeRecord) -> None:
        """Another process comes in place of one that failed: that was not for good."""
        if node.failed:
            node.failed = False
            last = max(i for i, failure in enumerate(self.failures) if failure.node == node.id)
            del self.failures[last]

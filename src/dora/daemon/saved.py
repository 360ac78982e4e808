"""What a daemon hands over to its successor of one dataflow, as values: all but the nodes.

The successor is the same process with another program (`exec`): its children stay its children,
open descriptors keep their numbers, and the monotonic clock goes on. Each part of a daemon has
`saved()`, which makes one of these, and takes it back when it is made anew. Elsewhere: the exec
(`background.handover`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from dora.daemon.edges import Edge  # noqa: TC001  # msgspec reads these
from dora.daemon.report import NodeFailure  # noqa: TC001
from dora.descriptor.plan import NodePlan, Plan  # noqa: TC001

if TYPE_CHECKING:
    from dora.transport.endpoint import Listener

FORMAT = 2
"""Raised by one whenever an older daemon's values could be misread."""


class SavedNode(msgspec.Struct, frozen=True):
    """A `roster.NodeRecord`."""

    plan: NodePlan
    state: str
    incarnation: int
    incarnations: int
    joins: int
    restart_count: int
    linked: bool
    pid: int | None
    killed: bool
    killed_why: str | None
    failed: bool
    goal: str
    readers_gone: bool
    watched_to_finish: bool
    window: tuple[int, float]
    """Restarts in the present window, and since when."""


class SavedFlow(msgspec.Struct, frozen=True):
    """A `flow.Flow` with its `ending.Ending` and edge book."""

    phase: str
    failures: list[NodeFailure]
    never_joined: list[str]
    nodes: list[SavedNode]
    edges: list[Edge]
    marks: list[list[int]]
    """Numbers of edges, see `edge_book.EdgeBook.marks`."""
    next_edge: int
    stops: int
    stop_s: float
    term_s: float
    reminder_s: float


class SavedMemory(msgspec.Struct, frozen=True):
    """Memory of one process of a sender; -1 for a descriptor that was given away."""

    name: str
    arena: int
    read_write: int
    read_only: int
    last: dict[int, int]


class SavedBoard(msgspec.Struct, frozen=True):
    """A `boards.Board`."""

    fd: int
    outputs: list[str]
    layout: tuple[int, int, int]
    routes: dict[int, int]
    inputs: dict[int, int]


class SavedWiring(msgspec.Struct, frozen=True):
    """A `wiring.Wiring` with its boards."""

    arena_ids: int
    memory: list[SavedMemory]
    earlier: list[SavedMemory]
    pipes: dict[int, tuple[int, int, int, int, int]]
    edges: list[Edge]
    closed: list[int]
    uncounted: list[int]
    retired: list[str]
    types: dict[str, dict[str, Any]]
    boards: dict[str, SavedBoard]
    past: dict[int, tuple[list[int], list[int]]]
    """By edge: sent, dropped, flushed, received, bytes, last, late; the latency buckets."""
    past_outputs: list[tuple[str, str, int, int]]


class SavedProcess(msgspec.Struct, frozen=True):
    """A `process.NodeProcess` with its output."""

    node: NodePlan
    incarnation: int
    pid: int
    pidfd: int
    stdout: int
    stderr: int
    lifeline: int
    started_s: float
    rests: tuple[bytes, bytes]
    """Lines of stdout and stderr that are not complete yet."""
    tail: list[str]


class SavedLink(msgspec.Struct, frozen=True):
    """The `link.Link` of a node."""

    node: str
    incarnation: int
    pid: int
    fd: int
    goodbye: bool
    buffer: bytes
    outgoing: list[tuple[bytes, list[int]]]
    stack: int
    """Read end of the pipe for its stack; -1 if there is none."""


class SavedTimer(msgspec.Struct, frozen=True):
    """A timer of the supervisor."""

    timer: str
    node: str | None
    incarnation: int
    at_s: float
    """When it fires, by the monotonic clock."""


class SavedListener(msgspec.Struct, frozen=True):
    """An `endpoint.Listener`."""

    address: str
    fds: list[int]
    inode: int


class SavedDataflow(msgspec.Struct, frozen=True):
    """All of a `server.Server`."""

    dataflow_id: str
    plan: Plan
    name: str | None
    hot_reload: bool
    started_s: float
    started_ns: int
    epoch_ns: int
    base_env: dict[str, str]
    listener: SavedListener
    flow: SavedFlow
    wiring: SavedWiring
    processes: list[SavedProcess]
    links: list[SavedLink]
    timers: list[SavedTimer]
    told_drops: list[int]
    extensions: list[tuple[str, str, str, bytes, list[str]]]
    """Namespace, key, owner, value, who knows it."""
    spawned: int
    feed: dict[int, tuple[int, int]] = {}
    """By edge that carries lines: sent, dropped."""


def saved_listener(listener: Listener) -> SavedListener:
    """A listener as a value; its descriptors stay its own."""
    fds = [one.fileno() for one in listener.sockets]
    return SavedListener(listener.address, fds, listener.inode)


def descriptors_of(dataflow: SavedDataflow) -> list[int]:
    """Every descriptor that goes over."""
    wiring = dataflow.wiring
    found = [*dataflow.listener.fds]
    for memory in (*wiring.memory, *wiring.earlier):
        found += (memory.read_write, memory.read_only)
    for pipes in wiring.pipes.values():
        found += pipes[:4]
    found += [board.fd for board in wiring.boards.values()]
    for process in dataflow.processes:
        found += (process.pidfd, process.stdout, process.stderr, process.lifeline)
    for link in dataflow.links:
        found += (link.fd, link.stack, *(fd for _, fds in link.outgoing for fd in fds))
    return [fd for fd in found if fd >= 0]

"""How many file descriptors a dataflow takes, in the daemon and in each node.

Checked before anything is spawned. The daemon's own soft limit is raised to what it needs at
once, a node's before it is sent its descriptors.
"""

from __future__ import annotations

import os
import resource
from collections import Counter
from typing import TYPE_CHECKING

from dora.daemon.edges import DAEMON
from dora.errors import DescriptorLimitError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.daemon.edges import Edge
    from dora.descriptor.plan import Plan

_PER_NODE = 10
"""In the daemon: memory twice, board twice, socket, pidfd, two outputs, lifeline, log file."""
_PER_EDGE = 4
_PER_LOG_EDGE = 7
_OWN = 64
_SPARE = 512
"""For clients and what they look into, where the hard limit allows it."""
_NODES_OWN = 128
"""For what a node opens itself: its epoll, its files, its libraries."""


def daemon_needs(plan: Plan, edges: Iterable[Edge]) -> int:
    """How many descriptors the daemon takes for this plan."""
    pipes = sum(_PER_EDGE if edge.feed == "node" else _PER_LOG_EDGE for edge in edges)
    return len(plan.nodes) * _PER_NODE + pipes + _OWN


def nodes_need(edges: Iterable[Edge]) -> dict[str, int]:
    """How many descriptors each node with edges takes."""
    needs: Counter[str] = Counter()
    senders: dict[str, set[str]] = {}
    for edge in edges:
        if edge.feed == "node":
            needs[edge.sender] += 3
        needs[edge.receiver] += 2
        senders.setdefault(edge.receiver, set()).add(edge.sender if edge.feed == "node" else DAEMON)
    for node, known in senders.items():
        needs[node] += len(known)
    return {node: count + _NODES_OWN for node, count in needs.items()}


def provide(plan: Plan, edges: Iterable[Edge]) -> None:
    """Raise this process's soft limit as far as the plan needs.

    Raises:
        DescriptorLimitError: the hard limit does not allow it, here or in a node.
    """
    provide_here(daemon_needs(plan, edges))
    needs = nodes_need(edges)
    worst = max(needs, key=lambda node: needs[node], default=None)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if worst is not None and hard != resource.RLIM_INFINITY and needs[worst] > hard:
        raise DescriptorLimitError(_told(f"node `{worst}` needs", needs[worst], hard))


def provide_here(more: int = _PER_LOG_EDGE + _PER_NODE) -> None:
    """Raise this process's soft limit so far that it may open so many files more.

    Raises:
        DescriptorLimitError: the hard limit does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(os.listdir("/proc/self/fd")) + more
    if hard == resource.RLIM_INFINITY:
        wanted = needed + _SPARE
    elif needed > hard:
        raise DescriptorLimitError(_told("this dataflow needs", needed, hard))
    else:
        wanted = min(needed + _SPARE, hard)
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def provide_for_node(pid: int, needed: int) -> None:
    """Raise the soft limit of a running process to `needed`.

    Raises:
        OSError: the process is gone, or is not ours to change.
        ValueError: `needed` is above its hard limit.
    """
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (needed, hard))


def _told(who: str, needed: int, limit: int) -> str:
    return (
        f"{who} {needed} file descriptors, but a process may open {limit} at most; "
        f"raise the limit (`ulimit -n {needed}`) and run it again"
    )

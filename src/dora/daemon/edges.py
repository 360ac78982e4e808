"""The edges of a plan, numbered: each output, or stream of log lines, wired to one input. Pure.

The daemon itself is the sender of log lines: of `dora/logs...` inputs, and of the outputs that a
node named in `send_stdout_as` and `send_logs_as`. It never waits for a receiver, so that such an
edge always drops its oldest line; where `backpressure` was asked for, it gets the longer queue that
dora-rs gives it.

Elsewhere: the pipes of an edge (`daemon.wiring`), when it closes (`daemon.supervisor`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from dora.ids import LogsRef, NodeId, PortId  # noqa: TC001  # msgspec reads these

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.descriptor.plan import NodePlan, Plan

DAEMON = "dora"
"""The sender of log lines; no node may have this id."""

Feed = Literal["node", "stdout", "logs", "dataflow"]
"""Who writes: the node; the daemon, its raw lines, its parsed lines, or lines of the dataflow."""

_BACKPRESSURE_LOG_QUEUE = 100


class Edge(msgspec.Struct, frozen=True):
    """One edge. Those of a plan are numbered in its order, later ones go on from there."""

    number: int
    sender: NodeId
    """Whose output it is; `DAEMON` for `dora/logs...` inputs."""
    output: PortId
    receiver: NodeId
    input: PortId
    queue_size: int
    backpressure: bool
    feed: Feed = "node"
    input_timeout_s: float | None = None
    as_arrow: bool = False
    logs: LogsRef | None = None
    """Which lines of the dataflow, when `feed` is "dataflow"."""
    tap: bool = False
    """Read by a client, not by a node: `receiver` and `input` are empty."""

    @property
    def source(self) -> str:
        """The source as the descriptor has it."""
        return str(self.logs) if self.logs else f"{self.sender}/{self.output}"

    @property
    def memory_owner(self) -> str:
        """Whose memory its messages lie in."""
        return self.sender if self.feed == "node" else DAEMON

    @property
    def target(self) -> str:
        """The input, written `node/input`."""
        return f"{self.receiver}/{self.input}"


def edges_of(plan: Plan, first: int = 0, running: Iterable[NodePlan] = ()) -> tuple[Edge, ...]:
    """All edges of a plan, in the order of its routes, then of its log routes.

    Args:
        plan: What is wired.
        first: The number of its first edge.
        running: Nodes that run already, which the plan may read from.
    """
    edges: list[Edge] = []
    senders = {node.id: node for node in (*running, *plan.nodes)}
    for route in plan.routes:
        sender = senders.get(route.sender)
        feed: Feed = "node" if sender is None else feed_of(sender, route.output)
        lossless = route.backpressure and feed == "node"
        size = route.queue_size
        if route.backpressure and not lossless:
            size = max(_BACKPRESSURE_LOG_QUEUE, 10 * size)
        edges.append(
            Edge(
                number=first + len(edges),
                sender=route.sender,
                output=route.output,
                receiver=route.receiver,
                input=route.input,
                queue_size=size,
                backpressure=lossless,
                feed=feed,
                input_timeout_s=route.input_timeout_s,
                as_arrow=route.as_arrow,
            )
        )
    for log_route in plan.log_routes:
        size = log_route.queue_size
        if log_route.backpressure:
            size = max(_BACKPRESSURE_LOG_QUEUE, 10 * size)
        edges.append(
            Edge(
                number=first + len(edges),
                sender=DAEMON,
                output=str(log_route.logs),
                receiver=log_route.receiver,
                input=log_route.input,
                queue_size=size,
                backpressure=False,
                feed="dataflow",
                logs=log_route.logs,
            )
        )
    return tuple(edges)


def feed_of(node: NodePlan, output: PortId) -> Feed:
    """Who writes an output of a node: the node, or the daemon, its lines."""
    if output == node.logs.send_stdout_as:
        return "stdout"
    return "logs" if output == node.logs.send_logs_as else "node"

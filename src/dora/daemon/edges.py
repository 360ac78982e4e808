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

if TYPE_CHECKING:
    from dora.descriptor.plan import Plan
    from dora.ids import LogsRef, NodeId, PortId

DAEMON = "dora"
"""The sender of log lines; no node may have this id."""

Feed = Literal["node", "stdout", "logs", "dataflow"]
"""Who writes: the node; the daemon, its raw lines, its parsed lines, or lines of the dataflow."""

_BACKPRESSURE_LOG_QUEUE = 100


class Edge(msgspec.Struct, frozen=True):
    """One edge; `number` is its place in the plan's tuple of edges."""

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

    @property
    def source(self) -> str:
        """The source as the descriptor has it."""
        return str(self.logs) if self.logs else f"{self.sender}/{self.output}"

    @property
    def target(self) -> str:
        """The input, written `node/input`."""
        return f"{self.receiver}/{self.input}"


def edges_of(plan: Plan) -> tuple[Edge, ...]:
    """All edges of a plan, in the order of its routes, then of its log routes."""
    edges: list[Edge] = []
    settings = {node.id: node.logs for node in plan.nodes}
    for route in plan.routes:
        logs = settings[route.sender]
        feed: Feed = "node"
        if route.output == logs.send_stdout_as:
            feed = "stdout"
        elif route.output == logs.send_logs_as:
            feed = "logs"
        lossless = route.backpressure and feed == "node"
        size = route.queue_size
        if route.backpressure and not lossless:
            size = max(_BACKPRESSURE_LOG_QUEUE, 10 * size)
        edges.append(
            Edge(
                number=len(edges),
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
                number=len(edges),
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

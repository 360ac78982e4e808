"""Figures as JSON for programs: for each node the keys of dora-rs's `dora top --once`, and ours.

Every key is described in `docs/commands.md`. Pure. Elsewhere: the figures (`monitor.figures`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.monitor.figures import EdgeFigures, Figures, NodeFigures, OutputFigures
    from dora.wire.visits import NodeView

_STATUS = {
    "spawning": "Starting",
    "waiting": "Starting",
    "running": "Running",
    "closed": "Closed",
    "stopping": "Stopping",
    "backoff": "Restarting",
    "finished": "Stopped",
    "absent": "Absent",
}
_RUST_STATUS = {"Restarting": "restarting", "Failed": "failed", "Stopped": "stopped"}
"""dora-rs has these and `running`."""


def status_of(node: NodeView) -> str:
    """In one word, for people; those that dora-rs has too are the same."""
    return "Failed" if node.failed else _STATUS.get(node.state, node.state.capitalize())


def node_infos(measured: Iterable[Figures]) -> list[dict[str, Any]]:
    """All nodes of these dataflows."""
    return [_node(flow, node) for flow in measured for node in flow.nodes]


def _node(flow: Figures, node: NodeFigures) -> dict[str, Any]:
    view = node.view
    inputs = [edge for edge in flow.edges if edge.view.receiver == view.id]
    return {
        "dataflow_id": flow.dataflow.id,
        "dataflow_name": flow.dataflow.name,
        "node_id": view.id,
        "daemon_id": {
            "machine_id": None,
            "uuid": f"00000000-0000-0000-0000-{flow.dataflow.pid:012x}",
        },
        "metrics": _metrics(node, inputs),
        "network": None,
        "state": view.state,
        "failed": view.failed,
        "dynamic": view.dynamic,
        "uptime_s": _rounded(view.uptime_s),
        "measured_s": _rounded(flow.over_s),
        "inputs": [_input(edge) for edge in inputs],
        "outputs": [_output(one) for one in flow.outputs if one.view.node == view.id],
    }


def _metrics(node: NodeFigures, inputs: list[EdgeFigures]) -> dict[str, Any]:
    """dora-rs's, where a node without a process has zeros."""
    view = node.view
    gone = view.pid is None
    status = _RUST_STATUS.get(status_of(view), "stopped" if view.state == "absent" else "running")
    return {
        "pid": view.pid or 0,
        "cpu_usage": 0.0 if gone else _rounded(node.cpu_percent),
        "memory_mb": 0.0 if gone else _scaled(view.memory_bytes, 1e6),
        "disk_read_mb_s": _scaled(node.disk_read_bytes_s, 1e6),
        "disk_write_mb_s": _scaled(node.disk_write_bytes_s, 1e6),
        "restart_count": view.restarts,
        "broken_inputs": [edge.view.input for edge in inputs if edge.view.broken],
        "status": status,
        "pending_messages": node.pending,
    }


def _input(edge: EdgeFigures) -> dict[str, Any]:
    view = edge.view
    return {
        "id": view.input,
        "source": f"{view.sender}/{view.output}",
        "open": view.open,
        "sent_hz": _rounded(edge.sent_hz),
        "rate_hz": _rounded(edge.rate_hz),
        "mb_s": _scaled(edge.bytes_s, 1e6),
        "latency_p50_ms": _scaled(edge.p50_ns, 1e6),
        "latency_p99_ms": _scaled(edge.p99_ns, 1e6),
        "queue": view.waiting,
        "queue_size": view.queue_size,
        "backpressure": view.backpressure,
        "sent": view.sent,
        "received": view.received,
        "dropped": view.dropped,
        "dropped_hz": _rounded(edge.dropped_hz),
        "flushed": view.flushed,
        "late": view.late,
    }


def _output(one: OutputFigures) -> dict[str, Any]:
    return {
        "id": one.view.output,
        "rate_hz": _rounded(one.rate_hz),
        "mb_s": _scaled(one.bytes_s, 1e6),
        "sent": one.view.messages,
    }


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)


def _scaled(number: float | None, unit: float) -> float | None:
    return None if number is None else round(number / unit, 6)

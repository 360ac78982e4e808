"""What the page is told of a dataflow: figures as plain values for JSON. Pure.

Says too which edges want to be looked at. Elsewhere: the figures (`monitor.figures`), who is told
(`web.watching`), how it looks (`static/graph.js`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dora.monitor.node_json import status_of

if TYPE_CHECKING:
    from dora.monitor.figures import EdgeFigures, Figures, NodeFigures, OutputFigures
    from dora.wire.visits import Dataflow

SLOW_MS = 100.0
"""A message that takes longer from send to receive is late, whatever the rate."""
QUEUEING_MS = 5.0
"""Delays shorter than this are not called slow, however fast messages come."""


def listed(flows: list[Dataflow]) -> list[dict[str, Any]]:
    """The dataflows that run, for the list of them."""
    return [
        {
            "id": flow.id,
            "name": flow.name,
            "nodes": len(flow.nodes),
            "started_ms": flow.started_ns // 1_000_000,
            "background": flow.background,
        }
        for flow in flows
    ]


def snapshot(flow: Figures) -> dict[str, Any]:
    """All of one dataflow.

    Left out are edges that carry the daemon's own log lines, and closed ones that were wired anew.
    """
    nodes = {node.view.id for node in flow.nodes}
    newest = {_ends(edge): edge.view.number for edge in flow.edges}
    return {
        "flow": flow.dataflow.id,
        "name": flow.dataflow.name,
        "file": flow.dataflow.file,
        "phase": flow.phase,
        "pid": flow.dataflow.pid,
        "background": flow.dataflow.background,
        "started_ms": flow.dataflow.started_ns // 1_000_000,
        "over_s": _rounded(flow.over_s),
        "nodes": [_node(node) for node in flow.nodes],
        "outputs": [_output(one) for one in flow.outputs],
        "edges": [
            _edge(edge)
            for edge in flow.edges
            if edge.view.sender in nodes
            and (edge.view.open or newest[_ends(edge)] == edge.view.number)
        ],
    }


def trouble(edge: EdgeFigures) -> str:
    """What is the matter with an edge, in one word, the worst first; empty: nothing.

    `silent`: nothing came for its `input_timeout`. `drops`: messages are being lost.
    `slow`: messages take long, or longer than the time between two of them.
    """
    view = edge.view
    if view.broken:
        return "silent"
    if edge.dropped_hz:
        return "drops"
    if edge.p50_ns is None or not edge.rate_hz:  # what was slow before is not news
        return ""
    p50_ms = edge.p50_ns / 1e6
    if p50_ms >= SLOW_MS or (p50_ms >= QUEUEING_MS and p50_ms * edge.rate_hz >= 1000):
        return "slow"
    return ""


def _ends(edge: EdgeFigures) -> tuple[str, str, str, str]:
    view = edge.view
    return view.sender, view.output, view.receiver, view.input


def _node(node: NodeFigures) -> dict[str, Any]:
    view = node.view
    return {
        "id": view.id,
        "state": view.state,
        "status": status_of(view),
        "failed": view.failed,
        "dynamic": view.dynamic,
        "pid": view.pid,
        "cpu": _rounded(node.cpu_percent, 1),
        "memory": view.memory_bytes,
        "read_s": _rounded(node.disk_read_bytes_s, 0),
        "write_s": _rounded(node.disk_write_bytes_s, 0),
        "pending": node.pending,
        "restarts": view.restarts,
        "max_restarts": view.max_restarts,
        "policy": view.policy,
        "uptime_s": _rounded(view.uptime_s, 1),
        "path": view.path,
        "command": view.command,
        "inputs": [{"id": name, "source": view.sources.get(name, "")} for name in view.inputs],
        "outputs": view.outputs,
    }


def _output(one: OutputFigures) -> dict[str, Any]:
    return {
        "node": one.view.node,
        "output": one.view.output,
        "hz": _rounded(one.rate_hz),
        "bytes_s": _rounded(one.bytes_s, 0),
        "sent": one.view.messages,
    }


def _edge(edge: EdgeFigures) -> dict[str, Any]:
    view = edge.view
    return {
        "id": view.number,
        "from": view.sender,
        "output": view.output,
        "to": view.receiver,
        "input": view.input,
        "open": view.open,
        "hz": _rounded(edge.rate_hz),
        "sent_hz": _rounded(edge.sent_hz),
        "bytes_s": _rounded(edge.bytes_s, 0),
        "p50_ms": _ms(edge.p50_ns),
        "p99_ms": _ms(edge.p99_ns),
        "queue": view.waiting,
        "queue_size": view.queue_size,
        "backpressure": view.backpressure,
        "sent": view.sent,
        "received": view.received,
        "dropped": view.dropped,
        "dropped_hz": _rounded(edge.dropped_hz),
        "late": view.late,
        "trouble": trouble(edge),
    }


def _ms(ns: float | None) -> float | None:
    return None if ns is None else round(ns / 1e6, 4)


def _rounded(number: float | None, digits: int = 2) -> float | None:
    return None if number is None else round(number, digits)

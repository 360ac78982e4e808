"""What `dora top`, `dora node list` and `dora node info` print.

Elsewhere: their flags (`cli.top_command`, `cli.node_commands`), the figures (`monitor.figures`).
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from dora.cli.tables import table
from dora.errors import DoraError
from dora.monitor.looks import Looks, measure
from dora.monitor.node_json import node_infos, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dora.monitor.figures import EdgeFigures, Figures, NodeFigures, OutputFigures

MEASURE_S = 0.5
"""What `dora node` measures the CPU over."""

_UNKNOWN = "-"
_POLICIES = {"never": "Never", "on-failure": "OnFailure", "always": "Always"}
"""Restart policies as dora-rs writes them here."""
_CLEAR, _HOME, _REST_OF_LINE, _REST = "\033[2J", "\033[H", "\033[K", "\033[J"


def print_snapshot(over_s: float, dataflow: str | None) -> None:
    """Print all nodes as one JSON array."""
    click.echo(json.dumps(node_infos(measure(over_s, dataflow)), indent=2, ensure_ascii=False))


def show_again_and_again(interval_s: float, dataflow: str | None) -> None:
    """Show tables on the terminal, anew after each interval, until Ctrl-C.

    Ends too with a dataflow that was named.
    """
    with Looks(dataflow) as looks:
        sys.stdout.write(_CLEAR)
        try:
            while True:
                measured = looks.look()
                if dataflow is not None and not measured:
                    click.echo(f"dataflow `{dataflow}` has ended")
                    return
                rows = shutil.get_terminal_size().lines - 1
                lines = top_text(measured).splitlines()[:rows]
                text = "".join(f"{line}{_REST_OF_LINE}\n" for line in lines)
                sys.stdout.write(f"{_HOME}{text}{_REST}")
                sys.stdout.flush()
                time.sleep(interval_s)
        except KeyboardInterrupt:
            click.echo()  # behind the `^C`


def top_text(measured: list[Figures]) -> str:
    """Two tables for each dataflow: its nodes, and what flows between them."""
    return "\n\n".join(map(_flow_text, measured)) or "no dataflow is running"


def print_nodes(dataflow: str | None, *, as_json: bool, quiet: bool) -> None:
    """Print one line for each node."""
    measured = measure(0 if quiet else MEASURE_S, dataflow)
    nodes = [(flow, node) for flow in measured for node in flow.nodes]
    if quiet:
        for _flow, node in nodes:
            click.echo(node.view.id)
        return
    headers = ["NODE", "STATUS", "PID", "CPU", "MEMORY", "RESTARTS", "DATAFLOW"]
    if dataflow is not None:
        headers.pop()
    rows = [[*_cells(node), flow.dataflow.name][: len(headers)] for flow, node in nodes]
    if not as_json:
        click.echo(table(headers, rows, {"PID", "CPU", "MEMORY", "RESTARTS"}))
        return
    for row in rows:
        values = zip(map(str.lower, headers), row, strict=True)
        click.echo(json.dumps(dict(values), separators=(",", ":"), ensure_ascii=False))


def print_node(node_id: str, dataflow: str | None, *, as_json: bool) -> None:
    """Print everything about one node."""
    for flow in measure(MEASURE_S, dataflow, node_id):
        for node in flow.nodes:
            if node.view.id == node_id:
                told = _told(flow, node)
                click.echo(
                    json.dumps(told, indent=2, ensure_ascii=False) if as_json else _text(told)
                )
                return
    raise DoraError(f"node `{node_id}` has just gone")


def _flow_text(flow: Figures) -> str:
    nodes = table(
        [
            "NODE",
            "STATUS",
            "PID",
            "CPU",
            "MEMORY",
            "RESTARTS",
            "PENDING",
            "READ MB/S",
            "WRITE MB/S",
        ],
        [
            [
                *_cells(node),
                str(node.pending),
                _number(node.disk_read_bytes_s, 1e6),
                _number(node.disk_write_bytes_s, 1e6),
            ]
            for node in flow.nodes
        ],
        {"PID", "CPU", "MEMORY", "RESTARTS", "PENDING", "READ MB/S", "WRITE MB/S"},
    )
    columns = [
        "SENT/S",
        "RECEIVED/S",
        "MB/S",
        "P50",
        "P99",
        "QUEUE",
        "DROPPED",
        "DROPPED/S",
        "LATE",
    ]
    edges = table(["OUTPUT", "INPUT", *columns], _edge_rows(flow), set(columns))
    return f"{flow.dataflow.name}  {flow.phase}  {flow.dataflow.id}\n\n{nodes}\n\n{edges}"


def _edge_rows(flow: Figures) -> Iterator[list[str]]:
    """Each edge, and each output that nobody reads."""
    read = {(edge.view.sender, edge.view.output) for edge in flow.edges}
    yield from map(_edge_row, flow.edges)
    for one in flow.outputs:
        if (one.view.node, one.view.output) not in read:
            yield _unread_row(one)


def _edge_row(edge: EdgeFigures) -> list[str]:
    view = edge.view
    return [
        f"{view.sender}/{view.output}",
        f"{view.receiver}/{view.input}",
        _number(edge.sent_hz),
        _number(edge.rate_hz),
        _number(edge.bytes_s, 1e6),
        _delay(edge.p50_ns),
        _delay(edge.p99_ns),
        f"{view.waiting}/{view.queue_size}" if view.open else "closed",
        str(view.dropped),
        _number(edge.dropped_hz),
        str(view.late),
    ]


def _unread_row(one: OutputFigures) -> list[str]:
    sent = _number(one.rate_hz)
    return [f"{one.view.node}/{one.view.output}", _UNKNOWN, sent, "", _number(one.bytes_s, 1e6)]


def _cells(node: NodeFigures) -> list[str]:
    """Of one node: id, status, pid, CPU, memory, restarts."""
    view = node.view
    gone = view.pid is None
    memory = None if gone else view.memory_bytes
    return [
        view.id,
        status_of(view),
        _UNKNOWN if view.pid is None else str(view.pid),
        _UNKNOWN if gone or node.cpu_percent is None else f"{node.cpu_percent:.1f}%",
        _UNKNOWN if memory is None else f"{memory / 1e6:.0f} MB",
        str(view.restarts),
    ]


def _told(flow: Figures, node: NodeFigures) -> dict[str, Any]:
    """All about a node, under the keys of dora-rs; ports as in `dora top`, too."""
    view = node.view
    (top,) = [one for one in node_infos([flow]) if one["node_id"] == view.id]
    figures_of = {one["id"]: one for one in top["inputs"]}
    _id, status, _pid, cpu, memory, _restarts = _cells(node)
    readers: dict[str, list[str]] = {output: [] for output in view.outputs}
    for edge in flow.edges:
        if edge.view.sender == view.id:
            readers.setdefault(edge.view.output, []).append(
                f"{edge.view.receiver}/{edge.view.input}"
            )
    sent = {one["id"]: one for one in top["outputs"]}
    return {
        "node_id": view.id,
        "dataflow": flow.dataflow.name,
        "path": view.path,
        "command": view.command,
        "outputs": [
            {"id": output, "subscribers": inputs, **sent.get(output, {})}
            for output, inputs in readers.items()
        ],
        "inputs": [
            {**figures_of.get(name, {}), "id": name, "source": view.sources.get(name, "")}
            for name in view.inputs
        ],
        "restart_policy": _POLICIES.get(view.policy, view.policy),
        "max_restarts": view.max_restarts,
        "metrics": {
            "status": status,
            "pid": view.pid or 0,
            "cpu": cpu,
            "memory": memory,
            "restart_count": view.restarts,
            "pending_messages": node.pending,
        },
        "uptime_s": top["uptime_s"],
    }


def _text(told: dict[str, Any]) -> str:
    """All about a node, laid out as dora-rs does."""
    metrics = told["metrics"]
    inputs = [[f"  {one['id']}", f"<- {one['source']}", _flowing(one)] for one in told["inputs"]]
    outputs = [
        [f"  {one['id']}", f"-> {', '.join(one['subscribers']) or '<none>'}", _flowing(one)]
        for one in told["outputs"]
    ]
    uptime_s = told["uptime_s"]
    return "\n".join(
        [
            f"Node: {told['node_id']}",
            f"Dataflow: {told['dataflow']}",
            f"Path: {told['path'] or '<none>'}",
            f"Command: {' '.join(told['command']) or '<none>'}",
            "",
            "Restart Policy:",
            f"  Policy: {told['restart_policy']}",
            f"  Max restarts: {told['max_restarts']}",
            "",
            "Inputs:",
            _listed(inputs),
            "",
            "Outputs:",
            _listed(outputs),
            "",
            "Runtime Metrics:",
            f"  Status:        {metrics['status']}",
            f"  PID:           {metrics['pid'] or _UNKNOWN}",
            f"  CPU:           {metrics['cpu']}",
            f"  Memory:        {metrics['memory']}",
            f"  Restarts:      {metrics['restart_count']}",
            f"  Pending msgs:  {metrics['pending_messages']}",
            f"  Uptime:        {_UNKNOWN if uptime_s is None else f'{uptime_s:.0f} s'}",
        ]
    )


def _listed(rows: list[list[str]]) -> str:
    """A table without headers."""
    return table(["", "", ""], rows).partition("\n")[2] if rows else "  <none>"


def _flowing(port: dict[str, Any]) -> str:
    """What goes through a port, in short; nothing for timers."""
    if port.get("rate_hz") is None:
        return ""
    told = [f"{_number(port['rate_hz'])}/s", f"{_number(port['mb_s'])} MB/s"]
    if "queue" in port:
        for share in ("p50", "p99"):
            delay_ms = port[f"latency_{share}_ms"]
            told += [] if delay_ms is None else [f"{share} {_delay(delay_ms * 1e6)}"]
        queue = f"queue {port['queue']}/{port['queue_size']}" if port["open"] else "closed"
        told += [queue, f"dropped {port['dropped']}"]
    return ", ".join(told)


def _number(number: float | None, unit: float = 1.0) -> str:
    """Three digits, as many of them behind the point as it takes."""
    if number is None:
        return _UNKNOWN
    number /= unit
    digits = 0 if number >= 100 else 1 if number >= 10 or not number else 2
    return f"{number:.{digits}f}"


def _delay(delay_ns: float | None) -> str:
    if delay_ns is None:
        return _UNKNOWN
    for unit, size in (("s", 1e9), ("ms", 1e6)):
        if delay_ns >= size:
            return f"{_number(delay_ns, size)} {unit}"
    return f"{delay_ns / 1e3:.0f} us"

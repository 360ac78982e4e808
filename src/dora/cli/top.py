"""What `dora top`, `dora node list` and `dora node info` print.

Elsewhere: their flags (`cli.top_command`, `cli.node_commands`), the figures (`monitor.figures`).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dora.cli.tables import table
from dora.cli.top_rows import (
    CPU,
    EDGE_COLUMNS,
    MEMORY,
    NODE,
    NODE_COLUMNS,
    PID,
    RESTARTS,
    STATUS,
    UNKNOWN,
    NodeRow,
    delay,
    edge_rows,
    node_rows,
    number,
)
from dora.errors import DoraError
from dora.monitor.looks import Looks, measure
from dora.monitor.node_json import node_infos

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dora.cli.top_rows import Column
    from dora.monitor.figures import Figures, NodeFigures

_Row = TypeVar("_Row")

MEASURE_S = 0.5
"""What `dora node` measures the CPU over."""

_LACKING = "for sorting, filters, logs and keys: pip install 'dora-py[top]'"
_LISTED = (NODE, STATUS, PID, CPU, MEMORY, RESTARTS)
_POLICIES = {"never": "Never", "on-failure": "OnFailure", "always": "Always"}
"""Restart policies as dora-rs writes them here."""
_CLEAR, _HOME, _REST_OF_LINE, _REST = "\033[2J", "\033[H", "\033[K", "\033[J"


def print_snapshot(over_s: float, dataflow: str | None) -> None:
    """Print all nodes as one JSON array."""
    click.echo(json.dumps(node_infos(measure(over_s, dataflow)), indent=2, ensure_ascii=False))


def show_live(interval_s: float, dataflow: str | None) -> int:
    """Show what runs on the whole terminal, until the user leaves; the exit status of the command.

    Without textual, or on a terminal that cannot do it: tables, see `show_again_and_again`.
    """
    if os.environ.get("TERM", "dumb") == "dumb":
        show_again_and_again(interval_s, dataflow)
        return 0
    if find_spec("textual") is None:
        show_again_and_again(interval_s, dataflow, _LACKING)
        return 0
    from dora.cli.top_screen import Top

    app = Top(Looks(dataflow), interval_s)
    app.run()
    return app.return_code or 0


def show_again_and_again(interval_s: float, dataflow: str | None, above: str = "") -> None:
    """Show tables on the terminal, anew after each interval, until Ctrl-C.

    Ends too with a dataflow that was named.

    Args:
        interval_s: How long tables stand.
        dataflow: Its name or the beginning of its id; None: all.
        above: A line that is told above them.
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
                lines = [*([above] if above else []), *top_text(measured).splitlines()][:rows]
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
    nodes = [(flow, row) for flow in measured for row in node_rows(flow)]
    if quiet:
        for _flow, row in nodes:
            click.echo(row.name)
        return
    headers = [*(column.title for column in _LISTED), "DATAFLOW"]
    if dataflow is not None:
        headers.pop()
    rows = [
        [*(column.text(row) for column in _LISTED), flow.dataflow.name][: len(headers)]
        for flow, row in nodes
    ]
    if not as_json:
        click.echo(table(headers, rows, {column.title for column in _LISTED if column.number}))
        return
    for cells in rows:
        values = zip(map(str.lower, headers), cells, strict=True)
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
    nodes = _table(NODE_COLUMNS, node_rows(flow))
    edges = _table(EDGE_COLUMNS, edge_rows(flow))
    return f"{flow.dataflow.name}  {flow.phase}  {flow.dataflow.id}\n\n{nodes}\n\n{edges}"


def _table(columns: Sequence[Column[_Row]], rows: Sequence[_Row]) -> str:
    cells = [[column.text(row) for column in columns] for row in rows]
    titles = [column.title for column in columns]
    return table(titles, cells, {column.title for column in columns if column.number})


def _told(flow: Figures, node: NodeFigures) -> dict[str, Any]:
    """All about a node, under the keys of dora-rs; ports as in `dora top`, too."""
    view = node.view
    (top,) = [one for one in node_infos([flow]) if one["node_id"] == view.id]
    figures_of = {one["id"]: one for one in top["inputs"]}
    shown = NodeRow(node, None, None)
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
            "status": STATUS.text(shown),
            "pid": view.pid or 0,
            "cpu": CPU.text(shown),
            "memory": MEMORY.text(shown),
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
            f"  PID:           {metrics['pid'] or UNKNOWN}",
            f"  CPU:           {metrics['cpu']}",
            f"  Memory:        {metrics['memory']}",
            f"  Restarts:      {metrics['restart_count']}",
            f"  Pending msgs:  {metrics['pending_messages']}",
            f"  Uptime:        {UNKNOWN if uptime_s is None else f'{uptime_s:.0f} s'}",
        ]
    )


def _listed(rows: list[list[str]]) -> str:
    """A table without headers."""
    return table(["", "", ""], rows).partition("\n")[2] if rows else "  <none>"


def _flowing(port: dict[str, Any]) -> str:
    """What goes through a port, in short; nothing for timers."""
    if port.get("rate_hz") is None:
        return ""
    told = [f"{number(port['rate_hz'])}/s", f"{number(port['mb_s'])} MB/s"]
    if "queue" in port:
        for share in ("p50", "p99"):
            delay_ms = port[f"latency_{share}_ms"]
            told += [] if delay_ms is None else [f"{share} {delay(delay_ms * 1e6)}"]
        queue = f"queue {port['queue']}/{port['queue_size']}" if port["open"] else "closed"
        told += [queue, f"dropped {port['dropped']}"]
    return ", ".join(told)

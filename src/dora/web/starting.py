"""Starting a node that has ended: the one of the dataflow file comes in its place, wired as before.

A node that has ended stays so; what comes is another of the same name. Calls block: for threads.

Elsewhere: planning it (`descriptor.addition`), taking it in (`daemon.changes`).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dora.descriptor.addition import plan_addition
from dora.descriptor.packing import pack_plan
from dora.descriptor.source import load
from dora.errors import DoraError
from dora.wire.visits import AskAdd, AskNode, AskRoute

if TYPE_CHECKING:
    from dora.client import Client
    from dora.descriptor.plan import Plan
    from dora.wire.visits import EdgeView, State

_WITHIN_S = 60.0


def start_node(daemon: Client, node: str) -> str:
    """Start a node that has ended; what there is to say about it.

    Raises:
        DoraError: it has not ended, or cannot be started from the file.
    """
    state = daemon.state()
    view = next((one for one in state.nodes if one.id == node), None)
    if view is None:
        raise DoraError(f"this dataflow has no node `{node}`")
    if view.state != "finished":
        raise DoraError(f"node `{node}` has not ended")
    plan = _planned(Path(state.dataflow.file), node, state)
    daemon.ask(AskNode("remove", node), _WITHIN_S)
    daemon.ask(AskAdd(pack_plan(plan)), _WITHIN_S)
    for edge in _readers(state, node):
        daemon.ask(_route(edge), _WITHIN_S)
    return f"node `{node}` was started from {state.dataflow.file}"


def _planned(file: Path, node: str, state: State) -> Plan:
    """The plan of one node of a dataflow file, to be added to what runs."""
    flow = load(file).value
    nodes = flow.get("nodes") if isinstance(flow, dict) else None
    entry = next(
        (one for one in nodes or [] if isinstance(one, dict) and one.get("id") == node), None
    )
    if entry is None:
        raise DoraError(
            f"`{file}` itself has no node `{node}`, it comes from elsewhere; "
            f"`dora node remove {node}` and `dora node add` put another in its place"
        )
    known = {one.id: one.outputs for one in state.nodes if one.id != node}
    with tempfile.NamedTemporaryFile("wb", suffix=".yml") as alone:
        alone.write(msgspec.json.encode({**_plain(flow), "nodes": [_plain(entry)]}))
        alone.flush()
        plan = plan_addition(
            Path(alone.name), environ=os.environ, known=known, working_dir=file.parent
        )
    fetched = plan.nodes[0].git is not None or plan.nodes[0].download is not None
    if fetched:
        raise DoraError(
            f"node `{node}` has to be fetched; only `dora run` and `dora build` do that"
        )
    return plan


def _plain(value: Any) -> Any:
    """What a YAML file says, for JSON, which is YAML too."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _readers(state: State, node: str) -> list[EdgeView]:
    """The edges that lead from a node to others that have not ended."""
    alive = {one.id for one in state.nodes if one.state != "finished"} - {node}
    return [edge for edge in state.edges if edge.sender == node and edge.receiver in alive]


def _route(edge: EdgeView) -> AskRoute:
    ends = edge.sender, edge.output, edge.receiver, edge.input
    return AskRoute(True, *ends, edge.queue_size, edge.backpressure)

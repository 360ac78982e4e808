"""What the commands of `cli.node_change_commands` do: ask the daemon of a running dataflow.

Elsewhere: the daemon's side (`daemon.desks`, `daemon.changes`), planning (`descriptor.addition`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import click

from dora import client
from dora.descriptor.addition import plan_addition
from dora.descriptor.packing import pack_plan
from dora.errors import DoraError
from dora.ids import OutputRef, parse_source
from dora.wire.visits import AskAdd, AskNode, AskReplace, AskRoute, Done

if TYPE_CHECKING:
    from pathlib import Path

    import msgspec

    from dora.descriptor.plan import Plan


def end_node(
    action: Literal["restart", "stop", "remove"],
    node: str,
    dataflow: str | None,
    grace_s: float | None,
) -> int:
    """End a node's process; returns when that has been done."""
    return _say(ask_node(action, node, dataflow, grace_s))


def ask_node(
    action: Literal["restart", "stop", "remove"],
    node: str,
    dataflow: str | None,
    grace_s: float | None = None,
) -> str:
    """The same, for a program; what there is to say about it.

    Raises:
        DoraError: there is no such node, or it cannot be done.
    """
    with client.connect(dataflow, node) as connected:
        return _asked(connected, AskNode(action, node, grace_s))


def add_nodes(file: Path, dataflow: str | None, *, uv: bool, allow_shell: bool) -> int:
    """Add the nodes of a file."""
    with client.connect(dataflow) as connected:
        known = _outputs(connected)
        plan = plan_addition(file, environ=os.environ, known=known, uv=uv, allow_shell=allow_shell)
        return _tell(connected, AskAdd(_packed(plan, file)))


def replace_node(
    node: str,
    file: Path,
    dataflow: str | None,
    grace_s: float | None,
    *,
    uv: bool,
    allow_shell: bool,
) -> int:
    """Replace a node by that of a file; returns when it has taken over."""
    with client.connect(dataflow, node) as connected:
        plan = plan_addition(
            file,
            environ=os.environ,
            known=_outputs(connected),
            uv=uv,
            allow_shell=allow_shell,
            replacing=node,
        )
        return _tell(connected, AskReplace(_packed(plan, file), grace_s))


def wire(
    source: str,
    target: str,
    dataflow: str | None,
    *,
    on: bool,
    size: int = 10,
    backpressure: bool = False,
) -> int:
    """Connect or disconnect an output and an input."""
    start, end = _port(source, "output"), _port(target, "input")
    ask = AskRoute(on, start.node, start.output, end.node, end.output, size, backpressure)
    with client.connect(dataflow) as connected:
        return _tell(connected, ask)


def _tell(connected: client.Client, question: msgspec.Struct) -> int:
    return _say(_asked(connected, question))


def _say(text: str) -> int:
    if text:
        click.echo(text)
    return 0


def _asked(connected: client.Client, question: msgspec.Struct) -> str:
    answer = connected.ask(question, None)
    return answer.text if isinstance(answer, Done) else ""


def _outputs(connected: client.Client) -> dict[str, list[str]]:
    """The nodes that run, with their outputs."""
    return {node.id: node.outputs for node in connected.state().nodes}


def _packed(plan: Plan, file: Path) -> bytes:
    for warning in plan.all_warnings:
        click.echo(f"WARNING {warning}", err=True)
    for node in plan.nodes:
        if node.git is not None or node.download is not None:
            raise DoraError(
                f"node `{node.id}` of `{file}` has to be fetched first; a node that is added to a "
                "running dataflow runs what is there: name its file by `path`"
            )
    return pack_plan(plan)


def _port(text: str, noun: str) -> OutputRef:
    """A port written `node/port`.

    Raises:
        DoraError: it is none.
    """
    try:
        ref = parse_source(text)
    except ValueError as exc:
        raise DoraError(str(exc)) from exc
    if not isinstance(ref, OutputRef):
        raise DoraError(f"`{text}` is no {noun} of a node; write `node/{noun}`")
    return ref

"""Nodes for a dataflow that runs already: to be added to it, or to take a node's place.

The file may hold one node as a mapping, a list of nodes, or a whole `nodes:`. It goes through the
same stages as a dataflow file; its inputs may read from what runs, too.

Used by `cli` (planning) and `daemon` (replacing). Elsewhere: the stages (`descriptor.planner`),
letting nodes in (`daemon`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dora.descriptor.command import Surroundings
from dora.descriptor.planner import plan_flow
from dora.descriptor.reading import flatten
from dora.descriptor.report import Report
from dora.descriptor.source import load
from dora.descriptor.views import View
from dora.descriptor.words import found, listed
from dora.errors import DescriptorError, Problem
from dora.ids import TimerRef, parse_source

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from dora.descriptor.model import Dataflow
    from dora.descriptor.plan import NodePlan, Plan
    from dora.descriptor.source import Source
    from dora.descriptor.wiring import Running

_EXAMPLE = "write one node, `id: filter` and `path: filter.py`, or a list of them"


def plan_addition(
    path: Path,
    *,
    environ: Mapping[str, str],
    known: Running,
    working_dir: Path | None = None,
    uv: bool = False,
    allow_shell: bool = False,
    replacing: str | None = None,
) -> Plan:
    """Plan the nodes of a file for a dataflow that runs already.

    Args:
        path: The file.
        environ: The environment that variables refer to, and whose `PATH` is searched.
        known: The nodes that run, by id, with their outputs.
        working_dir: What paths in the file are relative to; None: its own folder.
        uv: Run Python files by `uv run`.
        allow_shell: Allow `path: shell`.
        replacing: The node whose place the one in the file takes; None: all are new.

    Returns:
        The new nodes, and the routes and log routes that lead to them.

    Raises:
        DescriptorError: the file has mistakes; it carries all of them.
    """
    folder = (working_dir or path.parent).resolve()
    flow, report = flatten(Report(_as_dataflow(load(path))), folder, known)
    _check_ids(flow, report, known, replacing)
    around = Surroundings(folder, environ, uv, allow_shell)
    return plan_flow(flow, report, path, around, running=known)


def check_replacement(
    old: NodePlan, new: NodePlan, read_outputs: Collection[str] | None = None
) -> None:
    """Refuse a node that cannot take the place of another, wires and all.

    Args:
        old: The node that runs.
        new: The one to take its place.
        read_outputs: The outputs of `old` that anybody reads; None: all of them.

    Raises:
        DescriptorError: it cannot; it carries every reason.
    """
    node = f"node `{old.id}`"
    told: list[Problem] = []
    if new.id != old.id:
        mend = f"write `id: {old.id}`"
        told.append(Problem(f"{node} cannot be replaced by node `{new.id}`", mend=mend))
    if not new.spawned:
        what = f"{node}: what is to take its place is started by somebody else"
        told.append(Problem(what, mend="give a `path` that dora can start"))
    before, after = _sources(old), _sources(new)
    for port in dict.fromkeys([*before, *after]):
        told += _check_input(old.id, port, before.get(port), after.get(port))
    needed = old.outputs if read_outputs is None else read_outputs
    if absent := [output for output in needed if output not in new.outputs]:
        named = listed([f"`{output}`" for output in absent])
        what = f"{node}: what is to take its place has no output {named}, which is read"
        told.append(Problem(what, mend="add it to `outputs:`, or disconnect who reads it first"))
    if told:
        raise DescriptorError(told)


def _as_dataflow(source: Source) -> Source:
    """The file as if it were a dataflow, whichever form it has; places stay those of the file."""
    value = source.value
    if not value or not isinstance(value, dict | list):
        what = "the file holds no node" if not value else f"the file holds {found(value)}, no node"
        raise DescriptorError([*source.problems, Problem(what, source.locate(), _EXAMPLE)])
    if isinstance(value, dict) and ("nodes" in value or ("module" in value and "id" not in value)):
        return source
    if isinstance(value, list):
        nodes: list[Any] = value
        origins: Any = {("nodes",): ((source, ()),)}
    else:
        nodes = [value]
        origins = {("nodes", 0): ((source, ()),)}
    return View(
        file=source.file,
        value={"nodes": nodes},
        problems=source.problems,
        under=source,
        origins=origins,
    )


def _check_ids(flow: Dataflow, report: Report, known: Running, replacing: str | None) -> None:
    """New nodes have new ids; one that takes a place has the id of that place."""
    for index, node in enumerate(flow.nodes):
        at = ("nodes", index, "id")
        if report.is_damaged(*at):
            continue
        if replacing is None and node.id in known:
            what = f"this dataflow has a node `{node.id}` already"
            mend = "choose another id, or let it take the other's place with `dora node replace`"
            report.problem(what, *at, mend=mend)
        elif replacing is not None and node.id != replacing:
            what = f"this is node `{node.id}`, but node `{replacing}` is to be replaced"
            mend = f"write `id: {replacing}`, and leave all other nodes out of the file"
            report.problem(what, *at, mend=mend)


def _check_input(node: str, port: str, before: str | None, after: str | None) -> list[Problem]:
    """What is wrong with an input, given what it reads from before and after."""
    at = f"input `{node}/{port}`"
    if after is None:
        what = f"{at} is missing in what is to take the node's place"
        return [Problem(what, mend=f"add `{port}: {before}` to `inputs:`")]
    if before is None:
        what = f"{at} is not there in the node that runs"
        return [Problem(what, mend="delete it, and wire it afterwards: `dora node connect`")]
    if _is_same_source(before, after):
        return []
    what = f"{at} reads from `{before}` now, and from `{after}` in what is to take its place"
    return [Problem(what, mend=f"write `{port}: {before}`; wires can be changed afterwards")]


def _is_same_source(one: str, other: str) -> bool:
    sources = parse_source(one), parse_source(other)
    match sources:
        case TimerRef(), TimerRef():
            return sources[0].interval_ns == sources[1].interval_ns
    return sources[0] == sources[1]


def _sources(node: NodePlan) -> dict[str, str]:
    """What each input reads from, as text."""
    return {
        port: value["source"] if isinstance(value, dict) else value
        for port, value in node.config.get("inputs", {}).items()
    }

"""Operators: what the keys of a runtime node mean, and the ports it has as one process.

A node with `operator` or `operators` is one process that holds them all. Its ports are named
`operator/port`, and after `lower_operators` it looks to every later stage like a node that lists
them itself. One process has one standard output, so what operators say about output and logs must
agree among them, and holds for all.

Called by `descriptor.reading`. Elsewhere: how its outputs are addressed (`descriptor.wiring`),
what the process is told (`descriptor.runtime`), running it (`node.operators`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from dora.descriptor.model import OperatorEntry, PythonSource
from dora.descriptor.types_plan import promised_by
from dora.descriptor.views import View
from dora.descriptor.words import found, listed, node_name, operator_name
from dora.ids import NODE_ID_RULE, PORT_ID_RULE, is_node_id, is_port_id

if TYPE_CHECKING:
    from dora.descriptor.model import NodeEntry
    from dora.descriptor.report import Report
    from dora.descriptor.views import Path, Written

SINGLE_ID = "op"
"""The id of an `operator:` that gives none."""

_MOVE = {
    "inputs": "move it into the operator",
    "outputs": "move it into the operator",
    "input_types": "move it into the operator",
    "output_types": "move it into the operator",
    "output_metadata": "move it into the operator",
    "output_framing": "move it into the operator",
    "args": "an operator takes no arguments; set variables in `env:` instead",
    "pattern": "move it into the operator",
    "git": "clone it yourself, and give `python` relative to this file",
    "path_sha256": "delete it; an operator is a file of this machine",
}
_PROCESS_KEYS = (
    "send_stdout_as",
    "send_logs_as",
    "min_log_level",
    "max_log_size",
    "max_rotated_files",
)
"""What concerns the one output of the process."""

_PORT_MAPS = ("input_types", "output_types", "output_metadata", "output_framing")
_OTHER_KINDS = {"shared_library": "shared-library", "wasm": "wasm"}


class Operator(msgspec.Struct, frozen=True):
    """One operator of a node, and where it stands."""

    id: str
    entry: OperatorEntry
    at: Path

    @property
    def source(self) -> str | None:
        """Its Python file, as written."""
        python = self.entry.python
        return python.source if isinstance(python, PythonSource) else python

    @property
    def source_at(self) -> Path:
        """Where the name of its Python file stands."""
        below = ("source",) if isinstance(self.entry.python, PythonSource) else ()
        return (*self.at, "python", *below)


def operators_of(index: int, node: NodeEntry) -> list[Operator]:
    """The operators of a node, in file order; none for any other node."""
    at: Path = ("nodes", index)
    if node.operator is not None:
        return [Operator(node.operator.id or SINGLE_ID, node.operator, (*at, "operator"))]
    return [
        Operator(entry.id or "", entry, (*at, "operators", position))
        for position, entry in enumerate(node.operators or [])
    ]


def check_operators(index: int, node: NodeEntry, report: Report) -> None:
    """Report what is wrong in the operators of a node, and what may not stand beside them."""
    if node.operators is not None and not node.operators:
        if not report.is_damaged("nodes", index, "operators"):
            what = f"{node_name(report.source.value, index)} has no operators"
            report.problem(what, "nodes", index, "operators", mend="add one: `- id: my_operator`")
        return
    operators = operators_of(index, node)
    if not operators:
        return
    for key, mend in _MOVE.items():
        if getattr(node, key) not in (None, {}, []):
            what = f"{node_name(report.source.value, index)}: `{key}` cannot stand beside operators"
            report.problem_with_key(what, "nodes", index, key, mend=mend)
    first: dict[str, Operator] = {}
    for operator in operators:
        if not report.is_damaged(*operator.at, "id"):
            _check_id(operator, first, report)
        if operator.at not in report.damaged_in():
            _check_python(operator, report)
        _check_ports(operator, report)
    _check_agreement(index, node, operators, report)


def lower_operators(nodes: list[NodeEntry], report: Report) -> list[NodeEntry]:
    """The nodes with operators as nodes with the ports of all of them; others as they are.

    The report then knows where each port was written.
    """
    origins: dict[Path, tuple[Written, ...]] = {}
    lowered = list(nodes)
    for index, node in enumerate(nodes):
        if operators := operators_of(index, node):
            lowered[index] = _lower(index, node, operators, report, origins)
        elif any(() in report.damaged_in("nodes", index, key) for key in ("operator", "operators")):
            report.damage("nodes", index, "outputs")
    if origins:
        source = report.source
        report.source = View(file=source.file, value=source.value, under=source, origins=origins)
    return lowered


def _check_id(operator: Operator, first: dict[str, Operator], report: Report) -> None:
    at = (*operator.at, "id")
    name = operator_name(report.source.value, operator.at)
    if not operator.id:
        report.problem(f"{name} has no `id`", *operator.at, mend="add `id: …`")
    elif not is_node_id(operator.id):
        what = f"`{operator.id}` cannot be an operator id"
        report.problem(what, *at, mend=NODE_ID_RULE)
    elif operator.id in first:
        line = report.source.locate(*first[operator.id].at, "id").line
        what = f"two operators of one node have the id `{operator.id}`: also in line {line}"
        report.problem(what, *at, mend="give each operator an id of its own")
    else:
        first[operator.id] = operator
        return
    report.damage(*at)


def _check_python(operator: Operator, report: Report) -> None:
    name = operator_name(report.source.value, operator.at)
    for attribute, key in _OTHER_KINDS.items():
        if getattr(operator.entry, attribute) is not None:
            what = f"{name}: `{key}` is not supported: operators are Python files here"
            mend = "write `python: my_operator.py`, or make it a node: `path: my_program`"
            report.problem_with_key(what, *operator.at, key, mend=mend)
            return
    if operator.entry.python is None:
        if not report.is_damaged(*operator.at, "python"):
            what = f"{name} has no `python`"
            mend = "say what runs: `python: my_operator.py`"
            report.problem(what, *operator.at, mend=mend)
    elif "://" in (operator.source or ""):
        what = f"{name}: a `python` that is an address is not supported"
        mend = "download the file and name it here"
        report.problem(what, *operator.source_at, mend=mend)
        report.damage(*operator.source_at)


def _check_ports(operator: Operator, report: Report) -> None:
    for port in operator.entry.inputs:
        if not is_port_id(port):
            what = f"{found(port)} cannot be an input id"
            report.problem_with_key(what, *operator.at, "inputs", port, mend=PORT_ID_RULE)
            report.damage(*operator.at, "inputs", port)
    for position, port in enumerate(operator.entry.outputs):
        at = (*operator.at, "outputs", position)
        if report.is_damaged(*at):
            continue
        if not is_port_id(port):
            report.problem(f"{found(port)} cannot be an output id", *at, mend=PORT_ID_RULE)
            report.damage(*at)
        elif port in operator.entry.outputs[:position]:
            name = operator_name(report.source.value, operator.at)
            what = f"`outputs` of {name} lists `{port}` twice"
            report.problem(what, *at, mend="delete one of them")
    for key in ("send_stdout_as", "send_logs_as"):
        output = getattr(operator.entry, key)
        known = output is None or output in operator.entry.outputs
        if not known and not report.is_damaged(*operator.at, "outputs"):
            name = operator_name(report.source.value, operator.at)
            what = f"`{key}` of {name} names `{output}`, which is not among its outputs"
            mend = f"add `{output}` to `outputs:` (now: {listed(operator.entry.outputs)})"
            report.problem(what, *operator.at, key, mend=mend)
            report.damage(*operator.at, key)


def _check_agreement(
    index: int, node: NodeEntry, operators: list[Operator], report: Report
) -> None:
    """What concerns the one process may be said once, or several times alike."""
    name = node_name(report.source.value, index)
    for key in (*_PROCESS_KEYS, "python"):
        said = _said(index, node, key, operators)
        for value, at in said[1:]:
            if value == said[0][0]:
                continue
            line = report.source.locate_key(*said[0][1]).line
            here, there = (str(each).removeprefix("conda:") for each in (value, said[0][0]))
            what = (
                f"`{at[-1]}` is `{here}` here and `{there}` in line {line}, but {name} is one "
                "process, with one environment and one output"
            )
            report.problem_with_key(what, *at, mend="keep one of them, or make two nodes")


def _said(
    index: int, node: NodeEntry, key: str, operators: list[Operator]
) -> list[tuple[Any, Path]]:
    """What the node and its operators say under a key of the process, and where."""
    said: list[tuple[Any, Path]] = []
    if (value := getattr(node, key)) is not None:
        said.append((value, ("nodes", index, key)))
    for operator in operators:
        if key == "python":
            python = operator.entry.python
            if isinstance(python, PythonSource) and python.conda_env is not None:
                said.append((f"conda:{python.conda_env}", (*operator.at, "python", "conda_env")))
        elif (value := getattr(operator.entry, key)) is not None:
            ported = key.endswith("_as")
            said.append((f"{operator.id}/{value}" if ported else value, (*operator.at, key)))
    return said


def _lower(
    index: int,
    node: NodeEntry,
    operators: list[Operator],
    report: Report,
    origins: dict[Path, tuple[Written, ...]],
) -> NodeEntry:
    source = report.source
    changed: dict[str, Any] = {"inputs": {}, "outputs": []}
    maps: dict[str, dict[str, Any]] = {key: {} for key in _PORT_MAPS}
    for operator in operators:
        entry = operator.entry
        for port, value in entry.inputs.items():
            name = f"{operator.id}/{port}"
            at: Path = ("nodes", index, "inputs", name)
            written: Path = (*operator.at, "inputs", port)
            for below in report.damaged_in(*written):
                report.damage(*at, *below)
            if is_port_id(port) and operator.id:
                changed["inputs"][name] = value
                origins[at] = ((source, written),)
        for position, output in enumerate(entry.outputs):
            at = ("nodes", index, "outputs", len(changed["outputs"]))
            changed["outputs"].append(f"{operator.id}/{output}")
            origins[at] = ((source, (*operator.at, "outputs", position)),)
        for key, joined in maps.items():
            for port, value in getattr(entry, key).items():
                joined[f"{operator.id}/{port}"] = value
                at = ("nodes", index, key, f"{operator.id}/{port}")
                origins[at] = ((source, (*operator.at, key, port)),)
        promised = list(promised_by(entry.pattern)) if entry.pattern else []
        for output in entry.outputs if promised else ():
            maps["output_metadata"].setdefault(f"{operator.id}/{output}", promised)
        if any(report.is_damaged(*operator.at, key) for key in ("id", "outputs")):
            report.damage("nodes", index, "outputs")
    changed |= maps
    _lower_process_keys(index, node, operators, report, changed, origins)
    return msgspec.structs.replace(node, **changed)


def _lower_process_keys(
    index: int,
    node: NodeEntry,
    operators: list[Operator],
    report: Report,
    changed: dict[str, Any],
    origins: dict[Path, tuple[Written, ...]],
) -> None:
    """What concerns the one process: its log keys, its interpreter, its build lines."""
    source = report.source
    for key in (*_PROCESS_KEYS, "python"):
        for value, at in _said(index, node, key, operators)[:1]:
            if not report.is_damaged(*at):
                changed[key] = value
                origins["nodes", index, key] = ((source, at),)
    builds: list[tuple[str | None, Path]] = [(node.build, ("nodes", index, "build"))]
    builds += [(operator.entry.build, (*operator.at, "build")) for operator in operators]
    told = [(text, at) for text, at in builds if text is not None]
    if told:
        changed["build"] = "\n".join(text for text, _ in told)
        origins["nodes", index, "build"] = tuple((source, at) for _, at in told)

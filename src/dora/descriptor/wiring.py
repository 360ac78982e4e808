"""Names and wires: every node and port has a proper name, every input a source that exists.

Decides the routes of the plan. Works on the filled model alone; a source whose node could not be
read is not called missing. A module file is checked by itself: `_mod` then offers its inputs.

Called by `descriptor.planner` after `descriptor.reading`, and by `descriptor.modules`.
Elsewhere: how a source is written (`dora.ids`), what a node executes (`descriptor.command`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from dora.descriptor.model import InputEntry
from dora.descriptor.operators import operators_of
from dora.descriptor.plan import DEFAULT_QUEUE_SIZE, LogRoute, Route, TimerInput
from dora.descriptor.words import found, listed, node_name
from dora.ids import (
    NODE_ID_RULE,
    PORT_ID_RULE,
    RESERVED_NODE_ID,
    LogsRef,
    OutputRef,
    TimerRef,
    is_node_id,
    is_port_id,
    parse_source,
    suggest,
)

if TYPE_CHECKING:
    from dora.descriptor.model import NodeEntry
    from dora.descriptor.report import Report
    from dora.ids import Source


MODULE_INPUTS = "_mod"
"""The node that offers the inputs of a module, inside its file."""

Running = Mapping[str, Sequence[str]]
"""Nodes of a running dataflow, by id, with their outputs."""


class Wiring(msgspec.Struct):
    """What is wired to what."""

    routes: list[Route] = []
    log_routes: list[LogRoute] = []
    timers: dict[str, list[TimerInput]] = {}
    """By node id."""
    through_operators: dict[tuple[str, str], str] = {}
    """Node and input, to its source with the operator that the file left out."""


def wire(
    nodes: Sequence[NodeEntry],
    report: Report,
    module_inputs: Sequence[str] | None = None,
    running: Running | None = None,
) -> Wiring:
    """Check all names and sources, and wire every input to its source.

    Args:
        nodes: Those of one file, or of the whole dataflow; operators are lowered.
        report: Takes what is wrong.
        module_inputs: What the nodes may read from `_mod`, if they are those of a module.
        running: What they may read from besides, if they are to join a running dataflow.
    """
    _check_node_ids(nodes, report)
    for index, node in enumerate(nodes):
        _check_outputs(index, node, report)
    wiring = Wiring()
    known = _Known(nodes, report, module_inputs)
    for running_id, outputs in (running or {}).items():
        known.outputs.setdefault(running_id, set(outputs))
    for index, node in enumerate(nodes):
        for port, value in node.inputs.items():
            _wire_input(index, node, port, value, known, wiring)
    return wiring


def _check_node_ids(nodes: Sequence[NodeEntry], report: Report) -> None:
    first: dict[str, int] = {}
    for index, node in enumerate(nodes):
        if report.is_damaged("nodes", index, "id"):
            continue
        at = ("nodes", index, "id")
        if node.id in first:
            there = report.source.locate("nodes", first[node.id], "id")
            here = report.source.locate(*at)
            where = f" of `{there.file}`" if there.file != here.file else ""
            what = f"two nodes have the id `{node.id}`: also in line {there.line}{where}"
            report.problem(what, *at, mend="give each node an id of its own")
        elif node.id == RESERVED_NODE_ID:
            what = "`dora` cannot be a node id: sources like `dora/timer/…` start with it"
            report.problem(what, *at, mend="choose another id")
            report.damage(*at)
        elif not is_node_id(node.id):
            what = f"`{node.id}` cannot be a node id"
            report.problem(what, *at, mend=NODE_ID_RULE)
            report.damage(*at)
        else:
            first[node.id] = index


def _check_outputs(index: int, node: NodeEntry, report: Report) -> None:
    for position, output in enumerate(node.outputs):
        at = ("nodes", index, "outputs", position)
        if report.is_damaged(*at):
            continue
        if not is_port_id(output):
            report.problem(f"{found(output)} cannot be an output id", *at, mend=PORT_ID_RULE)
            report.damage(*at)
        elif output in node.outputs[:position]:
            name = node_name(report.source.value, index)
            what = f"`outputs` of {name} lists `{output}` twice"
            report.problem(what, *at, mend="delete one of them")
    for key in ("send_stdout_as", "send_logs_as"):
        output = getattr(node, key)
        if output is None or output in node.outputs:
            continue
        if report.is_damaged("nodes", index, "outputs"):
            continue
        name = node_name(report.source.value, index)
        what = f"`{key}` of {name} names `{output}`, which is not among its outputs"
        mend = f"add `{output}` to `outputs:` (now: {listed(node.outputs)})"
        report.problem(what, "nodes", index, key, mend=mend)


class _Known:
    """Which nodes and outputs there are, and which might be there but could not be read.

    A node id that stands twice has the outputs of both.
    """

    def __init__(
        self, nodes: Sequence[NodeEntry], report: Report, module_inputs: Sequence[str] | None
    ) -> None:
        self.report = report
        self.module_inputs = module_inputs
        self.operators: dict[str, list[str]] = {}
        """Ids of the operators of each node that has any."""
        self.alone: set[str] = set()
        """Nodes with a single `operator:`, whose id their readers leave out."""
        self.modules: set[str] = set()
        self.outputs: dict[str, set[str]] = {}
        self.misspelt: dict[str, set[str]] = {}
        """Outputs under a name that no output can have, and that was reported."""
        self.uncertain: set[str] = set()
        """Nodes whose outputs cannot even be guessed."""
        self.some_unnamed = report.is_damaged("nodes") and any(
            report.is_damaged("nodes", index, "id") for index in range(len(nodes))
        )
        for index, node in enumerate(nodes):
            if report.is_damaged("nodes", index, "id"):
                continue
            self._note_kind(index, node)
            outputs = self.outputs.setdefault(node.id, set())
            outputs.update(filter(is_port_id, node.outputs))
            if report.is_damaged("nodes", index, "outputs"):
                meant = _meant_outputs(report.source.value["nodes"][index].get("outputs"))
                if meant is None:
                    self.uncertain.add(node.id)
                else:
                    outputs.update(filter(is_port_id, meant))
                    self.misspelt.setdefault(node.id, set()).update(meant - outputs)

    def _note_kind(self, index: int, node: NodeEntry) -> None:
        if operators := operators_of(index, node):
            self.operators.setdefault(node.id, []).extend(each.id for each in operators)
        if node.operator is not None:
            self.alone.add(node.id)
        if node.module is not None or self.report.is_damaged("nodes", index, "module"):
            self.modules.add(node.id)

    def output_of(self, source: OutputRef) -> str | None:
        """The output as its node knows it; None if there is none."""
        outputs = self.outputs[source.node]
        if source.node in self.alone:
            (operator, *_) = self.operators[source.node]
            if f"{operator}/{source.output}" in outputs:
                return f"{operator}/{source.output}"
        return source.output if source.output in outputs else None

    def module_around(self, node: str | None) -> str | None:
        """The module whose node this is; the whole dataflow will have that node, or not."""
        around = (module for module in self.modules if (node or "").startswith(f"{module}."))
        return next(around, None)


def _meant_outputs(written: Any) -> set[str] | None:
    """The names in an `outputs` with mistakes; None if they cannot be told."""
    match written:
        case str():
            return set(written.replace(",", " ").split())
        case dict():
            return set(written)
        case list():
            parts = [{part} if isinstance(part, str) else _meant_outputs(part) for part in written]
            return None if None in parts else {name for part in parts for name in part or ()}
        case bool() | int() | float():
            return {str(written).lower()}
    return None


def _wire_input(
    index: int, node: NodeEntry, port: str, value: str | InputEntry, known: _Known, wiring: Wiring
) -> None:
    report = known.report
    at = ("nodes", index, "inputs", port)
    if not is_port_id(port):
        report.problem_with_key(f"{found(port)} cannot be an input id", *at, mend=PORT_ID_RULE)
    entry = value if isinstance(value, InputEntry) else InputEntry(source=value)
    source_at = (*at, "source") if isinstance(value, InputEntry) else at
    if report.is_damaged(*source_at):
        return
    try:
        source = parse_source(entry.source)
    except ValueError as exc:
        reason, _, hint = str(exc).partition("; ")
        what = f"input `{node.id}/{port}`: {reason}"
        report.problem(what, *source_at, mend=hint or None)
        report.damage(*source_at)
        return
    if not isinstance(source, TimerRef) and (module := known.module_around(source.node)):
        if module in known.uncertain:
            report.damage(*source_at)
        return
    if not _check_source(node, port, source, source_at, known):
        report.damage(*source_at)
        return
    if isinstance(source, OutputRef) and source.node != MODULE_INPUTS:
        output = known.output_of(source) or source.output
        if output != source.output:
            wiring.through_operators[node.id, port] = f"{source.node}/{output}"
        source = OutputRef(source.node, output)
    _add(node, port, source, entry, wiring)


def _check_source(
    node: NodeEntry, port: str, source: Source, at: tuple[str | int, ...], known: _Known
) -> bool:
    reads = f"input `{node.id}/{port}` reads from"
    match source:
        case OutputRef(node=str(wanted)) if wanted == MODULE_INPUTS:
            return _check_module_input(reads, source, at, known)
        case LogsRef(node=str(wanted)) if wanted not in known.outputs:
            return _no_node(f"{reads} the logs of", wanted, at, known)
        case OutputRef() if source.node not in known.outputs:
            return _no_node(reads, source.node, at, known)
        case OutputRef() if known.output_of(source) is None:
            return _no_output(reads, source, at, known)
    return True


def _no_output(reads: str, source: OutputRef, at: tuple[str | int, ...], known: _Known) -> bool:
    if source.node in known.uncertain:
        return False
    alone = source.node in known.alone
    outputs = sorted(known.outputs[source.node])
    if alone:
        outputs = [output.partition("/")[2] for output in outputs]
    misspelt = known.misspelt.get(source.node, set())
    near = suggest(source.output, [*misspelt, *outputs])
    if near in misspelt:
        return False
    told = f"{reads} `{source}`, but node `{source.node}` has no such output"
    there = f"outputs of `{source.node}`: {listed(outputs)}"
    if source.node in known.operators and not alone:
        operators = known.operators[source.node]
        of_some = [f"`{source.node}/{o}`" for o in outputs if o.endswith(f"/{source.output}")]
        if of_some and source.output.partition("/")[0] not in operators:
            told = f"{reads} `{source}`, which does not say from which operator"
            mend = f"write {' or '.join(of_some)}: an operator stands between node and output"
            known.report.problem(told, *at, mend=mend)
            return False
    mend = f"did you mean `{near}`? ({there})" if near else there
    known.report.problem(told, *at, mend=mend, part=source.output)
    return False


def _check_module_input(
    reads: str, source: OutputRef, at: tuple[str | int, ...], known: _Known
) -> bool:
    ports = known.module_inputs
    if ports is None:
        what = f"{reads} `{source}`, but this file is no module"
        mend = "`_mod/…` stands for the inputs of a module; write `node/output`"
        known.report.problem(what, *at, mend=mend)
    elif source.output in ports:
        return True
    elif not known.report.is_damaged("module"):
        near = suggest(source.output, ports)
        there = f"inputs of this module: {listed(list(ports))}"
        known.report.problem(
            f"{reads} `{source}`, but this module has no such input",
            *at,
            mend=f"did you mean `{near}`? ({there})" if near else f"add it to `inputs:` ({there})",
            part=source.output,
        )
    return False


def _no_node(reads: str, wanted: str, at: tuple[str | int, ...], known: _Known) -> bool:
    if known.some_unnamed:
        return False
    names = list(known.outputs)
    near = suggest(wanted, names)
    there = f"nodes here: {listed(names)}"
    here = "dataflow" if known.module_inputs is None else "module"
    if known.module_inputs is not None:
        there += "; what is outside of a module comes in through its `inputs:`, as `_mod/…`"
    known.report.problem(
        f"{reads} node `{wanted}`, which this {here} does not have",
        *at,
        mend=f"did you mean `{near}`? ({there})" if near else there,
        part=wanted,
    )
    return False


def _add(node: NodeEntry, port: str, source: Source, entry: InputEntry, wiring: Wiring) -> None:
    size = DEFAULT_QUEUE_SIZE if entry.queue_size is None else max(1, entry.queue_size)
    lossless = entry.queue_policy == "backpressure"
    match source:
        case TimerRef():
            wiring.timers.setdefault(node.id, []).append(TimerInput(port, source.interval_ns))
        case LogsRef():
            wiring.log_routes.append(LogRoute(source, node.id, port, size, lossless))
        case OutputRef():
            wiring.routes.append(
                Route(
                    sender=source.node,
                    output=source.output,
                    receiver=node.id,
                    input=port,
                    queue_size=size,
                    backpressure=lossless,
                    input_timeout_s=entry.input_timeout,
                    as_arrow=entry.receive_as == "arrow",
                )
            )

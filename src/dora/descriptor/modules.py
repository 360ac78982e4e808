"""Module files: found, read and checked, each by itself and once, however often it is used.

A file is checked in its own terms: its nodes under the ids it gives them, `_mod` for what comes
from outside, the declared outputs of the modules it uses. So a mistake is told at its own line and
in the words of its author, and `dora expand --module` needs no dataflow.

Called by `descriptor.reading`. Elsewhere: what the nodes become (`descriptor.expansion`), the keys
of a module node (`descriptor.support`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dora.descriptor.operators import lower_operators, operators_of
from dora.descriptor.report import Report
from dora.descriptor.shape import read_module
from dora.descriptor.source import load
from dora.descriptor.support import check_nodes
from dora.descriptor.wiring import wire
from dora.descriptor.words import found, listed, node_name
from dora.errors import DescriptorError, Problem
from dora.ids import PORT_ID_RULE, is_port_id, suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dora.descriptor.model import ModuleHeader, NodeEntry
    from dora.descriptor.source import Source
    from dora.descriptor.wiring import Running

_MAX_DEPTH = 8
_MAX_BYTES = 1 << 20


class Part(msgspec.Struct):
    """One file, read and checked."""

    source: Source
    report: Report
    nodes: list[NodeEntry]
    """As they are written."""
    folder: Path
    header: ModuleHeader | None = None
    """None for the dataflow file itself."""
    build: str | None = None
    neighbours: frozenset[str] = frozenset()
    """What lies beside the file."""
    uses: dict[int, Part] = {}
    """The modules that could be read, by the positions of the nodes that use them."""
    producers: dict[str, tuple[int, str]] = {}
    """Outputs of the module: the position of the node that sends it, and the output there."""
    height: int = 0
    """How many levels of modules it uses."""


class Parts(msgspec.Struct):
    """All files of a dataflow."""

    root: Part
    modules: list[Part] = []
    """Each once, in the order in which they are first used."""
    unreadable: list[Problem] = []
    """What is wrong in files that are no YAML."""


def read_parts(
    nodes: list[NodeEntry], report: Report, folder: Path, running: Running | None = None
) -> Parts:
    """Read the modules that the nodes of a dataflow file use, and check all wiring."""
    root = Part(report.source, report, nodes, folder)
    reader = _Reader(folder)
    reader.read_uses(root)
    _check_wiring(root, running)
    return Parts(root, reader.order, reader.unreadable)


def read_one(path: Path) -> Parts:
    """Read a module file by itself, with the modules that it uses.

    Raises:
        DescriptorError: the file cannot be read, or is no YAML.
    """
    source = load(path)
    reader = _Reader(path.resolve().parent)
    part = reader.read_part(source, path.resolve())
    return Parts(part, [each for each in reader.order if each is not part], reader.unreadable)


class _Reader:
    """Reads every module once; knows which are being read, to find cycles."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._parts: dict[Path, Part | None] = {}
        self._open: list[Path] = []
        self.order: list[Part] = []
        self.unreadable: list[Problem] = []

    def read_part(self, source: Source, file: Path) -> Part:
        """Fill a module from its text, then read what it uses."""
        report = Report(source)
        module = read_module(report)
        check_nodes(module.nodes, report)
        folder = file.parent
        part = Part(
            source=source,
            report=report,
            nodes=module.nodes,
            folder=folder,
            header=module.module,
            build=module.build,
            neighbours=frozenset(os.listdir(folder)),
        )
        self.order.append(part)
        self._open.append(file)
        self.read_uses(part)
        self._open.pop()
        _check_header(module.module, report)
        _check_wiring(part)
        _find_producers(part)
        return part

    def read_uses(self, part: Part) -> None:
        """Read the modules that the nodes of a file name."""
        for index, node in enumerate(part.nodes):
            if node.module is None or part.report.is_damaged("nodes", index, "module"):
                continue
            used = self._use(part, index, node.module)
            if used is None:
                continue
            part.height = max(part.height, used.height + 1)
            part.uses[index] = used
            _check_use(index, node, used, part.report)

    def _use(self, part: Part, index: int, module: str) -> Part | None:
        """The module that a node names; what keeps it from being read is reported."""
        at = ("nodes", index, "module")
        file = (part.folder / module).resolve()
        shown = os.path.normpath(Path(part.source.file).parent / module)
        if file in self._open:
            cycle = [*self._open[self._open.index(file) :], file]
            named = " → ".join(f"`{os.path.relpath(each, self._project)}`" for each in cycle)
            what = f"a module cannot hold itself: {named}"
            part.report.problem(what, *at, mend="take one of these uses out")
            return None
        if not file.is_relative_to(self._project):
            what = f"the module `{module}` is outside of the folder of the dataflow"
            mend = "modules lie in the folder of the dataflow file, or in one below it"
            part.report.problem(what, *at, mend=mend)
            return None
        known = self._parts.get(file)
        if len(self._open) + 1 + (known.height if known else 0) > _MAX_DEPTH:
            what = f"modules stand in one another more than {_MAX_DEPTH} deep"
            part.report.problem(what, *at, mend="use fewer levels")
            return None
        if file not in self._parts:
            self._parts[file] = self._load(part, index, shown, file)
        return self._parts[file]

    def _load(self, part: Part, index: int, shown: str, file: Path) -> Part | None:
        at = ("nodes", index, "module")
        if not file.is_file():
            _no_file(part, index, shown, file)
            return None
        try:
            if file.stat().st_size > _MAX_BYTES:
                what = f"the module `{shown}` is larger than {_MAX_BYTES >> 20} MB"
                part.report.problem(what, *at, mend="split it")
                return None
            source = load(Path(shown))
        except DescriptorError as exc:
            for problem in exc.problems:
                if problem.at is None:
                    part.report.problem(problem.what, *at, mend=problem.mend)
                else:
                    self.unreadable.append(problem)
            return None
        return self.read_part(source, file)


def _no_file(part: Part, index: int, shown: str, file: Path) -> None:
    name = node_name(part.source.value, index)
    what = f"{name}: the module `{shown}` does not exist"
    mend = "`module` is relative to the file that names it"
    if file.is_dir():
        what = f"{name}: the module `{shown}` is a folder"
    elif not file.parent.is_dir():
        mend = f"there is no folder `{os.path.dirname(shown)}`"
    else:
        beside = [each for each in os.listdir(file.parent) if each.endswith((".yml", ".yaml"))]
        if near := suggest(file.name, sorted(beside)):
            mend = f"did you mean `{os.path.join(os.path.dirname(shown), near)}`?"
    part.report.problem(what, "nodes", index, "module", mend=mend)


def _check_header(header: ModuleHeader, report: Report) -> None:
    """Every port has a proper name, and one only."""
    first: dict[str, str] = {}
    for key, direction in (
        ("inputs", "input"),
        ("inputs_optional", "input"),
        ("outputs", "output"),
    ):
        if key == "outputs":
            first = {}
        for position, port in enumerate(getattr(header, key)):
            at = ("module", key, position)
            if report.is_damaged(*at):
                continue
            if not is_port_id(port):
                what = f"{found(port)} cannot be an {direction} id"
                report.problem(what, *at, mend=PORT_ID_RULE)
                report.damage(*at)
            elif port in first:
                where = "twice" if first[port] == key else f"that `{first[port]}` lists already"
                what = f"`{key}` of the module lists `{port}` {where}"
                report.problem(what, *at, mend="delete one of them")
            else:
                first[port] = key


def _check_use(index: int, node: NodeEntry, used: Part, report: Report) -> None:
    """A node that uses a module wires all inputs that it must, and none that there are not."""
    header = used.header
    if header is None or used.report.is_damaged("module"):
        return
    name = node_name(report.source.value, index)
    ports = [*header.inputs, *header.inputs_optional]
    for port in node.inputs:
        if port not in ports:
            near = suggest(port, ports)
            there = f"inputs of `{header.name}`: {listed(ports)}"
            report.problem_with_key(
                f"{name}: the module `{header.name}` has no input `{port}`",
                *("nodes", index, "inputs", port),
                mend=f"did you mean `{near}`? ({there})" if near else there,
            )
    if report.is_damaged("nodes", index, "inputs"):
        return
    for port in header.inputs:
        if port not in node.inputs:
            at = ("nodes", index, "inputs") if node.inputs else ("nodes", index, "module")
            what = f"{name}: the module `{header.name}` needs its input `{port}`"
            report.problem_with_key(what, *at, mend=f"add `{port}: node/output` to `inputs:`")


def _check_wiring(part: Part, running: Running | None = None) -> None:
    """Check the wires of one file, in its own terms."""
    report = part.report
    nodes = list(part.nodes)
    for index, node in enumerate(nodes):
        if node.module is None and not report.is_damaged("nodes", index, "module"):
            continue
        used = part.uses.get(index)
        if used is None or used.header is None or used.report.is_damaged("module", "outputs"):
            report.damage("nodes", index, "outputs")
        else:
            outputs = list(dict.fromkeys(filter(is_port_id, used.header.outputs)))
            nodes[index] = msgspec.structs.replace(node, outputs=outputs)
    header = part.header
    inputs = None if header is None else [*header.inputs, *header.inputs_optional]
    wire(lower_operators(nodes, report), report, inputs, running)


def _find_producers(part: Part) -> None:
    """Note which node sends each output of a module; there must be one."""
    assert part.header is not None
    sent = [
        (index, node, output, address)
        for index, node in enumerate(part.nodes)
        for output, address in _sent(index, node, part.uses.get(index))
    ]
    unsure = part.report.is_damaged("nodes")
    for position, port in enumerate(part.header.outputs):
        at = ("module", "outputs", position)
        if part.report.is_damaged(*at):
            continue
        senders = [
            (index, node, address) for index, node, output, address in sent if output == port
        ]
        if len(senders) == 1:
            part.producers[port] = (senders[0][0], senders[0][2])
        elif senders:
            named = listed([f"`{node.id}/{address}`" for _, node, address in senders])
            what = f"the module's output `{port}` is sent by more than one node: {named}"
            part.report.problem(what, *at, mend="let one of them call it something else")
        elif not unsure:
            _no_producer(part, port, position, [output for _, _, output, _ in sent])


def _no_producer(part: Part, port: str, position: int, outputs: Sequence[str]) -> None:
    near = suggest(port, outputs)
    there = f"outputs of its nodes: {listed(list(dict.fromkeys(outputs)))}"
    part.report.problem(
        f"the module's output `{port}` is sent by none of its nodes",
        *("module", "outputs", position),
        mend=f"did you mean `{near}`? ({there})" if near else there,
    )


def _sent(index: int, node: NodeEntry, used: Part | None) -> list[tuple[str, str]]:
    """What a node sends: the output as a module may list it, and as its readers address it."""
    if node.module is not None:
        outputs = used.header.outputs if used and used.header else []
        return [(output, output) for output in outputs]
    if node.operator is not None:
        return [(output, output) for output in dict.fromkeys(node.operator.outputs)]
    return [(output, output) for output in dict.fromkeys(node.outputs)] + [
        (output, f"{operator.id}/{output}")
        for operator in operators_of(index, node)
        for output in dict.fromkeys(operator.entry.outputs)
    ]

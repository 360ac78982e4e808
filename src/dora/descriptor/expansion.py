"""Modules become nodes: one flat dataflow, and where each part of it was written. Pure.

A node `n` of the module that node `m` uses is `m.n`. What it reads from `_mod/x` it reads from what
`m` wires to `x`; whoever reads `m/y` reads from the node that sends `y`. Paths inside a module are
relative to its file and are made relative to the dataflow's; parameters are put in.

Called by `descriptor.reading`. Elsewhere: reading and checking the files (`descriptor.modules`),
the parameters (`descriptor.params`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from dora.descriptor.model import InputEntry, PythonSource
from dora.descriptor.params import fill, given_params, variables
from dora.descriptor.report import Report
from dora.descriptor.views import View
from dora.descriptor.wiring import MODULE_INPUTS
from dora.descriptor.words import node_name
from dora.ids import LogsRef, OutputRef, parse_source

if TYPE_CHECKING:
    from dora.descriptor.model import Dataflow, EnvValue, NodeEntry, OperatorEntry
    from dora.descriptor.modules import Part, Parts
    from dora.descriptor.params import Param
    from dora.descriptor.views import Path, Written

_MAX_NODES = 10_000


class _Scope(msgspec.Struct):
    """One use of a file, and what its nodes get from around it."""

    part: Part
    prefix: str = ""
    outer: _Scope | None = None
    index: int = 0
    """The position of the node that uses it, in `outer`."""
    env: dict[str, tuple[EnvValue, Written]] = {}
    params: dict[str, Param] = {}
    builds: list[tuple[str, Written]] = []


class _Input(NamedTuple):
    """An input as the flat dataflow has it, and where its source was written."""

    value: str | InputEntry
    written: Written
    is_damaged: bool


def expand(flow: Dataflow, parts: Parts) -> tuple[Dataflow, Report]:
    """The flat dataflow, and a report that holds what was found in all files."""
    root = parts.root
    expander = _Expander(root)
    expander.walk(_Scope(root))
    nodes = expander.nodes
    value = {
        **(root.source.value if isinstance(root.source.value, dict) else {}),
        "nodes": [msgspec.to_builtins(node) for node in nodes],
    }
    view = View(file=root.source.file, value=value, under=root.source, origins=expander.origins)
    report = Report(view)
    report.take_in([part.report for part in (root, *parts.modules)], parts.unreadable)
    for damaged in root.report.damaged_in():
        if len(damaged) < 2 or damaged[0] != "nodes":
            report.damage(*damaged)
    for damaged in expander.damaged:
        report.damage(*damaged)
    for warning, at in expander.warnings:
        report.warn(warning, *at)
    if len(nodes) > _MAX_NODES:
        what = f"the modules make more than {_MAX_NODES} nodes"
        report.problem(what, "nodes", mend="use fewer of them")
    return msgspec.structs.replace(flow, nodes=nodes[:_MAX_NODES]), report


class _Expander:
    """Walks through all uses of all files, and gathers nodes."""

    def __init__(self, root: Part) -> None:
        self._root = root
        self.nodes: list[NodeEntry] = []
        self.origins: dict[Path, tuple[Written, ...]] = {}
        self.damaged: list[Path] = []
        self.warnings: list[tuple[str, Path]] = []

    def walk(self, scope: _Scope) -> None:
        """Add the nodes of a file, and of the modules it uses, in file order."""
        for index, node in enumerate(scope.part.nodes):
            if len(self.nodes) > _MAX_NODES:
                return
            if node.module is None:
                self._add(scope, index, node)
            elif scope.part.report.is_damaged("nodes", index, "id") or any(
                node.id == other.id for other in scope.part.nodes[:index]
            ):
                continue  # Told already; nodes inside would only repeat it.
            elif used := scope.part.uses.get(index):
                self.walk(_inner_scope(scope, index, node, used))

    def _add(self, scope: _Scope, index: int, node: NodeEntry) -> None:
        at: Path = ("nodes", len(self.nodes))
        written: Path = ("nodes", index)
        self.origins[at] = ((scope.part.source, written),)
        self.damaged += [(*at, *below) for below in scope.part.report.damaged_in(*written)]
        changed: dict[str, Any] = {
            "id": f"{scope.prefix}{node.id}" if node.id else "",
            "inputs": self._inputs(scope, node.inputs, (*written, "inputs"), (*at, "inputs")),
        }
        if scope.outer is not None:
            changed |= self._inside(scope, node, at, written)
        if node.operator is not None:
            key = ("operator",)
            changed["operator"] = self._operator(scope, node.operator, written + key, at + key)
        if node.operators is not None:
            changed["operators"] = [
                self._operator(scope, operator, (*written, *key), (*at, *key))
                for position, operator in enumerate(node.operators)
                for key in [("operators", position)]
            ]
        self.nodes.append(msgspec.structs.replace(node, **changed))

    def _inside(self, scope: _Scope, node: NodeEntry, at: Path, written: Path) -> dict[str, Any]:
        """What changes in a node because it stands in a module."""
        changed: dict[str, Any] = {"env": self._env(scope, node, at, written)}
        for key in ("path", "python", "git"):
            if (value := getattr(node, key)) is not None:
                changed[key] = self._moved(scope, key, value, node)
        if node.args is not None:
            changed["args"], absent = fill(node.args, scope.params)
            name = node_name(scope.part.source.value, int(written[1]))
            use = scope.outer.part.nodes[scope.index].id if scope.outer else ""
            for reference in absent:
                what = f"`args` of {name}: `{reference}` stays as it is: node `{use}` gives no such"
                self.warnings.append((f"{what} parameter", (*at, "args")))
        source = scope.part.source
        builds = list(scope.builds)
        if node.build is not None:
            builds.append((node.build, (source, (*written, "build"))))
        if builds:
            changed["build"] = "\n".join(text.rstrip("\n") for text, _ in builds)
            self.origins[(*at, "build")] = tuple(where for _, where in builds)
        return changed

    def _env(self, scope: _Scope, node: NodeEntry, at: Path, written: Path) -> dict[str, EnvValue]:
        """Variables of the module node, then the node's own, then those of parameters."""
        source = scope.part.source
        given = dict(scope.env)
        for name, value in node.env.items():
            given[name] = (_filled(value, scope.params), (source, (*written, "env", name)))
        for name, param in variables(scope.params).items():
            given[name] = (param.text.replace("$", "$$"), param.written)
        for name, (_, where) in given.items():
            self.origins[(*at, "env", name)] = (where,)
        return {name: value for name, (value, _) in given.items()}

    def _operator(
        self, scope: _Scope, operator: OperatorEntry, written: Path, at: Path
    ) -> OperatorEntry:
        inputs = self._inputs(scope, operator.inputs, (*written, "inputs"), (*at, "inputs"))
        python = operator.python
        if scope.outer is not None:
            if isinstance(python, PythonSource):
                moved = self._moved(scope, "operator", python.source)
                python = msgspec.structs.replace(python, source=moved)
            elif python is not None:
                python = self._moved(scope, "operator", python)
        return msgspec.structs.replace(operator, inputs=inputs, python=python)

    def _inputs(
        self, scope: _Scope, inputs: dict[str, str | InputEntry], written: Path, at: Path
    ) -> dict[str, str | InputEntry]:
        resolved: dict[str, str | InputEntry] = {}
        for port, value in inputs.items():
            found = self._input(scope, value, (*written, port))
            if found is None:
                continue
            resolved[port] = found.value
            if found.is_damaged:
                self.damaged.append((*at, port))
            if found.written[0] is not scope.part.source or found.written[1] != (*written, port):
                self.origins[(*at, port)] = (found.written,)
        return resolved

    def _input(self, scope: _Scope, value: str | InputEntry, written: Path) -> _Input | None:
        """An input with its source in the flat dataflow; None if it is left out."""
        damaged = scope.part.report.is_damaged(*written)
        here = _Input(value, (scope.part.source, written), damaged)
        text = value.source if isinstance(value, InputEntry) else value
        try:
            source = parse_source(text)
        except ValueError:
            return here._replace(is_damaged=True)
        match source:
            case OutputRef(node=node, output=port) if node == MODULE_INPUTS and scope.outer:
                outer = scope.outer.part.nodes[scope.index].inputs.get(port)
                at = ("nodes", scope.index, "inputs", port)
                found = self._input(scope.outer, outer, at) if outer is not None else None
                if found is None:
                    return None
                laid = _laid_over(found.value, value)
                return found._replace(value=laid, is_damaged=damaged or found.is_damaged)
            case OutputRef():
                address = _address(scope, source)
                if address is None:
                    return here._replace(is_damaged=True)
                return here._replace(value=_with_source(value, address))
            case LogsRef(level=level, node=str(node)):
                return here._replace(
                    value=_with_source(value, f"dora/logs/{level}/{scope.prefix}{node}")
                )
        return here

    def _moved(self, scope: _Scope, key: str, path: str, node: NodeEntry | None = None) -> str:
        """A path that is relative to a module file, relative to the dataflow file."""
        part = scope.part
        is_special = path in {"dynamic", "shell"} or (node is not None and node.git is not None)
        if (key == "path" and is_special) or path.startswith(("/", "~", "$", "conda:")):
            return path
        if "://" in path:
            return path
        if key == "git":
            from dora.descriptor.remote import is_folder  # Few modules have repositories.

            if not is_folder(path):
                return path
        is_file = "/" in path or path.endswith(".py") or key in {"operator", "git"}
        if not is_file and path not in part.neighbours:
            return path  # A program on PATH.
        folder = os.path.relpath(part.folder, self._root.folder)
        if folder == ".":
            return path
        moved = os.path.normpath(os.path.join(folder, path))
        is_bare = "/" not in moved and not moved.endswith(".py") and key in {"path", "python"}
        return f"./{moved}" if is_bare else moved  # A bare name would be looked for on PATH.


def _inner_scope(scope: _Scope, index: int, node: NodeEntry, used: Part) -> _Scope:
    source = scope.part.source
    at = ("nodes", index)
    env = dict(scope.env)
    for name, value in node.env.items():
        env[name] = (_filled(value, scope.params), (source, (*at, "env", name)))
    builds = list(scope.builds)
    if node.build is not None:
        builds.append((node.build, (source, (*at, "build"))))
    if used.build is not None:
        builds.append((used.build, (used.source, ("build",))))
    return _Scope(
        part=used,
        prefix=f"{scope.prefix}{node.id}.",
        outer=scope,
        index=index,
        env=env,
        params={**scope.params, **given_params(node, (*at, "params"), source, scope.params)},
        builds=builds,
    )


def _filled(value: EnvValue, params: dict[str, Param]) -> EnvValue:
    """The value of a variable, with parameters put in; a `$` of theirs stays one."""
    return fill(value, params, escape=True)[0] if isinstance(value, str) else value


def _address(scope: _Scope, source: OutputRef) -> str | None:
    """An output of the same file as the flat dataflow calls it; None if it cannot be told."""
    nodes = scope.part.nodes
    index = next((i for i, node in enumerate(nodes) if node.id == source.node), None)
    if index is None or nodes[index].module is None:
        return f"{scope.prefix}{source}"
    prefix, part, output = scope.prefix, scope.part, source.output
    while nodes[index].module is not None:
        prefix += f"{nodes[index].id}."
        used = part.uses.get(index)
        if used is None or output not in used.producers:
            return None
        index, output = used.producers[output]
        part, nodes = used, used.nodes
    return f"{prefix}{nodes[index].id}/{output}"


def _with_source(value: str | InputEntry, source: str) -> str | InputEntry:
    if isinstance(value, InputEntry):
        return msgspec.structs.replace(value, source=source)
    return source


def _laid_over(outer: str | InputEntry, inner: str | InputEntry) -> str | InputEntry:
    """What the module node wires to an input, with what the node inside says of its queue."""
    if not isinstance(inner, InputEntry):
        return outer
    base = outer if isinstance(outer, InputEntry) else InputEntry(source=outer)
    said = {
        key: value
        for key in inner.__struct_fields__
        if key != "source" and (value := getattr(inner, key)) is not None
    }
    return msgspec.structs.replace(base, **said)

"""The types of a dataflow: names, edges, metadata; what follows for ports that say nothing.

What nodes are told for their checks at run time is made here too.

Called through `descriptor.types_plan`, only when a file names a type. Elsewhere: how types are
written (`descriptor.types_text`), what may flow into what (`descriptor.types_flow`),
checks at run time (`node.typecheck`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dora.descriptor.plan import PlannedTypes
from dora.descriptor.types_flow import Compatibility
from dora.descriptor.types_library import Library
from dora.descriptor.types_plan import promised_by
from dora.descriptor.types_standard import LOGS, TIMER
from dora.descriptor.types_text import TypeRef, parse_type
from dora.descriptor.types_user import FOLDER, load_user_types
from dora.descriptor.words import listed, node_name
from dora.errors import Problem
from dora.ids import suggest
from dora.wire.layouts import NodeTypes, PortType, pack

if TYPE_CHECKING:
    from dora.descriptor.model import Dataflow, NodeEntry
    from dora.descriptor.report import Report
    from dora.descriptor.source import PathStep
    from dora.descriptor.wiring import Wiring


class _Port(msgspec.Struct, frozen=True):
    """A port with a type."""

    ref: TypeRef
    at: tuple[PathStep, ...]
    """Where the type stands."""


def check(flow: Dataflow, wiring: Wiring, report: Report) -> tuple[PlannedTypes, list[Problem]]:
    """What the types of a dataflow come to, and what is wrong in the user's files of types.

    Args:
        flow: The dataflow, flat.
        wiring: Which output leads to which input.
        report: Where things stand, and which of them are damaged. The user's types lie in `types/`
            beside its file.
    """
    user, problems, warnings = load_user_types(Path(report.source.file).parent / FOLDER)
    types = _Check(flow, wiring, report, Library(user)).run()
    warnings = sorted((*warnings, *types.warnings), key=_place)
    return msgspec.structs.replace(types, warnings=tuple(warnings)), problems


class _Check:
    """One pass over one dataflow."""

    def __init__(self, flow: Dataflow, wiring: Wiring, report: Report, library: Library) -> None:
        self._warnings: list[Problem] = []
        self._inferred: list[str] = []
        self._rules = flow.type_rules
        self._nodes = flow.nodes
        self._wiring = wiring
        self._report = report
        self._library = library
        self._inputs: dict[tuple[str, str], _Port] = {}
        self._outputs: dict[tuple[str, str], _Port] = {}
        self._flows = Compatibility(library)

    def run(self) -> PlannedTypes:
        self._flows = Compatibility(self._library, self._read_rules())
        for index, node in enumerate(self._nodes):
            self._read_ports(index, node, "output")
            self._read_ports(index, node, "input")
            self._check_metadata_keys(index, node)
        self._check_edges()
        for index, node in enumerate(self._nodes):
            self._check_pattern(index, node)
        shown: dict[str, dict[str, str]] = {}
        for (node_id, output), port in self._outputs.items():
            shown.setdefault(node_id, {})[output] = _short(port.ref)
        described = {node.id: types for node in self._nodes if (types := self._describe(node))}
        return PlannedTypes(tuple(self._warnings), tuple(self._inferred), described, shown)

    # ---- reading ----

    def _read_rules(self) -> list[tuple[TypeRef, TypeRef]]:
        rules = []
        for position, rule in enumerate(self._rules):
            sides = [
                self._read_type(text, f"`{key}` of type rule {position + 1}", at)
                for key, text in (("from", rule.source), ("to", rule.target))
                if not self._report.is_damaged(*(at := ("type_rules", position, key)))
            ]
            match sides:
                case [TypeRef() as source, TypeRef() as target]:
                    rules.append((source, target))
        return rules

    def _read_type(self, text: str, of: str, at: tuple[PathStep, ...]) -> TypeRef | None:
        try:
            return self._library.resolve(parse_type(text))
        except ValueError as exc:
            why, _, mend = str(exc).partition("; ")
            self._warn(f"{of}: {why}", *at, mend=mend or None)
        return None

    def _read_ports(self, index: int, node: NodeEntry, side: str) -> None:
        """The types of a node's outputs, or of its inputs."""
        key = f"{side}_types"
        declared: dict[str, str] = getattr(node, key)
        ports = self._outputs if side == "output" else self._inputs
        for port, text in declared.items():
            at = ("nodes", index, key, port)
            if self._report.is_damaged(*at) or not self._is_port(index, node, port, side, key):
                continue
            ref = self._read_type(text, f"{side} `{node.id}/{port}`", at)
            if ref is not None:
                ports[node.id, port] = _Port(ref, at)

    def _is_port(self, index: int, node: NodeEntry, port: str, side: str, key: str) -> bool:
        """Whether a node has this port; if not, that is told."""
        names = list(node.outputs if side == "output" else node.inputs)
        if port in names:
            return True
        if not self._report.is_damaged("nodes", index, f"{side}s"):
            name = node_name(self._report.source.value, index)
            near = suggest(port, names)
            there = f"{side}s of {name}: {listed(names)}"
            self._warn(
                f"`{key}` of {name} names `{port}`, which is not among its {side}s",
                *("nodes", index, key, port),
                mend=f"did you mean `{near}`? ({there})" if near else there,
                at_key=True,
            )
        return False

    def _check_metadata_keys(self, index: int, node: NodeEntry) -> None:
        for port in node.output_metadata:
            self._is_port(index, node, port, "output", "output_metadata")

    # ---- edges ----

    def _check_edges(self) -> None:
        for route in self._wiring.routes:
            source = self._outputs.get((route.sender, route.output))
            target = self._inputs.get((route.receiver, route.input))
            if source is None:
                continue
            sender = f"{route.sender}/{route.output}"
            if target is None:
                receiver = f"{route.receiver}/{route.input}"
                if not self._has_type(route.receiver, route.input):
                    told = f"inferred {source.ref} on {receiver} (from {sender})"
                    self._inferred.append(told)
                continue
            self._check_edge(route.receiver, route.input, target, f"`{sender}`", source.ref)
        for node, timers in self._wiring.timers.items():
            for timer in timers:
                self._check_given(node, timer.input, "a timer", TIMER)
        for log in self._wiring.log_routes:
            self._check_given(log.receiver, log.input, f"`{log.logs}`", LOGS)

    def _has_type(self, node_id: str, port: str) -> bool:
        """Whether an input has a type in the file, if only a wrong one."""
        return any(port in n.input_types for n in self._nodes if n.id == node_id)

    def _check_given(self, node: str, port: str, giver: str, name: str) -> None:
        """An input that dora itself feeds."""
        target = self._inputs.get((node, port))
        if target is not None and self._flows.mismatch(TypeRef(name), target.ref) is not None:
            what = f"input `{node}/{port}` expects `{target.ref}`, but {giver} counts as `{name}`"
            self._warn(what, *target.at, mend=f"write `{name}`, or leave the type out")

    def _check_edge(self, node: str, port: str, target: _Port, giver: str, source: TypeRef) -> None:
        why = self._flows.mismatch(source, target.ref)
        if why is None:
            return
        reason = f": {why}" if why else ""
        mend = "correct one of the two"
        if source.name != target.ref.name and source.item is None and target.ref.item is None:
            rule = f"{{from: {source.name}, to: {target.ref.name}}}"
            mend += f", or allow it: `type_rules: [{rule}]`"
        what = f"input `{node}/{port}` expects `{target.ref}`, but {giver} sends `{source}`{reason}"
        self._warn(what, *target.at, mend=mend)

    # ---- metadata ----

    def _promised(self, node: NodeEntry, output: str) -> tuple[str, ...] | None:
        """Metadata keys that messages of an output have; None when nothing is said of them."""
        if output in node.output_metadata:
            return tuple(node.output_metadata[output])
        return promised_by(node.pattern) if node.pattern else None

    def _check_pattern(self, index: int, node: NodeEntry) -> None:
        """Some input of a part in a pattern can carry what the pattern is about."""
        if node.pattern is None or self._report.is_damaged("nodes", index, "inputs"):
            return
        needed = promised_by(node.pattern)[0]
        nodes = {other.id: other for other in self._nodes}
        routes = [route for route in self._wiring.routes if route.receiver == node.id]
        promised = [
            # Of a sender that is not in the file, because it runs already, nothing is known.
            self._promised(nodes[route.sender], route.output) if route.sender in nodes else None
            for route in routes
        ]
        if not routes or any(keys is None or needed in keys for keys in promised):
            return
        name = node_name(self._report.source.value, index)
        self._warn(
            f"{name} is a {node.pattern}, but no input of it carries `{needed}`",
            *("nodes", index, "pattern"),
            mend=f"add `{needed}` to `output_metadata:` of the output that it answers to, or "
            "wire it to the other part of the pattern",
        )

    # ---- what nodes are told ----

    def _describe(self, node: NodeEntry) -> dict[str, Any]:
        """What a node is told of its ports; empty when nothing is declared of any."""
        outputs: dict[str, PortType] = {}
        for output in node.outputs:
            port = self._outputs.get((node.id, output))
            kind = PortType() if port is None else self._library.port_type(port.ref)
            promised = self._promised(node, output) or ()
            keys = tuple(dict.fromkeys((*kind.metadata, *promised)))
            if port is not None or keys:
                outputs[output] = msgspec.structs.replace(kind, metadata=keys)
        ticking = {timer.input for timer in self._wiring.timers.get(node.id, ())}
        inputs = {
            port: self._library.port_type(typed.ref, self._flows.sources_of(typed.ref))
            for port in node.inputs
            if port not in ticking and (typed := self._inputs.get((node.id, port))) is not None
        }
        return pack(NodeTypes(outputs, inputs)) if outputs or inputs else {}

    def _warn(
        self, what: str, *path: PathStep, mend: str | None = None, at_key: bool = False
    ) -> None:
        source = self._report.source
        place = source.locate_key(*path) if at_key else source.locate(*path)
        self._warnings.append(Problem(what, place, mend))


def _place(problem: Problem) -> tuple[str, int, int]:
    at = problem.at
    return (at.file, at.line, at.column) if at else ("", 0, 0)


def _short(ref: TypeRef) -> str:
    """A type without the path of its name."""
    if ref.item is not None:
        return f"{ref.name}<{_short(ref.item)}>"
    return str(msgspec.structs.replace(ref, name=ref.name.rpartition("/")[2]))

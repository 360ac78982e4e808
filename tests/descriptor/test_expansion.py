"""Any dataflow cut into any tree of modules has the wires of the dataflow it was cut from."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dora.cli.expand import expand_flow
from dora.descriptor.planner import load_plan
from dora.descriptor.source import dump, parse

Place = tuple[str, ...]
"""The ids of the modules around a node, from the outside in, and its own."""


@dataclass
class Flow:
    """A dataflow as wires between nodes that stand somewhere in a tree of modules."""

    nodes: dict[Place, str] = field(default_factory=dict)
    """Each node and its kind: `plain`, `single` or `several` (operators)."""
    wires: list[tuple[Place, str, Place, int]] = field(default_factory=list)
    """Sender, output, receiver, queue size."""


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    modules = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(tuple)
    around = draw(st.lists(modules, min_size=1, max_size=7))
    kinds = st.sampled_from(["plain", "single", "several"])
    nodes = {(*place, f"n{i}"): draw(kinds) for i, place in enumerate(around)}
    ends = st.sampled_from(sorted(nodes))
    flow = Flow(nodes)
    for sender, receiver in draw(st.lists(st.tuples(ends, ends), max_size=10)):
        # Two readers may share an output, so also the ports of the modules on the way.
        output = f"{sender[-1]}_o{draw(st.integers(0, 2))}"
        flow.wires.append((sender, output, receiver, draw(st.integers(1, 12))))
    return flow


class Writer:
    """Writes one flow as files: each module in a folder of its own, one below the other."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.files: dict[Place, dict[str, Any]] = {(): {"nodes": []}}
        self.entries: dict[Place, dict[str, Any]] = {}
        for place, kind in flow.nodes.items():
            for depth in range(1, len(place)):
                self._add_module(place[:depth])
            self._add_node(place, kind)
        for number, (sender, output, receiver, queue_size) in enumerate(flow.wires):
            source = {"source": self._wired(sender, output, receiver, number)}
            source["queue_size"] = queue_size
            self._ports(receiver)["inputs"][f"i{number}"] = source

    def write(self, folder: Path) -> Path:
        """Write all files and return that of the dataflow."""
        for place, value in self.files.items():
            file = folder.joinpath(*place, "flow.yml")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dump(value))
            (file.parent / "op.py").touch()
        return folder / "flow.yml"

    def _add_module(self, place: Place) -> None:
        if place in self.files:
            return
        header = {"name": place[-1], "inputs": [], "outputs": []}
        self.files[place] = {"module": header, "nodes": []}
        entry = {"id": place[-1], "module": f"{place[-1]}/flow.yml", "inputs": {}}
        self._add(place, entry)

    def _add_node(self, place: Place, kind: str) -> None:
        ports: dict[str, Any] = {"inputs": {}, "outputs": []}
        entry: dict[str, Any] = {"id": place[-1]}
        if kind == "plain":
            entry |= {"path": "dynamic", **ports}
        elif kind == "single":
            entry["operator"] = {"python": "op.py", **ports}
        else:
            entry["operators"] = [{"id": "x", "python": "op.py", **ports}]
        self._add(place, entry)

    def _add(self, place: Place, entry: dict[str, Any]) -> None:
        self.files[place[:-1]]["nodes"].append(entry)
        self.entries[place] = entry

    def _ports(self, place: Place) -> dict[str, Any]:
        entry = self.entries[place]
        operators = entry.get("operators") or [entry.get("operator", entry)]
        ports: dict[str, Any] = operators[0]
        return ports

    def _wired(self, sender: Place, output: str, receiver: Place, number: int) -> str:
        """Lead a wire out of the modules of the sender and into those of the receiver."""
        _append(self._ports(sender)["outputs"], output)
        pairs = zip(sender[:-1], receiver[:-1], strict=False)
        shorter = min(len(sender), len(receiver)) - 1
        common = next((depth for depth, (a, b) in enumerate(pairs) if a != b), shorter)
        source = f"{sender[-1]}/{output}"
        if self.flow.nodes[sender] == "several":
            source = f"{sender[-1]}/x/{output}"
        for depth in range(len(sender) - 1, common, -1):
            _append(self.files[sender[:depth]]["module"]["outputs"], output)
            source = f"{sender[depth - 1]}/{output}"
        for depth in range(common + 1, len(receiver)):
            _append(self.files[receiver[:depth]]["module"]["inputs"], f"w{number}")
            self.entries[receiver[:depth]]["inputs"][f"w{number}"] = source
            source = f"_mod/w{number}"
        return source


def _append(ports: list[str], port: str) -> None:
    if port not in ports:
        ports.append(port)


def flat_wires(flow: Flow) -> list[tuple[str, str, str, str, int]]:
    """The wires as they must be."""
    prefix = {"plain": "", "single": "op/", "several": "x/"}
    return sorted(
        (
            ".".join(sender),
            prefix[flow.nodes[sender]] + output,
            ".".join(receiver),
            f"{prefix[flow.nodes[receiver]]}i{number}",
            queue_size,
        )
        for number, (sender, output, receiver, queue_size) in enumerate(flow.wires)
    )


@settings(deadline=None, max_examples=25)
@given(flows())
def test_a_tree_of_modules_has_the_wires_of_the_flat_dataflow(flow: Flow) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Writer(flow).write(Path(folder))
        plan = load_plan(path, environ={})
        assert {node.id for node in plan.nodes} == {".".join(place) for place in flow.nodes}
        wires = [(r.sender, r.output, r.receiver, r.input, r.queue_size) for r in plan.routes]
        assert sorted(wires) == flat_wires(flow)
        flat = Path(folder, "flat.yml")
        flat.write_text(expand_flow(path))
        again = load_plan(flat, environ={})
        assert (again.nodes, again.routes) == (plan.nodes, plan.routes)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
TEXT |= st.text("ab \n:#-'\"|>?${}[],&*!%@`", max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(VALUES)
def test_what_is_dumped_is_read_back(value: Any) -> None:
    assert parse("f", dump(value)).value == value

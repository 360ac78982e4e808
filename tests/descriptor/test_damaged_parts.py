"""However modules and operators are damaged, the answer is a plan or a list of mistakes."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dora.descriptor.planner import check_module, load_plan
from dora.descriptor.source import dump, parse
from dora.errors import DescriptorError

FLOW = """
env: {A: b}
nodes:
  - {id: s, path: dynamic, outputs: [o, p]}
  - {id: m, module: x.yml, inputs: {in: s/o, side: {source: s/p, queue_size: 2}}, params: {g: 1.5},
     env: {B: c}, build: make}
  - {id: k, module: x.yml, inputs: {in: m/out}}
  - id: ops
    operators:
      - {id: a, python: {source: op.py}, inputs: {x: m/out, y: k/two}, outputs: [y], build: make,
         send_stdout_as: y}
      - {id: b, python: op.py, inputs: {x: ops/a/y}, outputs: [z], min_log_level: warn}
  - {id: one, operator: {python: op.py, inputs: {x: ops/b/z}, outputs: [z]}}
  - {id: end, path: dynamic, inputs: {x: one/z, y: one/op/z, z: m.n/out, l: dora/logs/info/m.n}}
"""
MODULE = """
module: {name: x, inputs: [in], inputs_optional: [side], outputs: [out, two]}
build: make all
nodes:
  - {id: n, path: op.py, args: -a $PARAM_G, inputs: {x: _mod/in}, outputs: [out], env: {C: 1}}
  - {id: y, module: y.yml, inputs: {in: n/out}, params: {h: $PARAM_G}}
"""
INNER = """
module: {name: y, inputs: [in], outputs: [two]}
nodes:
  - {id: o, operators: [{id: a, python: op.py, inputs: {x: _mod/in}, outputs: [two]}]}
"""
FILES = {
    name: parse(name, text).value
    for name, text in {"flow.yml": FLOW, "x.yml": MODULE, "y.yml": INNER}.items()
}


def paths_in(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [at, *(path for key, item in items for path in paths_in(item, (*at, key)))]


PLACES = [(name, path) for name, value in FILES.items() for path in paths_in(value) if path]
WRONG = st.sampled_from(
    [None, 3, True, "", "x", "m", "a/b", "_mod/in", "s/o", [], {}, [3], {"a": 3}]
)


def damaged(value: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    if not path:
        return wrong
    key, *rest = path
    is_there = (
        key in value
        if isinstance(value, dict)
        else (isinstance(value, list) and isinstance(key, int) and key < len(value))
    )
    if not is_there:
        return value
    copy = value.copy()
    copy[key] = damaged(copy[key], tuple(rest), wrong)
    return copy


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(PLACES), WRONG), max_size=4))
def test_damaged_files_make_a_plan_or_a_list_of_mistakes(
    damages: list[tuple[tuple[str, tuple[Any, ...]], Any]],
) -> None:
    files = dict(FILES)
    for (name, path), wrong in damages:
        if isinstance(files[name], dict):
            files[name] = damaged(files[name], path, wrong)
    with tempfile.TemporaryDirectory() as folder:
        for name, value in files.items():
            Path(folder, name).write_text(dump(value))
        Path(folder, "op.py").touch()
        try:
            plan = load_plan(Path(folder, "flow.yml"), environ={}, before_build=True)
        except DescriptorError:
            assert damages
        else:
            ids = {node.id for node in plan.nodes}
            assert all({route.sender, route.receiver} <= ids for route in plan.routes)
        with contextlib.suppress(DescriptorError):
            check_module(Path(folder, "x.yml"), {})

"""Modules become nodes: names, wires, paths, parameters, variables, builds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dora.cli.expand import expand_flow
from dora.descriptor.model import ModuleFile, ModuleHeader, json_schema
from dora.descriptor.planner import check_module, load_plan
from dora.errors import DescriptorError

if TYPE_CHECKING:
    from dora.descriptor.plan import Plan

MODULE = """
module: {name: x, inputs: [in], inputs_optional: [side], outputs: [out]}
nodes:
  - id: n
    path: n.py
    inputs: {x: _mod/in, y: _mod/side, z: dora/logs/info/n, t: dora/timer/secs/1}
    outputs: [out, inner]
"""


def write(folder: Path, **files: str) -> None:
    """Files by name: `__` stands for a slash, `_yml` and `_py` for the dot."""
    for key, text in files.items():
        name = key.replace("__", "/").replace("_yml", ".yml").replace("_py", ".py")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def flow_of(use: str, rest: str = "") -> str:
    return f"nodes:\n  - {{id: s, path: dynamic, outputs: [o]}}\n  - {use}\n{rest}"


def plan_of(folder: Path, flow: str, module: str = MODULE, **files: str) -> Plan:
    write(folder, flow_yml=flow, parts__x_yml=module, parts__n_py="", n_py="", **files)
    return load_plan(folder / "flow.yml", environ={"PATH": "/usr/bin", "HOME": "/bin"})


def problems_of(folder: Path, flow: str, module: str = MODULE, **files: str) -> list[str]:
    with pytest.raises(DescriptorError) as caught:
        plan_of(folder, flow, module, **files)
    return [problem.what for problem in caught.value.problems]


def wires_of(plan: Plan) -> set[str]:
    return {f"{r.sender}/{r.output} > {r.receiver}/{r.input}" for r in plan.routes}


USE = "{id: m, module: parts/x.yml, inputs: {in: s/o}}"


def test_nodes_of_a_module_carry_its_id_and_its_outputs_lead_to_them(tmp_path: Path) -> None:
    rest = "  - {id: k, path: dynamic, inputs: {a: m/out, b: m.n/inner, c: dora/logs/warn/m.n}}"
    plan = plan_of(tmp_path, flow_of(USE, rest))
    assert [node.id for node in plan.nodes] == ["s", "m.n", "k"]
    assert wires_of(plan) == {"s/o > m.n/x", "m.n/out > k/a", "m.n/inner > k/b"}
    assert {(str(log.logs), log.receiver) for log in plan.log_routes} == {
        ("dora/logs/info/m.n", "m.n"),
        ("dora/logs/warn/m.n", "k"),
    }


def test_an_optional_input_that_is_not_wired_is_left_out(tmp_path: Path) -> None:
    assert plan_of(tmp_path, flow_of(USE)).node("m.n").inputs == ("x", "z", "t")


def test_one_module_feeds_another_of_the_same_file(tmp_path: Path) -> None:
    uses = "{id: a, module: parts/x.yml, inputs: {in: b/out}}"
    rest = "  - {id: b, module: parts/x.yml, inputs: {in: a/out, side: s/o}}"
    assert wires_of(plan_of(tmp_path, flow_of(uses, rest))) == {
        "b.n/out > a.n/x",
        "a.n/out > b.n/x",
        "s/o > b.n/y",
    }


def test_what_a_module_says_of_a_queue_wins_over_the_wire_from_outside(tmp_path: Path) -> None:
    use = (
        "{id: m, module: parts/x.yml, inputs: {in: {source: s/o, queue_size: 7, "
        "queue_policy: backpressure}}}"
    )
    inner = MODULE.replace("x: _mod/in", "x: {source: _mod/in, queue_size: 2, input_timeout: 3}")
    (route,) = plan_of(tmp_path, flow_of(use), inner).routes
    assert (route.queue_size, route.backpressure, route.input_timeout_s) == (2, True, 3.0)


def test_paths_in_a_module_are_relative_to_its_file(tmp_path: Path) -> None:
    module = """
module: {name: x}
nodes:
  - {id: beside, path: n.py}
  - {id: above, path: ../n.py}
  - {id: program, path: sh}
  - {id: tool, path: tool}
  - {id: absolute, path: /bin/sh}
  - {id: home, path: $HOME/sh}
  - {id: dynamic, path: dynamic}
  - {id: op, operator: {python: n.py}}
  - {id: ops, operators: [{id: a, python: {source: ./n.py}}]}
"""
    write(tmp_path, parts__tool="#!/bin/sh\n")
    (tmp_path / "parts" / "tool").chmod(0o755)
    plan = plan_of(tmp_path, flow_of("{id: m, module: parts/x.yml}"), module)
    paths = {node["id"]: node.get("path") for node in plan.descriptor["nodes"]}
    assert paths == {
        "s": "dynamic",
        "m.beside": "parts/n.py",
        "m.above": "n.py",
        "m.program": "sh",
        "m.tool": "parts/tool",
        "m.absolute": "/bin/sh",
        "m.home": "$HOME/sh",
        "m.dynamic": "dynamic",
        "m.op": None,
        "m.ops": None,
    }
    assert plan.descriptor["nodes"][-1]["operators"][0]["python"] == {"source": "parts/n.py"}
    assert plan.descriptor["nodes"][-2]["operator"]["python"] == "parts/n.py"
    command = plan.node("m.beside").command
    assert command is not None
    assert (command.argv[-1], command.cwd) == (str(tmp_path / "parts" / "n.py"), tmp_path)


def test_a_program_above_the_module_is_not_looked_for_on_the_path(tmp_path: Path) -> None:
    module = "module: {name: x}\nnodes:\n  - {id: n, path: ../env}\n"
    use = flow_of("{id: m, module: parts/x.yml}")
    assert problems_of(tmp_path, use, module) == ["node `m.n`: the file `./env` does not exist"]
    (tmp_path / "env").write_text("#!/bin/sh\n")
    (tmp_path / "env").chmod(0o755)
    command = plan_of(tmp_path, use, module).node("m.n").command
    assert command is not None
    assert command.argv == (str(tmp_path / "env"),)


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("repo", "{}/parts/repo"),
        ("../repo", "{}/repo"),
        ("me@host:repo", "me@host:repo"),
        ("https://host/repo", "https://host/repo"),
        ("/repo", "/repo"),
    ],
)
def test_a_repository_in_a_module_is_relative_to_its_file_too(
    written: str, url: str, tmp_path: Path
) -> None:
    module = f"module: {{name: x}}\nnodes:\n  - {{id: n, path: n.py, git: '{written}'}}\n"
    write(tmp_path, flow_yml=flow_of("{id: m, module: parts/x.yml}"), parts__x_yml=module)
    plan = load_plan(tmp_path / "flow.yml", environ={}, before_build=True)
    source = plan.node("m.n").git
    assert source is not None
    assert source.url == url.format(tmp_path)


def test_parameters_are_put_into_args_env_and_inner_parameters(tmp_path: Path) -> None:
    inner = MODULE.replace(
        "path: n.py",
        "path: n.py\n"
        "    args: --a $PARAM_GAIN ${_param.gain} ${PARAM_GAIN} $PARAM_GAINS --b $PARAM_UP"
        '\n    env: {A: "x$PARAM_GAIN", B: "${PARAM_NONE:-none}", C: "$$PARAM_GAIN", PARAM_UP: no}',
    )
    outer = """
module: {name: outer, inputs: [in], outputs: [out]}
nodes:
  - id: nested
    module: x.yml
    inputs: {in: _mod/in}
    params: {up: "up-${_param.gain}", number: 1.10, flag: true}
"""
    use = "{id: m, module: parts/o.yml, inputs: {in: s/o}, params: {gain: $HOME, flag: false}}"
    plan = plan_of(tmp_path, flow_of(use), inner, parts__o_yml=outer)
    node = plan.node("m.nested.n")
    assert node.command is not None
    assert node.command.argv[-6:] == (*["$HOME"] * 3, "$PARAM_GAINS", "--b", "up-$HOME")
    assert node.env == {
        "A": "x$HOME",
        "B": "none",
        "C": "$PARAM_GAIN",
        "PARAM_GAIN": "$HOME",
        "PARAM_UP": "up-$HOME",
        "PARAM_NUMBER": "1.10",
        "PARAM_FLAG": "true",
    }
    (warning,) = plan.warnings
    assert "parts/x.yml:6:5: `args` of node `n`: `$PARAM_GAINS` stays as it is" in warning


def test_variables_of_a_module_node_reach_all_nodes_inside_and_lose_to_theirs(
    tmp_path: Path,
) -> None:
    inner = MODULE.replace("path: n.py", "path: n.py\n    env: {A: inner}")
    use = "{id: m, module: parts/x.yml, inputs: {in: s/o}, env: {A: outer, B: $HOME, C: 1.10}}"
    assert plan_of(tmp_path, flow_of(use), inner).node("m.n").env == {
        "A": "inner",
        "B": "/bin",
        "C": "1.10",
    }


def test_builds_run_from_the_outside_in(tmp_path: Path) -> None:
    inner = "build: make file\n" + MODULE.replace("path: n.py", "path: n.py\n    build: make own")
    use = "{id: m, module: parts/x.yml, inputs: {in: s/o}, build: make use}"
    assert plan_of(tmp_path, flow_of(use), inner).node("m.n").build == (
        ("make", "use"),
        ("make", "file"),
        ("make", "own"),
    )


def test_operators_are_ports_of_modules_too(tmp_path: Path) -> None:
    module = """
module: {name: x, inputs: [in], outputs: [one, two]}
nodes:
  - {id: single, operator: {python: n.py, inputs: {a: _mod/in}, outputs: [one]}}
  - {id: many, operators: [{id: a, python: n.py, inputs: {a: single/one}, outputs: [two]}]}
"""
    rest = "  - {id: k, operator: {python: n.py, inputs: {a: m/one, b: m/two}}}"
    assert wires_of(plan_of(tmp_path, flow_of(USE, rest), module)) == {
        "s/o > m.single/op/a",
        "m.single/op/one > m.many/a/a",
        "m.single/op/one > k/op/a",
        "m.many/a/two > k/op/b",
    }


def test_a_mistake_in_a_module_that_is_used_twice_is_told_once(tmp_path: Path) -> None:
    rest = "  - {id: other, module: parts/x.yml, inputs: {in: s/o}}"
    broken = MODULE.replace("n.py", "absent.py").replace("_mod/side", "_mod/sides")
    assert problems_of(tmp_path, flow_of(USE, rest), broken) == [
        "node `m.n`: the file `parts/absent.py` does not exist",
        "input `n/y` reads from `_mod/sides`, but this module has no such input",
    ]


def test_a_module_larger_than_a_megabyte_is_refused(tmp_path: Path) -> None:
    large = MODULE + "#" * (1 << 20)
    (problem,) = problems_of(tmp_path, flow_of(USE), large)
    assert "larger than 1 MB" in problem


def test_modules_may_stand_in_one_another_eight_deep_and_no_deeper(tmp_path: Path) -> None:
    def levels(count: int) -> dict[str, str]:
        head = "module: {name: l}\nnodes: "
        files = {
            f"parts__l{level}_yml": f"{head}[{{id: d, module: l{level + 1}.yml}}]"
            for level in range(1, count)
        }
        return files | {f"parts__l{count}_yml": f"{head}[{{id: n, path: dynamic}}]"}

    flow = flow_of("{id: d, module: parts/l1.yml}")
    assert plan_of(tmp_path, flow, **levels(8)).nodes[-1].id == "d." * 8 + "n"
    (problem,) = problems_of(tmp_path, flow, **levels(9))
    assert problem == "modules stand in one another more than 8 deep"
    # The same when the deep ones were read already, by a use that is not as deep.
    flow = flow_of("{id: a, module: parts/l3.yml}", "  - {id: d, module: parts/l1.yml}\n")
    assert problems_of(tmp_path, flow, **levels(9)) == [problem]


def test_modules_that_multiply_are_stopped(tmp_path: Path) -> None:
    files = {
        f"parts__l{level}_yml": "module: {name: l}\nnodes:\n"
        + "".join(f"  - {{id: d{i}, module: l{level + 1}.yml}}\n" for i in range(40))
        for level in (1, 2, 3)
    }
    files["parts__l4_yml"] = "module: {name: l}\nnodes: [{id: n, path: dynamic}]"
    (problem,) = problems_of(tmp_path, flow_of("{id: d, module: parts/l1.yml}"), **files)
    assert "more than 10000 nodes" in problem


def test_a_module_is_checked_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, parts__x_yml=MODULE, parts__n_py="")
    header, warnings = check_module(Path("parts/x.yml"), {})
    assert (header.name, header.inputs, header.outputs, warnings) == ("x", ["in"], ["out"], [])
    write(tmp_path, parts__x_yml=MODULE.replace("_mod/in", "_mod/on").replace("n.py", "no.py"))
    with pytest.raises(DescriptorError) as caught:
        check_module(Path("parts/x.yml"), {})
    assert [problem.what for problem in caught.value.problems] == [
        "node `n`: the file `no.py` does not exist",
        "input `n/x` reads from `_mod/on`, but this module has no such input",
    ]


def test_the_expanded_dataflow_is_the_same_dataflow(tmp_path: Path) -> None:
    inner = "build: make file\n" + MODULE.replace(
        "path: n.py",
        "path: n.py\n    args: $PARAM_G\n    build: make own\n    env: {V: 1.10, W: 0x10}",
    )
    use = "{id: m, module: parts/x.yml, inputs: {in: s/o}, params: {g: a$b}, env: {H: $HOME}}"
    rest = "  - {id: op, operator: {python: n.py, inputs: {a: m/out}}}\nenv: {TOP: 2.50}\n"
    plan = plan_of(tmp_path, flow_of(use, rest), inner)
    (tmp_path / "flat.yml").write_text(expand_flow(tmp_path / "flow.yml"))
    assert "module" not in (tmp_path / "flat.yml").read_text()
    flat = load_plan(tmp_path / "flat.yml", environ={"PATH": "/usr/bin", "HOME": "/bin"})
    assert flat.nodes == plan.nodes
    assert flat.routes == plan.routes
    assert plan.node("m.n").env["V"] == "1.10"
    assert plan.node("m.n").env["PARAM_G"] == "a$b"


def test_the_schema_of_modules_describes_every_key() -> None:
    schema: Any = json.loads(json.dumps(json_schema(module=True)))
    for entry in (ModuleFile, ModuleHeader):
        told = schema["$defs"][entry.__name__]
        assert told["additionalProperties"] is False
        assert set(told["properties"]) == set(entry.__struct_fields__)
        assert all("description" in item for item in told["properties"].values())
    assert schema["$defs"]["ModuleFile"]["required"] == ["module", "nodes"]

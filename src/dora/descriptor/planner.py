"""From a dataflow file to the plan: the one entry for those who run or show dataflows.

Runs the stages in their order, lets each report all it finds, and raises once. Decides by itself
only what a node's plan takes over as it stands: defaults, log settings, sizes, CPU cores.

Used by `cli`. Elsewhere: the files as one list of nodes (`reading`), then each stage (`wiring`,
`environment`, `origin`, `command` or `runtime`, `builds`).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from dora.descriptor.builds import build_lines
from dora.descriptor.command import Surroundings, resolve
from dora.descriptor.environment import read_environments
from dora.descriptor.model import InputEntry
from dora.descriptor.origin import environment, find_origin
from dora.descriptor.plan import LogSettings, NodePlan, Plan, Restart
from dora.descriptor.reading import read_flow, read_module_flow
from dora.descriptor.types_plan import check_types
from dora.descriptor.wiring import wire
from dora.descriptor.words import node_name
from dora.ids import TimerRef, parse_source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dora.descriptor.model import ModuleHeader, NodeEntry
    from dora.descriptor.report import Report
    from dora.descriptor.source import Source
    from dora.descriptor.wiring import Wiring

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?)B?\s*", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def load_plan(
    path: Path,
    *,
    environ: Mapping[str, str],
    extra_env: Mapping[str, str] | None = None,
    exit_when_nodes_finish: bool | None = None,
    uv: bool = False,
    allow_shell: bool = False,
    before_build: bool = False,
    clones: Mapping[str, Path] | None = None,
    strict_types: bool = False,
) -> Plan:
    """Read a dataflow file and plan what will be spawned and wired.

    Args:
        path: The dataflow file.
        environ: The environment that variables refer to, and whose `PATH` is searched.
        extra_env: Variables laid over the file's top-level `env`.
        exit_when_nodes_finish: Overrides the key of the same name in either direction.
        uv: Run Python files by `uv run`.
        allow_shell: Allow `path: shell`.
        before_build: A missing file of a node that has `build` is no mistake yet.
        clones: Where the build has put the repositories of nodes, by node id.
        strict_types: Warnings about types are mistakes, as the key of the same name has it.

    Raises:
        DescriptorError: the file has mistakes; it carries all of them.
    """
    extra = dict(extra_env or {})
    flow, report = read_flow(path)
    wiring = wire(flow.nodes, report)
    envs = read_environments(flow, report, environ, extra)
    working_dir = path.resolve().parent
    around = Surroundings(working_dir, environ, uv, allow_shell, before_build, clones or {})
    nodes = [
        _plan_node(index, node, envs[index], wiring, around, report)
        for index, node in enumerate(flow.nodes)
    ]
    types = check_types(flow, wiring, report, strict=strict_types)
    report.raise_problems()
    given = exit_when_nodes_finish
    return Plan(
        name=path.stem,
        working_dir=working_dir,
        nodes=tuple(nodes),
        routes=tuple(wiring.routes),
        log_routes=tuple(wiring.log_routes),
        exit_when_nodes_finish=bool(flow.exit_when_nodes_finish) if given is None else given,
        descriptor=_descriptor(report.source, extra),
        warnings=tuple(report.warnings),
        types=types,
        file=path.resolve(),
    )


def check_module(path: Path, environ: Mapping[str, str]) -> tuple[ModuleHeader, list[str]]:
    """Check a module file by itself: its ports, and the warnings.

    Its parameters are not known yet, so variables of its nodes are not looked at.

    Raises:
        DescriptorError: the file has mistakes; it carries all of them.
    """
    header, nodes, report = read_module_flow(path)
    wiring = wire(nodes, report, [*header.inputs, *header.inputs_optional])
    around = Surroundings(path.resolve().parent, environ, allow_shell=True, before_build=True)
    for index, node in enumerate(nodes):
        _plan_node(index, node, {}, wiring, around, report)
    report.raise_problems()
    return header, report.warnings


def _plan_node(
    index: int,
    node: NodeEntry,
    env: dict[str, str],
    wiring: Wiring,
    around: Surroundings,
    report: Report,
) -> NodePlan:
    origin = find_origin(index, node, around, report)
    if node.operator is not None or node.operators is not None:
        # Most dataflows have no operators.
        from dora.descriptor.runtime import runtime_command, runtime_env

        command = runtime_command(index, node, origin, around, report)
        env = {**env, **runtime_env(index, node, around)}
    else:
        command = resolve(index, node, origin, around, report)
    return NodePlan(
        id=node.id,
        command=command,
        env=environment(origin, env, around),
        outputs=tuple(dict.fromkeys(node.outputs)),
        inputs=tuple(node.inputs),
        timers=tuple(wiring.timers.get(node.id, ())),
        restart=Restart(
            policy=node.restart_policy or "never",
            max_restarts=node.max_restarts or 0,
            delay_s=node.restart_delay,
            max_delay_s=node.max_restart_delay,
            window_s=node.restart_window,
        ),
        logs=LogSettings(
            min_level=node.min_log_level,
            max_size_bytes=_size(index, node, "max_log_size", report),
            max_rotated_files=node.max_rotated_files or 5,
            send_stdout_as=node.send_stdout_as,
            send_logs_as=node.send_logs_as,
        ),
        cpu_affinity=_cores(index, node, report),
        finish_grace_s=120.0 if node.finish_grace_secs is None else node.finish_grace_secs,
        build=build_lines(index, node, report),
        build_dir=origin.folder,
        interpreter=origin.interpreter,
        git=origin.git,
        download=origin.download,
        config=_config(node, wiring),
    )


def _size(index: int, node: NodeEntry, key: str, report: Report) -> int | None:
    """A size in bytes, from `50MB` and the like."""
    value = getattr(node, key)
    if value is None:
        return None
    match = _SIZE.fullmatch(str(value))
    size_bytes = int(float(match[1]) * _SIZE_UNITS[match[2].upper()]) if match else 0
    if size_bytes <= 0:
        name = node_name(report.source.value, index)
        what = f"`{key}` of {name}: `{value}` is no size"
        report.problem(what, "nodes", index, key, mend="write `50MB`, `1GB`, or a number of bytes")
        return None
    return size_bytes


def _cores(index: int, node: NodeEntry, report: Report) -> tuple[int, ...]:
    """The CPU cores that this machine has among those the node asks for."""
    count = os.cpu_count() or 1
    absent = [core for core in node.cpu_affinity if core >= count]
    if absent and not report.is_damaged("nodes", index, "cpu_affinity"):
        name = node_name(report.source.value, index)
        named = ", ".join(map(str, absent))
        what = f"{name}: `cpu_affinity` names cores that this machine lacks: {named}; left out"
        report.warn(what, "nodes", index, "cpu_affinity")
    return tuple(core for core in node.cpu_affinity if core < count)


def _config(node: NodeEntry, wiring: Wiring) -> dict[str, Any]:
    """What `node_config()` returns, as dora-rs gives it: sorted, short where it was short."""
    inputs: dict[str, Any] = {}
    for port, value in sorted(node.inputs.items()):
        if not isinstance(value, InputEntry):
            inputs[port] = _canonical(node, port, value, wiring)
            continue
        long: dict[str, Any] = {"source": _canonical(node, port, value.source, wiring)}
        for key in ("queue_size", "input_timeout", "queue_policy", "receive_as"):
            if (given := getattr(value, key)) is not None:
                long[key] = given
        inputs[port] = long
    return {"inputs": inputs, "outputs": sorted(set(node.outputs))}


def _canonical(node: NodeEntry, port: str, text: str, wiring: Wiring) -> str:
    """A source as dora-rs prints it: rates are intervals, a single operator is named."""
    try:
        source = parse_source(text)
    except ValueError:
        return text  # Reported already; this plan is never made.
    if isinstance(source, TimerRef) and "/hz/" in text:
        return f"dora/timer/nanos/{source.interval_ns}"
    return wiring.through_operators.get((node.id, port), text)


def _descriptor(source: Source, extra_env: dict[str, str]) -> dict[str, Any]:
    """The file as plain values, with the variables of the command line."""
    descriptor = dict(source.value)
    if extra_env:
        descriptor["env"] = {**(descriptor.get("env") or {}), **extra_env}
    return descriptor

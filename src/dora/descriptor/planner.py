"""From a dataflow file to the plan: the one entry for those who run or show dataflows.

Runs the stages in their order, lets each report all it finds, and raises once. Decides by itself
only what a node's plan takes over as it stands: defaults, log settings, sizes, CPU cores.

Used by `cli`, `descriptor.addition`. Elsewhere: the files as one list of nodes (`reading`), then
each stage (`wiring`, `environment`, `origin`, `command` or `runtime`, `builds`).
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dora.descriptor.builds import build_lines
from dora.descriptor.command import Surroundings, resolve
from dora.descriptor.environment import read_environments
from dora.descriptor.model import InputEntry
from dora.descriptor.origin import environment, find_origin
from dora.descriptor.plan import (
    DEFAULT_FINISH_GRACE_S,
    DEFAULT_HEALTH_CHECK_INTERVAL_S,
    LogSettings,
    NodePlan,
    Plan,
    Restart,
)
from dora.descriptor.reading import read_flow, read_module_flow
from dora.descriptor.types_plan import check_types
from dora.descriptor.wiring import wire
from dora.descriptor.words import node_name, shortened
from dora.ids import TimerRef, parse_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dora.descriptor.model import Dataflow, ModuleHeader, NodeEntry
    from dora.descriptor.report import Report
    from dora.descriptor.source import Source
    from dora.descriptor.wiring import Running, Wiring

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?)B?\s*", re.IGNORECASE)
_FINISH_GRACE = "DORA_FINISH_DRAIN_GRACE_SECS"
_SIZE_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_SIZE_END = 2**63


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
    flow, report = read_flow(path)
    around = Surroundings(
        path.resolve().parent, environ, uv, allow_shell, before_build, clones or {}
    )
    plan = plan_flow(flow, report, path, around, extra_env=extra_env, strict_types=strict_types)
    given = exit_when_nodes_finish
    return plan if given is None else replace(plan, exit_when_nodes_finish=given)


def plan_flow(
    flow: Dataflow,
    report: Report,
    path: Path,
    around: Surroundings,
    *,
    extra_env: Mapping[str, str] | None = None,
    strict_types: bool = False,
    running: Running | None = None,
) -> Plan:
    """Plan what stands in a file that was read.

    Args:
        flow: The flat dataflow.
        report: What was found wrong in the file so far.
        path: The file.
        around: What commands depend on.
        extra_env: Variables laid over the file's top-level `env`.
        strict_types: Warnings about types are mistakes.
        running: Nodes of a running dataflow that those of the file may read from.

    Raises:
        DescriptorError: the file has mistakes; it carries all of them.
    """
    extra = dict(extra_env or {})
    wiring = wire(flow.nodes, report, running=running)
    envs = read_environments(flow, report, around.environ, extra)
    around = replace(around, finish_grace_s=_default_finish_grace(around.environ, report))
    nodes = [
        _plan_node(index, node, envs[index], wiring, around, report)
        for index, node in enumerate(flow.nodes)
    ]
    types = check_types(flow, wiring, report, strict=strict_types)
    report.raise_problems()
    return Plan(
        name=path.stem,
        working_dir=around.working_dir,
        nodes=tuple(nodes),
        routes=tuple(wiring.routes),
        log_routes=tuple(wiring.log_routes),
        exit_when_nodes_finish=bool(flow.exit_when_nodes_finish),
        descriptor=_descriptor(report.source, extra),
        warnings=tuple(report.warnings),
        types=types,
        health_check_interval_s=flow.health_check_interval or DEFAULT_HEALTH_CHECK_INTERVAL_S,
        file=Path(os.path.abspath(path)),
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
    source: Path | None = None
    operators: dict[str, Path] = {}
    if node.operator is not None or node.operators is not None:
        # Most dataflows have no operators.
        from dora.descriptor.runtime import operator_sources, runtime_command, runtime_env

        command = runtime_command(index, node, origin, around, report)
        env = {**env, **runtime_env(index, node, around)}
        operators = operator_sources(index, node, around)
    else:
        command, source = resolve(index, node, origin, around, report)
    grace_s = node.finish_grace_secs
    return NodePlan(
        id=node.id,
        command=command,
        env=environment(origin, env, around),
        outputs=tuple(dict.fromkeys(node.outputs)),
        inputs=tuple(node.inputs),
        timers=tuple(wiring.timers.get(node.id, ())),
        restart=_restart(node),
        logs=_logs(index, node, report),
        cpu_affinity=_cores(index, node, report),
        memory_limit_bytes=_size(index, node, "memory_limit", report),
        nice=node.nice,
        health_check_timeout_s=node.health_check_timeout or None,
        startup_timeout_s=node.startup_timeout or None,
        finish_grace_s=around.finish_grace_s if grace_s is None else grace_s,
        build=build_lines(index, node, report),
        build_dir=origin.folder,
        interpreter=origin.interpreter,
        git=origin.git,
        download=origin.download,
        config=_config(node, wiring),
        path=node.path or "",
        source=source,
        operator_sources=operators,
    )


def _restart(node: NodeEntry) -> Restart:
    return Restart(
        policy=node.restart_policy or "never",
        max_restarts=node.max_restarts or 0,
        delay_s=node.restart_delay,
        max_delay_s=node.max_restart_delay,
        window_s=node.restart_window,
    )


def _logs(index: int, node: NodeEntry, report: Report) -> LogSettings:
    return LogSettings(
        min_level=node.min_log_level,
        max_size_bytes=_size(index, node, "max_log_size", report),
        max_rotated_files=node.max_rotated_files or 5,
        send_stdout_as=node.send_stdout_as,
        send_logs_as=node.send_logs_as,
    )


def _default_finish_grace(environ: Mapping[str, str], report: Report) -> float:
    """How long nodes that say nothing about it may live on, in seconds."""
    written = environ.get(_FINISH_GRACE, "").strip()
    if not written:
        return DEFAULT_FINISH_GRACE_S
    try:
        grace_s = float(written)
    except ValueError:
        grace_s = math.nan
    if math.isfinite(grace_s) and grace_s >= 0:
        return grace_s
    what = f"the environment variable `{_FINISH_GRACE}` is `{written}`, which is no time"
    report.problem_anywhere(what, mend="write plain seconds, `120`, or unset it")
    return DEFAULT_FINISH_GRACE_S


def _size(index: int, node: NodeEntry, key: str, report: Report) -> int | None:
    """A size in bytes, from `50MB` and the like."""
    value = getattr(node, key)
    if value is None:
        return None
    match = _SIZE.fullmatch(str(value))
    size = float(match[1]) * _SIZE_UNITS[match[2].upper()] if match else 0.0
    if not 1 <= size < _SIZE_END:
        name = node_name(report.source.value, index)
        what = f"`{key}` of {name}: `{shortened(str(value))}` is no size"
        report.problem(what, "nodes", index, key, mend="write `50MB`, `1GB`, or a number of bytes")
        return None
    return int(size)


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

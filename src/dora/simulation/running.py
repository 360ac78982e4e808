"""Running a node file, or a dataflow, in virtual time: `run_node` and `run_dataflow`.

Makes the plan, lets the driver run it, and gathers what came of it.
Elsewhere: the rules of the game (`simulation.coordinator`), what inputs look like
(`simulation.arrivals`).
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dora.descriptor.plan import DEFAULT_QUEUE_SIZE, Command, NodePlan, Plan, Route, TimerInput
from dora.descriptor.planner import load_plan
from dora.errors import InputFormatError, SimulationError
from dora.ids import PORT_ID_RULE, is_port_id, suggest
from dora.node.inputs import utc_from_ns
from dora.node.stage import input_event
from dora.simulation.arrivals import read_inputs
from dora.simulation.coordinator import Coordinator
from dora.simulation.driver import Driver
from dora.simulation.outcome import DataflowRun, Message, NodeRun, check_ends
from dora.simulation.queues import InputQueue
from dora.wire import metadata as wire_metadata
from dora.wire.runtime import VARIABLE as OPERATORS
from dora.wire.simulation import START_NS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from dora.simulation.arrivals import Inputs
    from dora.simulation.coordinator import Arrival, Sent

HANG_S = 30.0
_NS = 10**9
_PLAYER = "test"
"""Who sends a single node its inputs."""


def run_node(
    path: str | Path,
    inputs: Inputs = (),
    *,
    until: float | None = None,
    timers: Mapping[str, float] | None = None,
    queue_size: int | Mapping[str, int] = 10,
    outputs: Iterable[str] | None = None,
    args: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    check: bool = True,
    hang_s: float = HANG_S,
) -> NodeRun:
    """Run a node file on its own, in a process of its own, in virtual time.

    Each input arrives at its time, or, without times, when the node waits for the next. Time moves
    only while the node waits: computing takes none, and a timeout of an hour is over at once. When
    all inputs were dealt with, they close, and the node is told to stop.

    Args:
        path: The node's Python file.
        inputs: `[(id, value), (id, value, metadata), ...]`; or with a time in seconds before each;
            or a `Path` to a recording (`DORA_WRITE_EVENTS_TO`).
        until: When to stop, in seconds of virtual time; None: when the inputs are used up.
        timers: Inputs that tick, each with its interval in seconds.
        queue_size: How many messages an input holds; of all inputs, or of each.
        outputs: The node's outputs; None takes any.
        args: Arguments of the node's command line.
        env: Variables for the node.
        check: Whether a node that fails, or leaves processes behind, is an error.
        hang_s: How long it may compute at a time, in seconds of real time.

    Returns:
        What it sent, printed and logged.

    Raises:
        SimulationError: the node failed (its traceback is in the message), or hangs (its stack).
        InputFormatError: an input is not as it must be.
        FileNotFoundError: there is no such file.
    """
    file = Path(path).resolve(strict=True)
    name = file.stem.replace(" ", "_")
    ids: dict[str, None] = {}

    def place(input_id: str) -> tuple[str, str]:
        if not is_port_id(input_id):
            raise InputFormatError(f"`{input_id}` cannot be the id of an input; {PORT_ID_RULE}")
        if input_id in (timers or {}):
            raise InputFormatError(f"`{input_id}` is a timer: it ticks by itself")
        ids[input_id] = None
        return _PLAYER, input_id

    arrivals = read_inputs(inputs, place)
    command = Command((sys.executable, "-u", str(file), *args), file.parent)
    plan = _plan_of(name, command, ids, timers or {}, queue_size, tuple(outputs or ()))
    ran = _run(plan, {name}, arrivals, until, env, any_output=outputs is None, hang_s=hang_s)
    run = ran.nodes()[name]
    if check:
        check_ends({name: run}, ran.leftovers)
    return run


def run_dataflow(
    path: str | Path,
    inputs: Inputs = (),
    *,
    until: float | None = None,
    nodes: Collection[str] | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    hang_s: float = HANG_S,
) -> DataflowRun:
    """Run a dataflow in virtual time, each node in a process of its own.

    Nodes may be *played* by the test: they are not started, and what they would send is given as
    inputs. Queue sizes, policies, timers and timeouts are those of the file. One node goes on at a
    time, so that two runs give the same.

    Args:
        path: The dataflow file.
        inputs: What played nodes send: as in `run_node`, with ids `node/output`.
        until: When to stop, in seconds of virtual time; None: when the inputs are used up, or, if
            there are none, when all nodes have ended.
        nodes: The nodes to run; None: all that are not played.
        env: Variables for all nodes.
        check: Whether a node that fails, or leaves processes behind, is an error.
        hang_s: How long a node may compute at a time, in seconds of real time.

    Returns:
        What all nodes sent, and each node's own run.

    Raises:
        DescriptorError: the file has mistakes.
        SimulationError: a node failed (its traceback is in the message), or hangs (its stack).
        InputFormatError: an input is not as it must be.
    """
    plan = load_plan(Path(path), environ=os.environ)
    known = {node.id: set(node.outputs) for node in plan.nodes}
    for given in nodes or ():
        if given not in known:
            raise SimulationError(f"there is no node `{given}`{_hint(given, known)}")
    played = set() if nodes is None else set(known) - set(nodes)

    def place(source: str) -> tuple[str, str]:
        node, _, output = source.partition("/")
        if output not in known.get(node, ()):
            every = [f"{name}/{port}" for name, ports in known.items() for port in sorted(ports)]
            raise InputFormatError(f"no node sends on `{source}`{_hint(source, every)}")
        if nodes is not None and node in nodes:
            raise InputFormatError(f"`{source}`: the node `{node}` runs, so it sends by itself")
        played.add(node)
        return node, output

    arrivals = read_inputs(inputs, place)
    run = {node.id for node in plan.nodes if node.command is not None} - played
    _check_runnable(plan, run)
    ran = _run(plan, run, arrivals, until, env, any_output=False, hang_s=hang_s)
    by_node = ran.nodes()
    if check:
        check_ends(by_node, ran.leftovers)
    every = [f"{node}/{output}" for node in known if node in run for output in sorted(known[node])]
    return DataflowRun(ran.sent, every, ran.dropped, ran.time_s, by_node)


class _Ran:
    """A simulation that ended."""

    def __init__(
        self, plan: Plan, coordinator: Coordinator, driver: Driver, sent: list[Sent]
    ) -> None:
        self._plan = plan
        self._actors = driver.actors
        self.leftovers = driver.leftovers.found
        self.time_s = coordinator.now_ns / _NS
        self.sent = [_message(one) for one in sent]
        self.dropped = {
            f"{part.id}/{queue.id}": queue.dropped
            for part in coordinator.parts.values()
            for queue in part.inputs.values()
            if isinstance(queue, InputQueue) and queue.dropped
        }

    def nodes(self) -> dict[str, NodeRun]:
        """Each node's run, with plain names of outputs and inputs."""
        runs = {}
        for node, actor in self._actors.items():
            start = len(node) + 1
            runs[node] = NodeRun(
                [
                    Message(one.id[start:], one.value, one.metadata, one.time_s)
                    for one in self.sent
                    if one.id.startswith(f"{node}/")
                ],
                self._plan.node(node).outputs,
                {
                    name[start:]: count
                    for name, count in self.dropped.items()
                    if name.startswith(f"{node}/")
                },
                self.time_s,
                stdout=actor.written["stdout"].decode(errors="replace"),
                stderr=actor.stderr,
                failure=actor.failure,
            )
        return runs


def _run(
    plan: Plan,
    nodes: Collection[str],
    arrivals: list[Arrival],
    until: float | None,
    env: Mapping[str, str] | None,
    *,
    any_output: bool,
    hang_s: float,
) -> _Ran:
    if until is not None and not (math.isfinite(until) and until >= 0):
        raise SimulationError(f"`until` is {until}; it is a number of seconds, 0 or more")
    until_ns = None if until is None else round(until * _NS)
    sent: list[Sent] = []
    coordinator = Coordinator(plan, nodes, arrivals, until_ns, keep=sent.append)
    driver = Driver(plan, coordinator, env or {}, any_output=any_output, hang_s=hang_s)
    driver.run()
    return _Ran(plan, coordinator, driver, sent)


def _message(sent: Sent) -> Message:
    parcel = sent.parcel
    event = input_event(
        f"{sent.node}/{sent.output}",
        (parcel.header, len(parcel.payload), parcel.payload),
        wire_metadata.decode(parcel.metadata),
        utc_from_ns(parcel.sent_ns),
    )
    time_s = (parcel.sent_ns - START_NS) / _NS
    return Message(event["id"], event["value"], event["metadata"], time_s)


def _check_runnable(plan: Plan, run: Collection[str]) -> None:
    if not run:
        raise SimulationError("no node is left to run: all are played")
    for node in run:
        if OPERATORS in plan.node(node).env:
            raise SimulationError(
                f"node `{node}` is made of operators, which do not run in virtual time: play it "
                f"(give what it sends as inputs, `{node}/...`), or name the nodes to run by "
                "`nodes=`; an operator alone is tested by calling its `on_event`"
            )


def _plan_of(
    name: str,
    command: Command,
    ids: Collection[str],
    timers: Mapping[str, float],
    queue_size: int | Mapping[str, int],
    outputs: tuple[str, ...],
) -> Plan:
    """A dataflow of one node, whose inputs come from the test."""
    sizes = dict.fromkeys(ids, queue_size) if isinstance(queue_size, int) else queue_size
    config = _config(ids, timers, outputs)
    node = NodePlan(
        id=name,
        command=command,
        env={},
        outputs=outputs,
        inputs=(*ids, *timers),
        timers=tuple(TimerInput(timer, _interval_ns(timer, timers[timer])) for timer in timers),
        config=config,
    )
    player = NodePlan(_PLAYER, None, {}, tuple(ids), (), ())
    return Plan(
        name=name,
        working_dir=command.cwd,
        nodes=(player, node),
        routes=tuple(
            Route(_PLAYER, port, name, port, queue_size=max(1, sizes.get(port, DEFAULT_QUEUE_SIZE)))
            for port in ids
        ),
        log_routes=(),
        exit_when_nodes_finish=False,
        descriptor={"nodes": [{"id": name, "path": command.argv[2], **config}]},
    )


def _interval_ns(timer: str, interval_s: float) -> int:
    if not (math.isfinite(interval_s) and interval_s > 0):
        raise InputFormatError(f"timer `{timer}`: {interval_s} is no interval in seconds")
    return max(1, round(interval_s * _NS))


def _config(
    ids: Iterable[str], timers: Mapping[str, float], outputs: Iterable[str]
) -> dict[str, Any]:
    inputs = {name: f"{_PLAYER}/{name}" for name in ids}
    ticking = {
        name: f"dora/timer/nanos/{_interval_ns(name, every_s)}" for name, every_s in timers.items()
    }
    return {"inputs": dict(sorted((inputs | ticking).items())), "outputs": sorted(set(outputs))}


def _hint(given: str, known: Iterable[str]) -> str:
    names = list(known)
    near = suggest(given, names)
    return f"; did you mean `{near}`?" if near else f"; there are: {', '.join(names)}"

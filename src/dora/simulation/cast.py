"""From a plan to the nodes of a simulation, their queues, and what leads where. Pure.

Used by `simulation.coordinator`, which lets them play.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from dora.simulation.part import Part
from dora.simulation.queues import InputQueue, TimerQueue

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from dora.descriptor.plan import Plan

_NS = 10**9

Routes: TypeAlias = "dict[tuple[str, str], list[tuple[str, InputQueue]]]"
"""Where each output, named by node and output, leads: the receivers and their queues."""


def make_parts(plan: Plan, nodes: Collection[str]) -> dict[str, Part]:
    """The nodes that run, with their inputs."""
    parts = {}
    for node in plan.nodes:
        if node.id not in nodes:
            continue
        queues: dict[str, InputQueue] = {}
        for route in plan.routes:
            if route.receiver == node.id:
                timeout_s = route.input_timeout_s
                queues[route.input] = InputQueue(
                    route.input,
                    route.queue_size,
                    backpressure=route.backpressure,
                    timeout_ns=None if timeout_s is None else max(1, round(timeout_s * _NS)),
                )
        for logs in plan.log_routes:
            if logs.receiver == node.id:
                queues[logs.input] = InputQueue(logs.input, logs.queue_size, endless=True)
        parts[node.id] = Part(
            node.id,
            [queues[name] for name in node.inputs if name in queues],
            [TimerQueue(timer.input, timer.interval_ns) for timer in node.timers],
            end_without_timers=plan.exit_when_nodes_finish,
        )
    return parts


def make_routes(plan: Plan, parts: Mapping[str, Part]) -> Routes:
    """Where each output leads: receivers that run."""
    routes: Routes = {}
    for route in plan.routes:
        receivers = routes.setdefault((route.sender, route.output), [])
        if route.receiver in parts:
            receivers.append((route.receiver, parts[route.receiver].inputs[route.input]))
    return routes


def has_room(routes: Iterable[tuple[str, InputQueue]]) -> bool:
    """Whether every receiver that must not lose a message can take one more."""
    return all(queue.has_room for _, queue in routes if queue.backpressure)

"""The plan: what will be spawned and wired. Plain values, the daemon's only view of a dataflow.

Made by `descriptor.planner` from a checked model; nothing in it needs looking up again: commands
are resolved, environment variables expanded, every input has its defaults. Units end the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from dora.ids import LogsRef, NodeId, PortId

RestartPolicy = Literal["never", "on-failure", "always"]

DEFAULT_QUEUE_SIZE = 10


class Route(msgspec.Struct, frozen=True):
    """One output to one input."""

    sender: NodeId
    output: PortId
    receiver: NodeId
    input: PortId
    queue_size: int = DEFAULT_QUEUE_SIZE
    backpressure: bool = False
    input_timeout_s: float | None = None


class LogRoute(msgspec.Struct, frozen=True):
    """Log lines of the dataflow to one input."""

    logs: LogsRef
    receiver: NodeId
    input: PortId
    queue_size: int = DEFAULT_QUEUE_SIZE
    backpressure: bool = False


class TimerInput(msgspec.Struct, frozen=True):
    """An input that ticks."""

    input: PortId
    interval_ns: int


class Command(msgspec.Struct, frozen=True):
    """What to execute for a node."""

    argv: tuple[str, ...]
    cwd: Path


class Restart(msgspec.Struct, frozen=True):
    """When a node that exited is started again (obeyed in a later release)."""

    policy: RestartPolicy = "never"
    max_restarts: int = 0
    delay_s: float | None = None
    max_delay_s: float | None = None
    window_s: float | None = None


class LogSettings(msgspec.Struct, frozen=True):
    """What becomes of a node's lines."""

    min_level: str | None = None
    max_size_bytes: int | None = None
    max_rotated_files: int = 5
    send_stdout_as: PortId | None = None
    send_logs_as: PortId | None = None


class NodePlan(msgspec.Struct, frozen=True):
    """One node."""

    id: NodeId
    command: Command | None
    """None for `path: dynamic`: somebody else starts the process."""
    env: dict[str, str]
    """Only what the descriptor adds; the daemon lays it over its own environment."""
    outputs: tuple[PortId, ...]
    inputs: tuple[PortId, ...]
    """All inputs in the order of the file: routes, logs and timers alike."""
    timers: tuple[TimerInput, ...]
    restart: Restart = Restart()
    logs: LogSettings = LogSettings()
    cpu_affinity: tuple[int, ...] = ()
    finish_grace_s: float = 120.0
    build: tuple[tuple[str, ...], ...] = ()
    """Commands of `build:`, split into words."""
    config: dict[str, Any] = {}
    """What `node_config()` returns: `{"inputs": {...}, "outputs": [...]}`."""


class Plan(msgspec.Struct, frozen=True):
    """A whole dataflow."""

    name: str
    """The descriptor's file name without its suffix."""
    working_dir: Path
    nodes: tuple[NodePlan, ...]
    routes: tuple[Route, ...]
    log_routes: tuple[LogRoute, ...]
    exit_when_nodes_finish: bool
    descriptor: dict[str, Any]
    """The parsed file as plain values: what `dataflow_descriptor()` returns."""
    warnings: tuple[str, ...] = ()
    """What was accepted but is not obeyed, in words for the user."""

    def node(self, node_id: NodeId) -> NodePlan:
        """The node of this id, which must exist."""
        return next(node for node in self.nodes if node.id == node_id)

"""The plan: what will be spawned and wired. Plain values, the daemon's only view of a dataflow.

Made by `descriptor.planner` from a checked model; nothing in it needs looking up again: commands
are resolved, environment variables expanded, every input has its defaults. Units end the names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from dora.errors import Problem  # noqa: TC001
from dora.ids import LogsRef, NodeId, PortId  # noqa: TC001

RestartPolicy = Literal["never", "on-failure", "always"]

DEFAULT_QUEUE_SIZE = 10
DEFAULT_FINISH_GRACE_S = 120.0
DEFAULT_HEALTH_CHECK_INTERVAL_S = 5.0


class Route(msgspec.Struct, frozen=True):
    """One output to one input."""

    sender: NodeId
    output: PortId
    receiver: NodeId
    input: PortId
    queue_size: int = DEFAULT_QUEUE_SIZE
    backpressure: bool = False
    input_timeout_s: float | None = None
    as_arrow: bool = False
    """NumPy arrays arrive as flat Arrow arrays."""


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


class Interpreter(msgspec.Struct, frozen=True):
    """The Python of a node's own environment."""

    executable: Path
    prefix: Path
    """The environment's folder: `bin/` is in it."""
    kind: Literal["venv", "conda", "bare", "managed"]
    """`bare` belongs to no environment; `managed` is made by the build, with uv."""


class GitSource(msgspec.Struct, frozen=True):
    """A repository that a node comes from, as the file names it."""

    url: str
    """As git takes it; a path is absolute."""
    ref_kind: Literal["branch", "tag", "rev"] | None = None
    """None: what the repository has checked out."""
    ref: str | None = None


class Download(msgspec.Struct, frozen=True):
    """A file that the build fetches for a node."""

    url: str
    file: Path
    """Where it will lie."""
    sha256: str | None = None


class Restart(msgspec.Struct, frozen=True):
    """When a node that exited is started again."""

    policy: RestartPolicy = "never"
    max_restarts: int = 0
    """Within the window; 0: no limit."""
    delay_s: float | None = None
    """Before the first; doubles with each. None: at once."""
    max_delay_s: float | None = None
    window_s: float | None = None
    """How long a restart counts. None: for ever."""


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
    memory_limit_bytes: int | None = None
    nice: int | None = None
    """None: as the daemon's own."""
    health_check_timeout_s: float | None = None
    """How long it may show no life before it is killed. None: for ever."""
    startup_timeout_s: float | None = None
    """How long it may take to connect. None: for ever."""
    finish_grace_s: float = DEFAULT_FINISH_GRACE_S
    """How long it may live on when all that feeds it is done."""
    build: tuple[tuple[str, ...], ...] = ()
    """Commands of `build:`, split into words."""
    build_dir: Path | None = None
    """Where they run: the folder of the dataflow file, or the clone. None: not cloned yet."""
    interpreter: Interpreter | None = None
    """None: the Python that runs dora."""
    git: GitSource | None = None
    download: Download | None = None
    config: dict[str, Any] = {}
    """What `node_config()` returns: `{"inputs": {...}, "outputs": [...]}`."""
    path: str = ""
    """As the file has it; empty where it names none, as for operators."""
    source: Path | None = None
    """The node's own Python file, absolute, if `path` names one."""
    operator_sources: dict[str, Path] = {}
    """The Python file of each operator, absolute, by its id."""
    by_hand: bool = False
    """The user starts the command, e.g. in a debugger, and the dataflow waits for it."""

    @property
    def spawned(self) -> bool:
        """Whether dora starts the process."""
        return self.command is not None and not self.by_hand


class PlannedTypes(msgspec.Struct, frozen=True):
    """What the types in the file come to; empty when it names none."""

    warnings: tuple[Problem, ...] = ()
    inferred: tuple[str, ...] = ()
    """A sentence for each input that has its type from the output it reads."""
    nodes: dict[NodeId, dict[str, Any]] = {}
    """For each node its `wire.layouts.NodeTypes`, packed."""
    shown: dict[NodeId, dict[PortId, str]] = {}
    """Short names of the types of each node's outputs, for pictures."""


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
    types: PlannedTypes = PlannedTypes()
    health_check_interval_s: float = DEFAULT_HEALTH_CHECK_INTERVAL_S
    file: Path = Path()
    """The dataflow file, absolute, as it was named; `Path()` if a program made the plan."""

    def __post_init__(self) -> None:
        """Refuse what no file can come to: it may be from a client that makes plans by hand.

        Raises:
            ValueError: two nodes have the same id.
        """
        ids = [node.id for node in self.nodes]
        if len(set(ids)) < len(ids):
            raise ValueError("two nodes of a plan have the same id")

    @property
    def needs_build(self) -> bool:
        """Whether a node asks for anything that a build does."""
        return any(
            node.build or node.git or node.download or node.interpreter for node in self.nodes
        )

    @property
    def all_warnings(self) -> tuple[str, ...]:
        """Warnings of every kind, one line each."""
        return (*self.warnings, *(problem.in_one_line for problem in self.types.warnings))

    def node(self, node_id: NodeId) -> NodePlan:
        """The node of this id, which must exist."""
        return next(node for node in self.nodes if node.id == node_id)

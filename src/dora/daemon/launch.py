"""The first moments of a dataflow: limits, the listening socket, all processes back to back.

No event loop yet: the processes load Python and their libraries while the daemon loads its own and
wires. What follows is `daemon.server`'s.
"""

from __future__ import annotations

import os
import shlex
import time
from typing import TYPE_CHECKING

import msgspec

from dora.daemon import limits
from dora.daemon.edges import edges_of
from dora.daemon.process import NodeProcess
from dora.errors import DoraError
from dora.transport import endpoint
from dora.wire.messages import NodeConfig, encode_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dora.descriptor.plan import Command, NodePlan, Plan
    from dora.transport.endpoint import Listener


class SpawnError(Exception):
    """A process could not be started, and why."""


class Starter:
    """Starts processes of one dataflow.

    Args:
        dataflow_id: Which.
        address: Where its daemon listens.
        base: The environment of all nodes; None: this process's.
    """

    def __init__(
        self, dataflow_id: str, address: str, base: Mapping[str, str] | None = None
    ) -> None:
        self._dataflow_id = dataflow_id
        self._address = address
        self.base = dict(os.environ if base is None else base) | {"PYTHONUNBUFFERED": "1"}
        """The environment of all nodes."""
        self.warnings: list[str] = []
        """What a process was to be given and could not; whoever tells of it clears this."""

    def environment(self, node: NodePlan, incarnation: int) -> dict[str, str]:
        """What a node's process finds beside the daemon's own environment."""
        config = NodeConfig(self._dataflow_id, node.id, incarnation, self._address)
        return {**node.env, "DORA_NODE_CONFIG": encode_config(config)}

    def start(self, node: NodePlan, incarnation: int) -> NodeProcess:
        """Start a process of a node.

        Raises:
            SpawnError: it could not be started.
        """
        assert node.command is not None
        env = {**self.base, **self.environment(node, incarnation)}
        try:
            process = NodeProcess(node.command.argv, node.command.cwd, env)
        except (OSError, ValueError) as exc:  # ValueError: a NUL in a word or a variable
            raise SpawnError(f"`{node.command.argv[0]}`: {_reason(exc)}") from exc
        if node.cpu_affinity:
            try:
                process.pin(node.cpu_affinity)
            except (OSError, ValueError, OverflowError) as exc:
                cores = ", ".join(map(str, node.cpu_affinity))
                self.warnings.append(
                    f"node `{node.id}` runs on all cores: `cpu_affinity: [{cores}]` was refused "
                    f"({_reason(exc)})"
                )
        if node.nice is not None:
            try:
                process.set_nice(node.nice)
            except (OSError, OverflowError) as exc:
                self.warnings.append(
                    f"node `{node.id}` runs at the daemon's own priority: `nice: {node.nice}` was "
                    f"refused ({_reason(exc)})"
                )
        return process


def check_files(node: NodePlan) -> None:
    """See to it that what a node runs is there.

    Raises:
        DoraError: it is not, or may not be run.
    """
    if not node.spawned or node.command is None:
        return
    program, cwd = node.command.argv[0], node.command.cwd
    problem = ""
    if not cwd.is_dir():
        problem = f"there is no folder `{cwd}`"
    elif node.source is not None and not node.source.is_file():
        problem = f"there is no file `{node.source}`"
    elif "/" in program and not os.access(program, os.X_OK):
        problem = f"`{program}` is not there, or not executable"
    if problem:
        raise DoraError(f"node `{node.id}` cannot be started: {problem}")


class Launched(msgspec.Struct):
    """A dataflow whose processes have been started. Owned, from here on, by its server."""

    dataflow_id: str
    plan: Plan
    listener: Listener
    starter: Starter
    started_s: float
    """When, by the monotonic clock."""
    processes: dict[str, NodeProcess] = msgspec.field(default_factory=dict)
    errors: dict[str, str] = msgspec.field(default_factory=dict)
    """Why a node could not be started."""
    by_hand: dict[str, str] = msgspec.field(default_factory=dict)
    """What to type in a terminal to start the nodes that are the user's to start."""

    def end(self) -> None:
        """End what nobody has taken over; twice is fine."""
        self.listener.close()
        while self.processes:
            self.processes.popitem()[1].end()


def launch(plan: Plan) -> Launched:
    """Start listening and start every process of a plan.

    Raises:
        DescriptorLimitError: the dataflow needs more descriptors than are allowed.
        DoraError: the daemon cannot listen.
    """
    edges = edges_of(plan)
    limits.provide(plan, edges)
    dataflow_id = new_dataflow_id()
    address = endpoint.address_of(dataflow_id)
    starter = Starter(dataflow_id, address)
    try:
        listener = endpoint.Listener(address)
    except OSError as exc:
        raise DoraError(
            f"cannot listen at `{address}`: {_reason(exc)}; `DORA_RUNTIME_DIR` names another "
            "folder for such sockets, `ulimit -n` says how many files a process may open"
        ) from exc
    launched = Launched(dataflow_id, plan, listener, starter, time.monotonic())
    for node in plan.nodes:
        if node.command is None:
            continue
        if node.by_hand:
            own = starter.environment(node, 0)
            launched.by_hand[node.id] = _command_line(node.command, own)
            continue
        try:
            launched.processes[node.id] = starter.start(node, 0)
        except SpawnError as exc:
            launched.errors[node.id] = str(exc)
    return launched


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _command_line(command: Command, env: Mapping[str, str]) -> str:
    """A node's command as a line for a shell, which any folder and environment will do for."""
    assignments = [f"{name}={shlex.quote(value)}" for name, value in env.items()]
    start = " ".join(["env", *assignments, shlex.join(command.argv)])
    return f"cd {shlex.quote(str(command.cwd))} && {start}"


def new_dataflow_id() -> str:
    """A UUID of version 7: later ones sort behind earlier ones."""
    raw = bytearray((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))
    raw[6] = (raw[6] & 0x0F) | 0x70
    raw[8] = (raw[8] & 0x3F) | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

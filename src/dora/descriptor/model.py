"""What a dataflow file may say: every key, its type, its default, one sentence for editors.

The one source of the JSON Schema (`dora schema`) and of the check of shapes. msgspec rather than
pydantic: `dora run` waits for these imports before it spawns a node (6 ms against 72 ms). No `from
__future__ import annotations`: evaluating them one by one would cost 10 ms more.

Read by `descriptor.shape`, which fills the structs even from a file with mistakes: what is missing
or wrong stands at its default or empty, and the report says so.
Elsewhere: which keys are obeyed in this release (`descriptor.support`).
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Level = Literal["error", "warn", "info", "debug", "trace", "stdout"]
QueuePolicy = Literal["drop_oldest", "backpressure"]
RestartPolicyName = Literal["never", "on-failure", "always"]
Pattern = Literal["service-server", "service-client", "action-server", "action-client"]
Framing = Literal["raw", "arrow-ipc"]
EnvValue = bool | int | float | str
TYPE_PATTERN = (
    r"^\s*(List\s*<.+>|[A-Za-z_][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)*(\s*\[[^\[\]]+\])?)\s*$"
)
"""What every type matches, for editors; not all that matches it is a type."""

Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
TypeText = Annotated[str, Meta(extra_json_schema={"pattern": TYPE_PATTERN})]
"""`std/media/v1/Image`, `Image[uint8, (H, W, 3)]`, `List<Float32>`; see `docs/types.md`."""


def _says(description: str) -> Meta:
    return Meta(description=description)


class InputEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The long form of an input."""

    source: Annotated[
        str, _says("`node/output`, `dora/timer/millis/100`, `dora/timer/hz/30` or `dora/logs`")
    ]
    queue_size: Annotated[
        Count | None, _says("How many messages may wait; 10 when not given, 0 behaves as 1")
    ] = None
    queue_policy: Annotated[
        QueuePolicy | None,
        _says("When the queue is full: drop the oldest message, or make the sender wait"),
    ] = None
    receive_as: Annotated[
        Literal["arrow"] | None,
        _says("NumPy arrays arrive as flat Arrow arrays, for nodes written for dora-rs"),
    ] = None
    input_timeout: Annotated[
        Seconds | None, _says("Close the input after so many seconds without a message")
    ] = None


class DebugEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Switches of dora-rs; looking into a dataflow needs none of them here."""

    enable_debug_inspection: Annotated[bool | None, _says("Accepted; always on")] = None


class PythonSource(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The long form of an operator's `python`."""

    source: Annotated[str, _says("The Python file that holds `class Operator`")]
    conda_env: Annotated[str | None, _says("The conda environment that the process runs in")] = None


class OperatorEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One operator: a class in a Python file, in one process with the others of its node."""

    id: Annotated[str | None, _says("Letters, digits, `_`, `-` and `.`; `op` when it is alone")] = (
        None
    )
    name: Annotated[str | None, _says("For people")] = None
    description: Annotated[str | None, _says("For people")] = None
    python: Annotated[
        str | PythonSource | None, _says("The Python file that holds `class Operator`")
    ] = None
    shared_library: Annotated[Any, _says("Not supported: operators are Python files here")] = (
        msgspec.field(name="shared-library", default=None)
    )
    wasm: Annotated[Any, _says("Not supported: operators are Python files here")] = None
    build: Annotated[str | None, _says("Commands to run before, one a line, without a shell")] = (
        None
    )
    inputs: Annotated[dict[str, str | InputEntry], _says("Input id: where it reads from")] = {}
    outputs: Annotated[list[str], _says("Ids of what the operator sends")] = []
    send_stdout_as: Annotated[
        str | None, _says("An output that carries what the process prints, line by line")
    ] = None
    send_logs_as: Annotated[
        str | None, _says("An output that carries the log records of the process")
    ] = None
    min_log_level: Annotated[Level | None, _says("Drop what is less severe, at the source")] = None
    max_log_size: Annotated[
        str | int | None, _says("Start a new log file at this size: `50MB`, `1GB`, or bytes")
    ] = None
    max_rotated_files: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None, _says("How many old log files are kept")
    ] = None
    input_types: Annotated[dict[str, TypeText], _says("Input id: type")] = {}
    output_types: Annotated[dict[str, TypeText], _says("Output id: type")] = {}
    output_metadata: Annotated[dict[str, list[str]], _says("Output id: metadata keys")] = {}
    output_framing: Annotated[dict[str, Framing], _says("Accepted; has no effect")] = {}
    pattern: Annotated[Pattern | None, _says("The part the operator plays in a pattern")] = None


class NodeEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One node: one process, or a module that stands for several."""

    id: Annotated[str, _says("Letters, digits, `_`, `-` and `.`; unique in the dataflow")]
    name: Annotated[str | None, _says("For people")] = None
    description: Annotated[str | None, _says("For people")] = None
    path: Annotated[
        str | None,
        _says(
            "A Python file, an executable (relative to this file, beside the interpreter, or on "
            "PATH), `dynamic` (somebody else starts it), or `shell` (`args` is a command line)"
        ),
    ] = None
    path_sha256: Annotated[str | None, _says("Hash of a downloaded `path`")] = None
    args: Annotated[
        str | None, _says("Arguments, split into words as a shell does, without a shell")
    ] = None
    env: Annotated[
        dict[str, EnvValue],
        _says("Environment variables; `$VAR`, `${VAR}` and `${VAR:-default}` are expanded"),
    ] = {}
    build: Annotated[str | None, _says("Commands to run before, one a line, without a shell")] = (
        None
    )
    python: Annotated[
        str | None,
        _says(
            "The Python that runs and builds the node, when not dora's own: a virtual environment "
            "(`.venv`), an interpreter, or `conda:NAME`"
        ),
    ] = None
    inputs: Annotated[dict[str, str | InputEntry], _says("Input id: where it reads from")] = {}
    outputs: Annotated[
        list[str],
        _says("Ids of what the node sends: letters, digits, `_`, `-`, `.`, and `/` between parts"),
    ] = []
    operator: Annotated[OperatorEntry | None, _says("An operator, in place of `path`")] = None
    operators: Annotated[
        list[OperatorEntry] | None, _says("Several operators that share one process")
    ] = None
    ros2: Annotated[dict[str, Any] | None, _says("A bridge to ROS 2")] = None
    module: Annotated[
        str | None,
        _says("A module file, relative to this file: its nodes stand in place of this one"),
    ] = None
    params: Annotated[
        dict[str, EnvValue] | None,
        _says("Values for `module`: `$PARAM_KEY` and `${_param.key}` in it, and variables"),
    ] = None
    hub: Annotated[str | None, _says("A node of the hub, `name@version`")] = None
    git: Annotated[str | None, _says("A repository to clone")] = None
    branch: Annotated[str | None, _says("Branch of `git`")] = None
    tag: Annotated[str | None, _says("Tag of `git`")] = None
    rev: Annotated[str | None, _says("Commit of `git`")] = None
    restart_policy: Annotated[
        RestartPolicyName | None, _says("When a node that exited is started again")
    ] = None
    max_restarts: Annotated[Count | None, _says("At most so many in the window; 0: no limit")] = (
        None
    )
    restart_delay: Annotated[Seconds | None, _says("Seconds before a restart; doubles")] = None
    max_restart_delay: Annotated[Seconds | None, _says("The longest delay, in seconds")] = None
    restart_window: Annotated[Seconds | None, _says("Seconds until restarts are forgotten")] = None
    health_check_timeout: Annotated[
        Seconds | None, _says("Kill a node that shows no life for longer, in seconds; 0: never")
    ] = None
    finish_grace_secs: Annotated[
        Seconds | None, _says("Seconds a node may live on when all that feeds it is done; 120")
    ] = None
    startup_timeout: Annotated[
        Seconds | None, _says("Seconds a node may take to connect; 0: as long as it likes")
    ] = None
    cpu_affinity: Annotated[list[Count], _says("Numbers of the CPU cores the node may use")] = []
    memory_limit: Annotated[
        str | int | None, _says("The most memory the node may take: `2GB`, `500MB`, or bytes")
    ] = None
    nice: Annotated[
        Annotated[int, Meta(ge=-20, le=19)] | None,
        _says("Its claim to CPU time, from -20 (most) to 19; below 0 needs the right to it"),
    ] = None
    send_stdout_as: Annotated[
        str | None, _says("An output that carries what the node prints, line by line")
    ] = None
    send_logs_as: Annotated[str | None, _says("An output that carries the node's log records")] = (
        None
    )
    min_log_level: Annotated[Level | None, _says("Drop what is less severe, at the source")] = None
    max_log_size: Annotated[
        str | int | None, _says("Start a new log file at this size: `50MB`, `1GB`, or bytes")
    ] = None
    max_rotated_files: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None, _says("How many old log files are kept")
    ] = None
    shared_memory_pool_size: Annotated[
        str | int | None, _says("Accepted; shared memory grows as needed")
    ] = None
    input_types: Annotated[dict[str, TypeText], _says("Input id: type")] = {}
    output_types: Annotated[dict[str, TypeText], _says("Output id: type")] = {}
    output_metadata: Annotated[dict[str, list[str]], _says("Output id: metadata keys")] = {}
    output_framing: Annotated[dict[str, Framing], _says("Accepted; has no effect")] = {}
    pattern: Annotated[Pattern | None, _says("The part the node plays in a pattern")] = None
    deploy: Annotated[dict[str, Any] | None, _says("The machine the node runs on")] = None


class TypeRule(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Outputs of one type may be wired to inputs of another."""

    source: Annotated[TypeText, _says("The type of the output")] = msgspec.field(name="from")
    target: Annotated[TypeText, _says("The type of the input")] = msgspec.field(name="to")


class Dataflow(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A dataflow: nodes, and what is wired to what."""

    nodes: Annotated[list[NodeEntry], _says("The nodes, in any order")]
    env: Annotated[
        dict[str, EnvValue], _says("Environment variables of every node; a node's own win")
    ] = {}
    deploy: Annotated[dict[str, Any] | None, _says("The machine the nodes run on")] = None
    debug: Annotated[DebugEntry | None, _says("Switches of dora-rs")] = None
    health_check_interval: Annotated[
        Annotated[float, Meta(gt=0)] | None, _says("Seconds between health checks; 5")
    ] = None
    strict_types: Annotated[bool | None, _says("Type warnings are errors")] = None
    type_rules: Annotated[list[TypeRule], _says("Which type may flow into which, besides")] = []
    exit_when_nodes_finish: Annotated[
        bool | None, _says("Timers do not keep a node running when all that feeds it is done")
    ] = None


class ModuleHeader(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The ports of a module."""

    name: Annotated[str, _says("For people, and in messages")]
    inputs: Annotated[
        list[str], _says("What every use must wire; nodes of the module read `_mod/<input>`")
    ] = []
    inputs_optional: Annotated[
        list[str], _says("What a use may leave out; then the inputs that read it are left out")
    ] = []
    outputs: Annotated[
        list[str], _says("Outputs of nodes of the module that others may read, by their id")
    ] = []


class ModuleFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A part of a dataflow in a file of its own, used by `module:` of a node."""

    module: Annotated[ModuleHeader, _says("The ports of the module")]
    nodes: Annotated[list[NodeEntry], _says("The nodes, in any order")]
    build: Annotated[str | None, _says("Commands to run before those of each node")] = None


def json_schema(*, module: bool = False) -> dict[str, Any]:
    """The JSON Schema of a dataflow file, or of a module file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dora module" if module else "dora dataflow",
        **msgspec.json.schema(ModuleFile if module else Dataflow),
    }

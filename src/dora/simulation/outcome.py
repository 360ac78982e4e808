"""What came of a simulation: messages with their times, lines, failures.

Made by `simulation.running`, read by tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from dora.errors import SimulationError
from dora.ids import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Message(msgspec.Struct, frozen=True):
    """A message that a node sent."""

    id: str
    """The output; of a dataflow `node/output`."""
    value: Any
    """As a receiver gets it: NumPy with its shape, else Arrow; read-only."""
    metadata: dict[str, Any]
    """The sender's, with `timestamp` and `type_info`."""
    time_s: float
    """When it was sent: seconds of virtual time."""


class Outputs(dict[str, list[Any]]):
    """The values sent on each output, in order; asking for another output names those there are."""

    def __missing__(self, output: str) -> list[Any]:
        near = suggest(output, self)
        hint = f"; did you mean `{near}`?" if near else f"; sent on: {', '.join(self) or 'none'}"
        raise KeyError(f"nothing was sent on `{output}`{hint}")


class Outcome:
    """What every run has.

    Args:
        sent: The messages, in order.
        outputs: Outputs of which it is known that they are there.
        dropped: How many messages each input lost because its queue was full.
        time_s: When it ended, in seconds of virtual time.
    """

    def __init__(
        self,
        sent: list[Message],
        outputs: Iterable[str],
        dropped: dict[str, int],
        time_s: float,
    ) -> None:
        self.sent = sent
        self.outputs = Outputs({output: [] for output in outputs})
        for message in sent:
            self.outputs.setdefault(message.id, []).append(message.value)
        self.dropped = dropped
        self.time_s = time_s

    def messages(self, output: str) -> list[Message]:
        """The messages on one output, in order."""
        return [message for message in self.sent if message.id == output]


class NodeRun(Outcome):
    """A node's run: what it sent, said, and how it ended."""

    def __init__(
        self,
        sent: list[Message],
        outputs: Iterable[str],
        dropped: dict[str, int],
        time_s: float,
        *,
        stdout: str,
        stderr: str,
        failure: str | None,
    ) -> None:
        super().__init__(sent, outputs, dropped, time_s)
        self.stdout = "".join(
            line for line in stdout.splitlines(keepends=True) if _log_entry(line) is None
        )
        """What it printed, without its log lines."""
        entries = map(_log_entry, stdout.splitlines())
        self.logs = [entry for entry in entries if entry is not None]
        """Its log lines: dicts with `level`, `message`, `target` and `fields`."""
        self.stderr = stderr
        self.failure = failure
        """How it failed, in a few words; None when it ended well."""


class DataflowRun(Outcome):
    """A dataflow's run. `outputs` are named `node/output`."""

    def __init__(
        self,
        sent: list[Message],
        outputs: Iterable[str],
        dropped: dict[str, int],
        time_s: float,
        nodes: dict[str, NodeRun],
    ) -> None:
        super().__init__(sent, outputs, dropped, time_s)
        self.nodes = nodes
        """Each node's own run, with its outputs under their plain names."""


class Ended(Protocol):
    """A node whose process has ended."""

    @property
    def failure(self) -> str | None:
        """How it failed, in a few words; None when it ended well."""

    @property
    def stderr(self) -> str:
        """What it wrote there."""


def check_ends(nodes: Mapping[str, Ended], leftovers: list[str]) -> None:
    """Refuse a run in which a node failed, or left processes behind.

    Raises:
        SimulationError: with each failed node's traceback.
    """
    complaints = [_complaint(node, run) for node, run in nodes.items() if run.failure is not None]
    if leftovers:
        complaints.append("processes were left behind, and ended: " + ", ".join(leftovers))
    if complaints:
        raise SimulationError("\n\n".join(complaints))


def _complaint(node: str, run: Ended) -> str:
    """How a node failed, and what to do about it."""
    from dora.daemon.hints import hint

    stderr = run.stderr.strip()
    advice = hint(node, stderr.splitlines())
    mend = f"\n  mend: {advice}" if advice else ""
    return f"node `{node}` {run.failure}:\n{stderr or '(it wrote nothing to stderr)'}{mend}"


def _log_entry(line: str) -> dict[str, Any] | None:
    """A line of the node's log, in the shape of `MockNode.logs`; None for any other."""
    if not line.startswith('{"'):
        return None
    try:
        given = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    if not isinstance(given, dict) or "level" not in given or "timestamp" not in given:
        return None
    fields = given.get("fields") or {}
    return {
        "level": str(given["level"]).lower(),
        "message": given.get("message", fields.get("message")),
        "target": given.get("target"),
        "fields": fields,
    }

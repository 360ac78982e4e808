"""How the end of a node and of a dataflow is told to the user. Pure: values in, text out."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import msgspec

from dora.daemon.hints import hint

if TYPE_CHECKING:
    from collections.abc import Iterable

_RULE = "-" * 81
_TAIL_LINES = 10
KILLED_BY_DORA = (
    "node was killed by dora because it didn't react to a stop message in time (SIGKILL)"
)


KILLED_AT_ONCE = "was killed by dora at once, as asked (SIGKILL)"


class NodeFailure(msgspec.Struct, frozen=True):
    """One node that failed."""

    node: str
    cause: str
    """Such as "exited with code 1"."""
    pid: int | None = None
    after_s: float | None = None
    stderr: tuple[str, ...] = ()
    """The last lines it wrote there, as much as was kept."""

    def __str__(self) -> str:
        lines = [f"Node `{self.node}` failed: {self.cause}"]
        tail = telling_lines(self.stderr)
        if tail:
            lines[0] += " with stderr output:"
            lines += [_RULE, *tail, _RULE]
        if advice := hint(self.node, tail):
            lines.append(f"  mend: {advice}")
        if self.after_s is not None:
            lines.append(f"(pid {self.pid}, after {self.after_s:.1f} s)")
        return "\n".join(lines)

    @property
    def brief(self) -> str:
        """The cause and, where there is one, the last line of stderr."""
        last = next((line for line in reversed(self.stderr) if line.strip()), None)
        return f"{self.cause}: {last.strip()}" if last else self.cause


class Outcome(msgspec.Struct, frozen=True):
    """How a dataflow ended."""

    dataflow_id: str
    nodes: int
    """How many were spawned."""
    duration_s: float
    failures: tuple[NodeFailure, ...] = ()
    messages: int = 0
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    """Messages dropped, by input (`node/input`); only inputs that lost any."""
    never_joined: tuple[str, ...] = ()
    """Nodes that the start still waited for when the time of the dataflow was over."""

    @property
    def ok(self) -> bool:
        """Whether the dataflow started and every node had success."""
        return not self.failures and not self.never_joined


def exit_text(returncode: int) -> str:
    """How a process ended, in words."""
    if returncode >= 0:
        return f"exited with code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"number {-returncode}"
    return f"exited because of signal {name}"


def telling_lines(stderr: tuple[str, ...]) -> tuple[str, ...]:
    """The lines of stderr that tell why: from the last traceback or error on, else the last ten."""
    for start in range(len(stderr) - 1, -1, -1):
        if stderr[start].startswith(("Traceback", "Error:")):
            return stderr[start:]
    return stderr[-_TAIL_LINES:]


def failure_text(outcome: Outcome) -> str:
    """What is told about a dataflow that failed."""
    parts = [str(failure) for failure in outcome.failures]
    if outcome.never_joined:
        parts.append(
            f"It never started: {listed(outcome.never_joined)} had not called `Node()` when it was "
            "stopped"
        )
    return "Dataflow failed:\n" + "\n\n".join(parts)


def summary_text(outcome: Outcome) -> str:
    """The last line of a run: nodes, run time, messages, drops."""
    nodes = "1 node" if outcome.nodes == 1 else f"{outcome.nodes} nodes"
    if outcome.failures:
        nodes += f", {len(outcome.failures)} failed"
    messages = "1 message" if outcome.messages == 1 else f"{outcome.messages:,} messages"
    lost = sum(outcome.dropped.values())
    if lost:
        worst = sorted(outcome.dropped.items(), key=lambda item: -item[1])
        named = ", ".join(f"`{target}` {count:,}" for target, count in worst[:5])
        if len(worst) > 5:
            named += f", {len(worst) - 5} more inputs"
        drops = f"{lost:,} dropped ({named})"
    else:
        drops = "no drops"
    return f"{nodes}, {duration_text(outcome.duration_s)}, {messages}, {drops}"


def duration_text(seconds: float) -> str:
    """A duration as one reads it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min {rest} s" if hours else f"{minutes} min {rest} s"


def listed(names: Iterable[str]) -> str:
    """Ids as one reads them."""
    return ", ".join(f"`{name}`" for name in names)

"""A recording and a dataflow → the plan of a replay, with replay nodes in place of the originals.

The dataflow is the one that was recorded, whose text is in the file; its paths are relative to the
folder where it lay. Another may be named: one with other consumers, or one for a recording that
came from elsewhere.

Used by `cli.replay`. Elsewhere: who is replaced (`recording.casting`), what a replay node does
(`recording.replay_node`), virtual time (`recording.virtual`).
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dora.descriptor.command import Surroundings
from dora.descriptor.flat_text import flat_text
from dora.descriptor.model import InputEntry
from dora.descriptor.planner import plan_flow
from dora.descriptor.reading import flatten
from dora.descriptor.report import Report
from dora.descriptor.source import dump, load, parse
from dora.errors import ReplayError
from dora.ids import OutputRef, parse_source
from dora.recording.casting import Cast, Role, cast, with_replays
from dora.recording.pace import Pace
from dora.recording.replay_node import Orders
from dora.recording.writer import About

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dora.descriptor.model import NodeEntry
    from dora.descriptor.plan import Plan
    from dora.descriptor.source import Source
    from dora.recording.message import RecordedMessage
    from dora.recording.reader import Recording

_NS = 10**9


class Wishes(msgspec.Struct, frozen=True):
    """What of a recording is to be replayed, and how."""

    speed: float = 1.0
    """0: as fast as receivers take it."""
    loop: bool = False
    start_s: float | None = None
    """Seconds from the beginning of the recording."""
    end_s: float | None = None
    replace: tuple[str, ...] | None = None
    remap: dict[str, str] = {}
    step: bool = False
    dataflow: Path | None = None


class Replay:
    """What will be replayed.

    Args:
        recording: The file, which stays open meanwhile.
        wishes: What of it, and how.

    Raises:
        ReplayError: it cannot be replayed so.
        DescriptorError: the dataflow has mistakes.
    """

    def __init__(self, recording: Recording, wishes: Wishes) -> None:
        self._recording = recording
        self._wishes = wishes
        topics = dict.fromkeys(topic.name for topic in recording.topics if topic.playable)
        if recording.topics and not topics:
            raise ReplayError(
                f"`{recording.path}` was not written by dora (but by `{recording.library}`); if it "
                "is a bag of ROS, make a recording of it: `dora mcap import`"
            )
        self._text, self.path = _dataflow(recording, wishes.dataflow)
        self._folder = self.path.resolve().parent
        self._roles = _roles(self._read(), self._folder)
        self.cast: Cast = cast(self._roles, topics, wishes.remap, wishes.replace)
        self.zero_ns, self._until_ns = self._window()

    def messages(self) -> Iterator[RecordedMessage]:
        """What will be sent, in recorded order; once, also in a loop."""
        return self._recording.messages(
            list(self.cast.topics), start_ns=self.zero_ns, end_ns=self._until_ns
        )

    @property
    def about(self) -> About:
        """What a recording of the nodes that run should say of the dataflow."""
        return About(
            name=self.path.stem,
            started_ns=self.zero_ns,
            file=str(self.path.resolve()),
            text=self._text.encode(),
            descriptor=msgspec.json.encode(self._read().value),
        )

    @property
    def warnings(self) -> list[str]:
        """What the user should know before, one line each."""
        told = []
        lost = {name: self._recording.losses.get(name, 0) for name in self.cast.topics}
        if any(lost.values()):
            named = ", ".join(f"{count:,} of `{name}`" for name, count in lost.items() if count)
            told.append(f"messages were lost when this was recorded: {named}")
        if self._recording.cut_off:
            told.append("the recording has no end: whoever wrote it was killed, or still writes")
        if self.cast.unplayed:
            named = ", ".join(f"`{topic}`" for topic in self.cast.unplayed)
            told.append(f"the dataflow has no such output, so it is not replayed: {named}")
        if self.cast.silent:
            named = ", ".join(f"`{output}`" for output in self.cast.silent)
            told.append(f"nothing is recorded of {named}, so whoever reads it waits in vain")
        if self.cast.idle:
            named = ", ".join(f"`{node}`" for node in self.cast.idle)
            told.append(f"only replaced nodes read from these, so they are not started: {named}")
        if self.cast.live:
            named = ", ".join(f"`{node}`" for node in self.cast.live)
            told.append(f"nothing is recorded of these, so they run themselves: {named}")
        return told

    def text(self) -> str:
        """The dataflow with the replay nodes in it, as a dataflow file for the same folder."""
        return dump(self._values(None))

    def plan(
        self,
        environ: Mapping[str, str],
        *,
        conductor: str | None = None,
        uv: bool = False,
        allow_shell: bool = False,
        before_build: bool = False,
        clones: Mapping[str, Path] | None = None,
    ) -> Plan:
        """What will be spawned and wired.

        Args:
            environ: The environment that variables refer to, and whose `PATH` is searched.
            conductor: The address of the command that directs the replay nodes.
            uv: Run Python files by `uv run`.
            allow_shell: Allow `path: shell`.
            before_build: A missing file of a node that has `build` is no mistake yet.
            clones: Where the build has put the repositories of nodes, by node id.

        Raises:
            DescriptorError: the dataflow has mistakes.
        """
        values = self._values(conductor)
        if self.cast.idle:  # places are those of the dataflow without them
            source = parse(str(self.path), dump(values))
        else:
            source = self._read()
            source.value = values
        flow, report = flatten(Report(source), self._folder)
        around = Surroundings(
            self._folder, environ, uv, allow_shell, before_build, clones=clones or {}
        )
        return plan_flow(flow, report, self.path, around)

    def _read(self) -> Source:
        return parse(str(self.path), self._text)

    def _values(self, conductor: str | None) -> dict[str, Any]:
        wishes, period_ns = self._wishes, self._period_ns()
        pace = Pace(wishes.speed, self.zero_ns, period_ns)
        file = str(self._recording.path.resolve())

        def command(node: str) -> dict[str, str]:
            plays = self.cast.parts[node]
            orders = Orders(file, plays, pace, self._until_ns, wishes.step, conductor)
            words = ["-m", "dora.recording.replay_node", *orders.words]
            return {"path": Path(sys.executable).name, "args": shlex.join(words)}

        flow = {**self._read().value, "exit_when_nodes_finish": True}
        return with_replays(flow, self.cast, self._roles, command, lossless=not wishes.speed)

    def _window(self) -> tuple[int, int | None]:
        """The recorded time at which the replay begins, and at which it ends if before the end."""
        wishes, recording = self._wishes, self._recording
        topics = list(self.cast.topics)
        first = next(recording.messages(), None)
        begin_ns = 0 if first is None else first.sent_ns
        start_ns = None if wishes.start_s is None else begin_ns + round(wishes.start_s * _NS)
        until_ns = None if wishes.end_s is None else begin_ns + round(wishes.end_s * _NS)
        if until_ns is not None and until_ns <= (start_ns or 0):
            raise ReplayError(
                f"`--end {wishes.end_s:g}` is not after `--start {wishes.start_s or 0:g}`"
            )
        first = next(recording.messages(topics, start_ns=start_ns, end_ns=until_ns), None)
        if first is None:
            named = ", ".join(f"`{topic}`" for topic in topics)
            length_s = (recording.end_ns - recording.start_ns) / _NS
            raise ReplayError(
                f"nothing is recorded of {named} in that time; the recording is {length_s:.3f} s "
                "long"
            )
        # From a start that was asked for, the gap before the first message belongs to the replay.
        return first.sent_ns if start_ns is None else start_ns, until_ns

    def _period_ns(self) -> int:
        """How long a round of a loop takes, so that the busiest output keeps its rate."""
        if not self._wishes.loop:
            return 0
        played = [topic for topic in self._recording.topics if topic.name in self.cast.topics]
        busiest = max(played, key=lambda topic: topic.messages)
        gap_ns = (busiest.last_ns - busiest.first_ns) // max(1, busiest.messages - 1)
        end_ns = max(topic.last_ns for topic in played)
        if self._until_ns is not None:
            end_ns = min(end_ns, self._until_ns)
        return max(1, end_ns - self.zero_ns + gap_ns)


def _dataflow(recording: Recording, given: Path | None) -> tuple[str, Path]:
    """The dataflow's text, without modules, and where its file lies or lay."""
    if given is not None:
        if _has_modules(load(given)):
            return flat_text(given), given
        return given.read_text("utf-8-sig"), given
    text, path = recording.dataflow_text, recording.descriptor_path
    if text is None or path is None:
        raise ReplayError(
            f"`{recording.path}` holds no dataflow; name one whose nodes have the recorded "
            "outputs: `--dataflow FLOW`"
        )
    if not path.parent.is_dir():
        raise ReplayError(
            f"the folder of the recorded dataflow is gone: `{path.parent}`; its nodes were there. "
            "Name the dataflow file where it is now: `--dataflow FLOW`"
        )
    if _has_modules(parse(str(path), text)):
        text = dump(recording.descriptor)
    return text, path


def _has_modules(source: Source) -> bool:
    nodes = source.value.get("nodes") if isinstance(source.value, dict) else None
    return any(isinstance(node, dict) and "module" in node for node in nodes or ())


def _roles(source: Source, folder: Path) -> list[Role]:
    """The nodes. What is wrong with them comes to light when the plan is made."""
    report = Report(source)
    flow, report = flatten(report, folder)
    if report.is_damaged("nodes"):
        report.raise_problems()
    return [Role(node.id, tuple(node.outputs), tuple(_reads(node))) for node in flow.nodes]


def _reads(node: NodeEntry) -> Iterator[str]:
    for given in node.inputs.values():
        text = given.source if isinstance(given, InputEntry) else given
        try:
            source = parse_source(text)
        except ValueError:
            continue  # told when the plan is made
        if isinstance(source, OutputRef):
            yield str(source)

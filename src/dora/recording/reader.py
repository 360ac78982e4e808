"""Reads recordings: what is in them, and every message as it was on the wire.

One file, or the parts of one that was split, given by their first or by their folder. MCAP files
that others wrote open too; their messages cannot be played, and say so.

Elsewhere: records of one file (`recording.mcap_file`), bytes to messages (`recording.format`).
"""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dora.errors import DoraError
from dora.ids import suggest
from dora.recording import format
from dora.recording.mcap_file import McapFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

    from dora.recording.mcap_file import Data
    from dora.recording.message import RecordedMessage


class RecordedTopic(msgspec.Struct, frozen=True):
    """All that one channel of a recording holds, over all its files."""

    name: str
    """The output, written `node/output`; in files of others whatever they wrote."""
    messages: int
    bytes: int | None
    """Of the messages as they stand in the file; None where finding out takes long."""
    kind: str
    """What viewers see: `image`, `boxes`, `numbers`, ..., or the encoding of a foreign channel."""
    schema: str
    type: str
    """The type of the first message, as text."""
    first_ns: int
    """When its first message was recorded, ns since the epoch; 0 if there is none."""
    last_ns: int
    playable: bool
    """Whether dora wrote it, so that its messages can be sent again."""


class Recording:
    """An open recording: a context manager; `close()` gives its files up.

    Args:
        path: A file, the first of several parts, or the folder of all parts.

    Raises:
        DoraError: it cannot be read, is no MCAP file, or is damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._files: list[McapFile] = []
        try:
            self._open()
            self._facts = [self._facts_of(file) for file in self._files]
        except BaseException:
            self.close()
            raise
        self._topics: list[RecordedTopic] | None = None

    @property
    def paths(self) -> list[Path]:
        """Its files, in order."""
        return [file.path for file in self._files]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self._files)

    @property
    def facts(self) -> dict[str, str]:
        """What dora wrote of the recording as a whole; empty in files of others."""
        return self._facts[-1]

    @property
    def cut_off(self) -> bool:
        """Whether a file has no end: its recorder was killed, or still writes."""
        return any(file.cut_off for file in self._files)

    @property
    def library(self) -> str:
        """What wrote it."""
        return str(self._files[0].header.library)

    @property
    def profile(self) -> str:
        """Who it is for, e.g. `ros2`; mostly empty."""
        return str(self._files[0].header.profile)

    @property
    def start_ns(self) -> int:
        """When the first message was recorded, ns since the epoch; 0 if there is none."""
        return min((topic.first_ns for topic in self.topics if topic.messages), default=0)

    @property
    def end_ns(self) -> int:
        """When the last message was recorded."""
        return max((topic.last_ns for topic in self.topics), default=0)

    @property
    def losses(self) -> dict[str, int]:
        """Messages that were sent and are not in the recording, by topic."""
        return _counts(self.facts.get("lost", ""))

    @property
    def dataflow_text(self) -> str | None:
        """The dataflow file as it was; None if there was none, or this is not dora's."""
        text = self.attachments.get("dataflow.yml")
        return None if text is None else text.decode("utf-8", "replace")

    @property
    def descriptor(self) -> dict[str, object] | None:
        """The dataflow, read and flat, as `node.dataflow_descriptor()` gives it.

        Raises:
            DoraError: it is damaged.
        """
        text = self.attachments.get("dataflow.json")
        try:
            return None if text is None else msgspec.json.decode(text, type=dict[str, object])
        except ValueError as exc:
            raise DoraError(f"`{self.path}` is damaged: its `dataflow.json`: {exc}") from exc

    @property
    def descriptor_path(self) -> Path | None:
        """Where the dataflow file was."""
        file = self.facts.get("file")
        return Path(file) if file else None

    @property
    def attachments(self) -> dict[str, bytes]:
        """What is attached, by name."""
        return self._files[0].attachments()

    @property
    def topics(self) -> list[RecordedTopic]:
        """What is in it, by name."""
        if self._topics is None:
            self._topics = self._find_topics()
        return self._topics

    def messages(
        self,
        topics: Iterable[str] | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> Iterator[RecordedMessage]:
        """Messages in the order in which they were sent, then recorded.

        Payloads are views of the file, read-only, valid as long as they are held.

        Args:
            topics: Only these; None: all that dora wrote.
            start_ns: None that was sent before, ns since the epoch.
            end_ns: None that was sent then or later.

        Raises:
            DoraError: there is no such topic, it was not written by dora, or a file is damaged.
        """
        wanted = self._chosen(topics)
        late_ns = self._late_ns()
        waiting: list[tuple[int, int, int, McapFile, Data]] = []
        newest = count = 0
        for file in self._files:
            ids = frozenset(i for i, one in file.channels.items() if one.topic in wanted)
            for data in file.messages(ids, start_ns or 0):
                newest = max(newest, data.publish_ns)
                count += 1
                if (start_ns is None or data.publish_ns >= start_ns) and (
                    end_ns is None or data.publish_ns < end_ns
                ):
                    heapq.heappush(waiting, (data.publish_ns, data.log_ns, count, file, data))
                while waiting and waiting[0][0] < newest - late_ns:
                    yield self._message(*heapq.heappop(waiting)[3:])
                if end_ns is not None and newest - late_ns > end_ns:
                    break
        while waiting:
            yield self._message(*heapq.heappop(waiting)[3:])

    def close(self) -> None:
        """Give the files up; twice is fine. Messages that were read stay valid."""
        for file in self._files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # ---- opening ----

    def _open(self) -> None:
        """Open all files, in the order of their parts."""
        if self.path.is_dir():
            paths = sorted(self.path.glob("*.mcap"))
            if not paths:
                raise DoraError(f"`{self.path}` has no `.mcap` file")
            for path in paths:
                self._files.append(McapFile(path))
            several = {self._facts_of(file).get("recording") for file in self._files}
            if len(self._files) > 1 and (len(several) > 1 or None in several):
                names = ", ".join(f"`{path.name}`" for path in paths[:5])
                raise DoraError(f"`{self.path}` holds several recordings; name one: {names}")
        else:
            self._files.append(McapFile(self.path))
            self._files += self._siblings(self._files[0])
        try:
            self._files.sort(key=lambda file: int(self._facts_of(file).get("part", "0")))
        except ValueError as exc:
            raise DoraError(f"`{self.path}` is damaged: which part it is: {exc}") from exc

    def _siblings(self, first: McapFile) -> list[McapFile]:
        """The other parts, if this is the first."""
        facts = self._facts_of(first)
        stem, underscore, number = self.path.stem.rpartition("_")
        if facts.get("part") != "0" or not underscore or not number.isdigit():
            return []
        found = []
        for path in sorted(self.path.parent.glob(f"*{self.path.suffix}")):
            other, underscore, number = path.stem.rpartition("_")
            if path.name == self.path.name or other != stem or not number.isdigit():
                continue
            file = McapFile(path)
            if self._facts_of(file).get("recording") == facts.get("recording"):
                found.append(file)
            else:
                file.close()
        return found

    @staticmethod
    def _facts_of(file: McapFile) -> dict[str, str]:
        """What dora wrote about a file, at its beginning and its end."""
        facts: dict[str, str] = {}
        for name in ("dora", "dora.totals"):
            for record in file.metadata(name):
                facts |= record
        return facts

    # ---- what is in it ----

    def _find_topics(self) -> list[RecordedTopic]:
        found: dict[tuple[str, str], RecordedTopic] = {}
        for file in self._files:
            told = _counts(self._facts_of(file).get("sizes", ""))
            sizes = {int(n): size for n, size in told.items() if n.isdecimal()} or file.sizes()
            counts = file.counts()
            for number, channel in file.channels.items():
                schema = file.schemas.get(channel.schema_id)
                name = "" if schema is None else schema.name
                encoding = channel.message_encoding
                first, last = file.times(number) or (0, 0)
                topic = RecordedTopic(
                    name=channel.topic,
                    messages=counts.get(number, 0),
                    bytes=None if sizes is None else sizes.get(number, 0),
                    kind=format.kind_of(name, encoding),
                    schema=name,
                    type=channel.metadata.get(format.TYPE_KEY, name),
                    first_ns=first,
                    last_ns=last,
                    playable=format.is_playable(name, encoding, channel.metadata),
                )
                key = (channel.topic, name)
                found[key] = _joined(found[key], topic) if key in found else topic
        return sorted(found.values(), key=lambda topic: (topic.name, topic.schema))

    def _chosen(self, topics: Iterable[str] | None) -> set[str]:
        """The topics to read."""
        playable: set[str] = set()
        foreign: set[str] = set()
        for file in self._files:
            for channel in file.channels.values():
                schema = file.schemas.get(channel.schema_id)
                name = "" if schema is None else schema.name
                plays = format.is_playable(name, channel.message_encoding, channel.metadata)
                (playable if plays else foreign).add(channel.topic)
        if topics is None:
            if foreign and not playable:
                raise DoraError(
                    f"`{self.path}` was not written by dora (but by `{self.library}`): its "
                    "messages cannot be sent again as they were"
                )
            return playable - foreign
        wanted = set(topics)
        for name in sorted(wanted - playable):
            if name in foreign:
                raise DoraError(f"topic `{name}` of `{self.path}` was not written by dora")
            near = suggest(name, playable)
            hint = f"did you mean `{near}`?" if near else f"topics: {', '.join(sorted(playable))}"
            raise DoraError(f"`{self.path}` has no topic `{name}`; {hint}")
        return wanted

    def _late_ns(self) -> int:
        """How much older than one in front of it a message may be."""
        if not self.cut_off and all(facts.get("late_ns", "").isdecimal() for facts in self._facts):
            return max(int(facts["late_ns"]) for facts in self._facts)
        newest = late = 0
        for file in self._files:
            for data in file.messages(None):
                newest = max(newest, data.publish_ns)
                late = max(late, newest - data.publish_ns)
        return late

    def _message(self, file: McapFile, data: Data) -> RecordedMessage:
        channel = file.channels[data.channel]
        try:
            return format.message_of(
                channel.topic,
                channel.message_encoding,
                data.data,
                data.publish_ns,
                data.log_ns,
                data.sequence,
            )
        except ValueError as exc:
            raise DoraError(
                f"a message of `{channel.topic}` in `{file.path}` is damaged: {exc}"
            ) from exc


def _joined(one: RecordedTopic, other: RecordedTopic) -> RecordedTopic:
    """One topic in two files."""
    if not other.messages:
        return one
    if not one.messages:
        return other
    known = one.bytes is not None and other.bytes is not None
    return msgspec.structs.replace(
        one,
        messages=one.messages + other.messages,
        bytes=(one.bytes or 0) + (other.bytes or 0) if known else None,
        first_ns=min(one.first_ns, other.first_ns),
        last_ns=max(one.last_ns, other.last_ns),
        playable=one.playable and other.playable,
    )


def _counts(text: str) -> dict[str, int]:
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, int])
    except msgspec.MsgspecError:
        return {}

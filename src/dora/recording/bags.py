"""Bags of ROS 1 and ROS 2 → recordings. The only module that knows `rosbags`; no ROS is needed.

A topic becomes an output: `/camera/color/image_raw` is `image_raw` of node `camera_color`, and what
has no namespace, as `/scan`, belongs to one node for the whole robot. Times are the bag's.

Elsewhere: what messages become (`recording.ros_values`), the file (`recording.writer`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from dora.errors import ReplayError
from dora.ids import is_node_id, is_port_id, suggest
from dora.recording.message import RecordedMessage
from dora.recording.ros_values import TYPES, values_of
from dora.transport.sender import materialise
from dora.wire import metadata as wire_metadata
from dora.wire.payload import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

_UNFIT = re.compile(r"[^A-Za-z0-9_.\-]+")
_INSTALL = "importing bags needs `rosbags`: pip install 'dora-py[import]'"


class BagTopic(msgspec.Struct, frozen=True):
    """A topic of a bag."""

    name: str
    kind: str
    messages: int
    output: str
    """What it becomes: `node/output`."""


def output_of(topic: str, robot: str = "robot") -> str:
    """The output that a topic becomes, unless another name is wished.

    Args:
        topic: Its name in the bag.
        robot: The node of topics without a namespace.
    """
    *spaces, name = [_UNFIT.sub("_", part) for part in topic.split("/") if part] or ["unnamed"]
    node = "_".join(spaces).lstrip(".") or robot
    return f"{node}/{name}"


class Bag:
    """A bag, opened. Use it with `with`.

    Args:
        path: A `.bag`, a folder with `metadata.yaml`, a `.db3` or an `.mcap`.
        robot: The node of topics without a namespace.
        names: Topics that are to become other outputs: `/scan` to `lidar/scan`.
        only: The topics to import; None: all.

    Raises:
        ReplayError: it is no bag, or a wish cannot be met.
    """

    def __init__(
        self,
        path: Path,
        robot: str = "robot",
        names: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        try:
            from rosbags.highlevel import AnyReader, AnyReaderError
            from rosbags.typesys import Stores, get_typestore
        except ImportError as exc:
            raise ReplayError(_INSTALL) from exc
        if not path.exists():
            raise ReplayError(f"`{path}` does not exist")
        try:
            store = get_typestore(Stores.ROS2_HUMBLE)
            self._reader: Any = AnyReader([_root(path)], default_typestore=store)
            self._reader.open()
        except (AnyReaderError, ValueError) as exc:
            raise ReplayError(f"`{path}` cannot be read as a bag: {exc}") from exc
        self.skipped: dict[str, str] = {}
        """Topics that could not be read, and why."""
        self._only = None if only is None else set(only)
        self._names = dict(names or {})
        self._robot = robot
        try:
            self.topics = self._topics()
        except BaseException:
            self._reader.close()
            raise

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def messages(self) -> Iterator[tuple[RecordedMessage, str]]:
        """All messages of the topics, in the order of the bag, each with the type it has here."""
        outputs = {topic.name: topic.output for topic in self.topics}
        wanted = [one for one in self._reader.connections if one.topic in outputs]
        fields = _fields_of(self._reader.typestore)
        for one in wanted:
            if one.msgtype not in self._reader.typestore.fielddefs:
                why = f"`{one.msgtype}` is defined neither in the bag nor by ROS 2"
                self.skipped[one.topic] = why
        for connection, time_ns, raw in self._reader.messages(connections=wanted):
            if connection.topic in self.skipped:
                continue
            try:
                given = self._reader.deserialize(raw, connection.msgtype)
            except Exception as exc:  # whatever its own generated code stumbles over
                self.skipped[connection.topic] = f"`{connection.msgtype}`: {exc}"
                continue
            try:
                for value, metadata in values_of(given, connection.msgtype, fields):
                    message = _recorded(outputs[connection.topic], value, metadata, time_ns)
                    yield message, TYPES.get(connection.msgtype, "")
            except ReplayError as exc:
                raise ReplayError(f"topic `{connection.topic}`: {exc}") from exc

    def _topics(self) -> list[BagTopic]:
        there = self._reader.topics
        for given in (*self._names, *(self._only or ())):
            if given not in there:
                near = suggest(given, there)
                hint = f"did you mean `{near}`?" if near else f"there are {', '.join(there)}"
                raise ReplayError(f"the bag has no topic `{given}`; {hint}")
        topics = [
            BagTopic(name, info.msgtype or "", info.msgcount, self._output(name))
            for name, info in there.items()
            if self._only is None or name in self._only
        ]
        taken: dict[str, str] = {}
        for topic in topics:
            if topic.output in taken:
                raise ReplayError(
                    f"`{taken[topic.output]}` and `{topic.name}` would both become "
                    f"`{topic.output}`; name one of them: `--name {topic.name}=node/output`"
                )
            taken[topic.output] = topic.name
        return topics

    def _output(self, topic: str) -> str:
        output = self._names.get(topic) or output_of(topic, self._robot)
        node, _, port = output.partition("/")
        if not (is_node_id(node) and is_port_id(port)):
            raise ReplayError(f"`{output}`, for topic `{topic}`, is not of the form `node/output`")
        return output


def _recorded(output: str, value: Any, metadata: dict[str, Any], time_ns: int) -> RecordedMessage:
    header, size, body = encode(value)
    payload = materialise(body, size)
    return RecordedMessage(
        output, header, payload, wire_metadata.encode(metadata), time_ns, time_ns
    )


def _root(path: Path) -> Path:
    """What `rosbags` calls a bag: for a file of ROS 2 with its `metadata.yaml`, the folder."""
    if path.suffix == ".db3" and (path.parent / "metadata.yaml").exists():
        return path.parent
    return path


def _fields_of(store: Any) -> Callable[[str], list[tuple[str, Any]]]:
    """Tells the fields of a message type: names, and types; a list holds the type of elements."""
    base, name = 1, 2

    def type_of(given: Any) -> Any:
        node, detail = given
        if int(node) == base:
            return detail[0]
        return detail if int(node) == name else [type_of(detail[0])]

    def fields(kind: str) -> list[tuple[str, Any]]:
        _, found = store.fielddefs[kind]
        return [(field, type_of(given)) for field, given in found]

    return fields

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dora.recording import format
from dora.recording.reader import Recording
from dora.recording.writer import About, RecordingWriter
from wire.test_arrow_values import nested
from wire.test_numpy_values import layouts

from .messages import SECOND, START, fields, message, same

if TYPE_CHECKING:
    from pathlib import Path

    from dora.recording.message import RecordedMessage

values = st.one_of(
    layouts(),
    nested(),
    st.binary(max_size=300),
    st.text(max_size=300),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.booleans(),
)
metadata = st.dictionaries(
    st.one_of(
        st.sampled_from(["encoding", "width", "height", "primitive", "format", "frame_id"]),
        st.text(max_size=8),
    ),
    st.one_of(
        st.sampled_from(["rgb8", "mono8", "jpeg", "h264", "image", "depth", "pose", "boxes2d"]),
        st.integers(0, 40),
        st.text(max_size=8),
        st.binary(max_size=8),
        st.none(),
        st.lists(st.floats(allow_nan=False), max_size=3),
    ),
    max_size=5,
)
declared = st.sampled_from(
    [
        "",
        "nonsense[",
        "std/core/v1/Float64",
        "std/media/v1/Image",
        "std/media/v1/Image[encoding=bgr8]",
        "std/media/v1/CompressedImage",
        "std/media/v1/PointCloud",
        "std/math/v1/Pose",
        "std/math/v1/Transform",
        "std/vision/v1/Detection",
        "List<std/vision/v1/BoundingBox>",
    ]
)


def through_entry(sent: RecordedMessage, kind: str) -> RecordedMessage:
    """The message after it stood in a file, without the file."""
    entry = format.entry_of(sent, kind)
    data = memoryview(b"".join(entry.parts))
    return format.message_of(
        sent.topic, entry.encoding, data, sent.sent_ns, sent.recorded_ns, sent.sequence
    )


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(value=values, facts=metadata, kind=declared)
def test_any_value_with_any_metadata_comes_back_byte_for_byte(
    value: Any, facts: dict[str, Any], kind: str
) -> None:
    sent = message("node/output", value, facts)
    assert same(through_entry(sent, kind), sent)


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(value=values)
def test_what_has_no_picture_is_a_stream_that_any_arrow_reader_opens(value: Any) -> None:
    sent = message("node/output", value)
    entry = format.entry_of(sent)
    if entry.encoding != format.ARROW:
        return
    raw = b"".join(entry.parts)
    batch = pa.ipc.open_stream(io.BytesIO(raw)).read_next_batch()
    assert batch.schema.names == ["value"]
    assert batch.validate(full=True) is None


@pytest.mark.parametrize(
    "value", [np.arange(6.0).reshape(2, 3), np.arange(24, dtype="i2").reshape(2, 3, 4)]
)
def test_a_matrix_is_a_tensor_for_arrow(value: np.ndarray[Any, Any]) -> None:
    raw = b"".join(format.entry_of(message("a/b", value)).parts)
    column = pa.ipc.open_stream(io.BytesIO(raw)).read_next_batch().column(0)
    assert column.type == pa.fixed_shape_tensor(pa.from_numpy_dtype(value.dtype), value.shape)
    assert (column.to_numpy_ndarray()[0] == value).all()


def test_a_large_payload_is_not_copied_on_its_way_into_a_chunk() -> None:
    sent = message("camera/image", np.zeros((720, 1280, 3), np.uint8))
    parts = format.entry_of(sent).parts
    (large,) = [part for part in parts if len(part) > 1 << 20]
    assert isinstance(large, memoryview)
    assert large.obj is sent.payload


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    sent=st.lists(
        st.tuples(st.sampled_from(["a/x", "a/y", "b/z"]), values, metadata, st.integers(0, 9)),
        max_size=12,
    ),
    compression=st.sampled_from(["none", "lz4", "zstd"]),
)
def test_a_file_gives_all_messages_in_the_order_in_which_they_were_sent(
    tmp_path_factory: pytest.TempPathFactory, sent: list[Any], compression: str
) -> None:
    path = tmp_path_factory.mktemp("recording") / "r.mcap"
    messages = [
        message(topic, value, facts, sent_ns=START + late, delay_ns=100 - late, sequence=number)
        for number, (topic, value, facts, late) in enumerate(sent)
    ]
    with RecordingWriter(path, compression=compression) as writer:
        for one in messages:
            writer.add(one)
    with Recording(path) as recording:
        read = list(recording.messages())
        counts = {topic.name: 0 for topic in recording.topics}
        for topic in recording.topics:
            counts[topic.name] += topic.messages
    expected = sorted(messages, key=lambda one: one.sent_ns)
    assert [fields(one) for one in read] == [fields(one) for one in expected]
    assert sum(counts.values()) == len(messages)


def test_a_value_comes_back_as_a_node_would_get_it(tmp_path: Path) -> None:
    image = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    with RecordingWriter(tmp_path / "r.mcap") as writer:
        writer.add(message("camera/image", image, {"frame": 7}))
        writer.add(message("detector/text", "grüße"))
    with Recording(tmp_path / "r.mcap") as recording:
        first, second = recording.messages()
    assert (first.value() == image).all()
    assert not first.value().flags.writeable
    assert first.metadata_dict() == {"frame": 7}
    assert first.type_text == "uint8[32, 32, 3]"
    assert second.value().to_pylist() == ["grüße"]


def test_what_was_recorded_says_where_it_comes_from(tmp_path: Path) -> None:
    about = About("0198-id", "vision", START, "/flows/vision.yml", b"nodes: []\n", b'{"nodes":[]}')
    with RecordingWriter(tmp_path / "r.mcap", about) as writer:
        writer.add(message("a/x", 1.5))
        writer.lose("a/x", 3)
    with Recording(tmp_path / "r.mcap") as recording:
        assert recording.dataflow_text == "nodes: []\n"
        assert recording.descriptor == {"nodes": []}
        assert str(recording.descriptor_path) == "/flows/vision.yml"
        assert recording.losses == {"a/x": 3}
        assert recording.facts["name"] == "vision"
        assert recording.facts["dataflow_id"] == "0198-id"
        assert not recording.cut_off


def test_a_part_of_a_recording_is_picked_by_topic_and_time(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "r.mcap") as writer:
        for second in range(10):
            for topic in ("a/x", "b/y"):
                writer.add(message(topic, second, sent_ns=START + second * SECOND))
            writer.flush()
    with Recording(tmp_path / "r.mcap") as recording:
        picked = recording.messages(["b/y"], START + 3 * SECOND, START + 6 * SECOND)
        assert [one.value().to_pylist() for one in picked] == [[3], [4], [5]]
        assert recording.start_ns == START + 1000
        assert recording.end_ns == START + 9 * SECOND + 1000

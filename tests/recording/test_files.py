from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dora.errors import DoraError
from dora.recording.reader import Recording
from dora.recording.writer import RecordingWriter

from .messages import START, message

if TYPE_CHECKING:
    from pathlib import Path

mcap_writer = pytest.importorskip("mcap.writer")


def split(folder: Path, count: int = 9) -> RecordingWriter:
    """A recording of several files."""
    writer = RecordingWriter(folder / "drive.mcap", split_bytes=200_000)
    for number in range(count):
        writer.add(message("a/x", np.full(90_000, number, np.int8), sent_ns=START + number))
        writer.add(message("b/y", number, sent_ns=START + number))
        writer.flush()
    writer.close()
    return writer


@pytest.mark.parametrize("name", [".", "drive_000.mcap"])
def test_a_split_recording_is_read_as_one_by_its_first_part_or_its_folder(
    tmp_path: Path, name: str
) -> None:
    writer = split(tmp_path)
    assert [path.name for path in writer.paths] == [f"drive_{n:03}.mcap" for n in range(3)]
    with Recording(tmp_path / name) as recording:
        assert recording.paths == writer.paths
        numbers = [one.value()[0] for one in recording.messages(["a/x"])]
        assert numbers == list(range(9))
        assert {topic.name: topic.messages for topic in recording.topics} == {"a/x": 9, "b/y": 9}
        assert recording.size == writer.written


def test_a_later_part_is_read_by_itself(tmp_path: Path) -> None:
    split(tmp_path)
    with Recording(tmp_path / "drive_001.mcap") as recording:
        assert [one.value()[0] for one in recording.messages(["a/x"])] == [3, 4, 5]


def test_a_folder_of_several_recordings_is_refused(tmp_path: Path) -> None:
    for name in ("one.mcap", "two.mcap"):
        RecordingWriter(tmp_path / name).close()
    with pytest.raises(DoraError, match=r"several recordings; name one: `one\.mcap`, `two\.mcap`"):
        Recording(tmp_path)


def test_a_file_that_is_there_is_replaced_only_when_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "r.mcap"
    path.write_text("precious")
    with pytest.raises(DoraError, match="is there already"):
        RecordingWriter(path)
    assert path.read_text() == "precious"
    RecordingWriter(path, force=True).close()
    assert Recording(path).topics == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DoraError, match="cannot be written: No such file or directory"):
        RecordingWriter(tmp_path / "no" / "r.mcap")


@pytest.mark.parametrize("compression", ["NONE", "LZ4", "ZSTD"])
@pytest.mark.parametrize("chunked", [True, False])
def test_files_of_others_tell_what_is_in_them_and_that_it_cannot_be_played(
    tmp_path: Path, compression: str, chunked: bool
) -> None:
    path = tmp_path / "foreign.mcap"
    with path.open("wb") as file:
        writer = mcap_writer.Writer(
            file,
            compression=mcap_writer.CompressionType[compression],
            use_chunking=chunked,
            chunk_size=500,
        )
        writer.start(profile="ros2", library="somebody")
        schema = writer.register_schema("std_msgs/String", "ros2msg", b"string data")
        channel = writer.register_channel("/chatter", "cdr", schema)
        for number in range(10):
            data = json.dumps({"data": "x" * 100}).encode()
            writer.add_message(channel, START + number, data, START + number)
        writer.finish()
    with Recording(path) as recording:
        (topic,) = recording.topics
        assert (topic.name, topic.messages, topic.schema) == ("/chatter", 10, "std_msgs/String")
        assert topic.kind == "cdr"
        assert (topic.first_ns, topic.last_ns) == (START, START + 9)
        assert topic.bytes == pytest.approx(10 * len(data), abs=200)
        assert not topic.playable
        assert recording.library == "somebody"
        assert recording.profile == "ros2"
        with pytest.raises(DoraError, match=r"was not written by dora \(but by `somebody`\)"):
            list(recording.messages())
        with pytest.raises(DoraError, match=r"topic `/chatter` of .* was not written by dora"):
            list(recording.messages(["/chatter"]))


def test_a_topic_that_is_not_there_is_told_with_what_was_meant(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "r.mcap") as writer:
        writer.add(message("camera/image", 1))
    with (
        Recording(tmp_path / "r.mcap") as recording,
        pytest.raises(DoraError, match="no topic `camra/image`; did you mean `camera/image`"),
    ):
        list(recording.messages(["camra/image"]))


def test_mcaps_own_reader_finds_every_message(tmp_path: Path) -> None:
    from mcap.reader import NonSeekingReader, make_reader

    path = tmp_path / "r.mcap"
    with RecordingWriter(path, compression="zstd") as writer:
        for number in range(50):
            writer.add(message("a/x", np.zeros(number, "f4"), sent_ns=START + number))
            if number % 10 == 9:
                writer.flush()
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        seen = [(channel.topic, one.publish_time) for _, channel, one in reader.iter_messages()]
        assert seen == [("a/x", START + number) for number in range(50)]
        assert [one.name for one in reader.iter_metadata()] == ["dora", "dora.totals"]
    with path.open("rb") as file:
        straight = NonSeekingReader(file, validate_crcs=True)
        assert len(list(straight.iter_messages(log_time_order=False))) == 50

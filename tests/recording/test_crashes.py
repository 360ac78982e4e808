from __future__ import annotations

import contextlib
import os
import re
import resource
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dora.errors import DoraError
from dora.recording.part import LIBRARY, RecordingFullError
from dora.recording.reader import Recording
from dora.recording.writer import CHUNK_BYTES, About, RecordingWriter

from .messages import START, fields, message

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dora.recording.message import RecordedMessage

CHUNKS, PER_CHUNK = 4, 5
HEADER_BYTES = 8 + 9 + 4 + 4 + len(LIBRARY)


def numbered(number: int) -> RecordedMessage:
    value = np.full(40, number, "i4") if number % 2 else f"text {number}"
    return message("abc"[number % 3] + "/out", value, sent_ns=START + number, sequence=number)


@pytest.fixture(scope="module", params=["none", "lz4", "zstd"])
def complete(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The bytes of a complete file, and where each of its chunks ends."""
    path = tmp_path_factory.mktemp("complete") / "r.mcap"
    ends = []
    with RecordingWriter(path, compression=request.param) as writer:
        for number in range(CHUNKS * PER_CHUNK):
            writer.add(numbered(number))
            if number % PER_CHUNK == PER_CHUNK - 1:
                writer.flush()
                ends.append(writer.written)
    return path.read_bytes(), ends


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(cut=st.floats(0, 1))
def test_a_file_cut_off_at_any_byte_opens_up_to_its_last_whole_chunk_or_says_why_not(
    complete: Any, tmp_path_factory: pytest.TempPathFactory, cut: float
) -> None:
    data, ends = complete
    size = int(cut * (len(data) - 1))
    path = tmp_path_factory.mktemp("cut") / "r.mcap"
    path.write_bytes(data[:size])
    whole = sum(end <= size for end in ends)
    if size < HEADER_BYTES:
        with pytest.raises(DoraError, match=re.escape(str(path))):
            Recording(path)
        return
    with Recording(path) as recording:
        assert recording.cut_off
        read = [fields(one) for one in recording.messages()]
        assert sum(topic.messages for topic in recording.topics) == len(read)
        assert sum(topic.bytes or 0 for topic in recording.topics) > 0 or not read
    assert read == [fields(numbered(number)) for number in range(whole * PER_CHUNK)]


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(place=st.floats(0, 1), new=st.binary(min_size=1, max_size=8))
def test_a_damaged_file_is_told_in_one_message_or_read(
    complete: Any, tmp_path_factory: pytest.TempPathFactory, place: float, new: bytes
) -> None:
    data, _ = complete
    at = int(place * (len(data) - 1))
    path = tmp_path_factory.mktemp("damaged") / "r.mcap"
    path.write_bytes(data[:at] + new + data[at + len(new) :])
    with contextlib.suppress(DoraError), Recording(path) as recording:
        list(recording.topics)
        list(recording.messages())


@pytest.mark.parametrize(
    ("written", "damaged"),
    [
        (b'{"nodes":', b'{"nodes"}'),
        (b"part\x01\0\0\x000", b"part\x01\0\0\x00x"),
        (b"late_ns\x01\0\0\x000", b"late_ns\x01\0\0\x00x"),
        (b'{"1": ', b'{"x": '),
    ],
)
def test_damage_to_what_is_told_of_a_recording_is_one_message_or_none(
    tmp_path: Path, written: bytes, damaged: bytes
) -> None:
    path = tmp_path / "r.mcap"
    with RecordingWriter(path, About(text=b"nodes: []", descriptor=b'{"nodes":[]}')) as writer:
        writer.add(message("a/x", 1))
    data = path.read_bytes()
    assert written in data
    path.write_bytes(data.replace(written, damaged))
    with contextlib.suppress(DoraError), Recording(path) as recording:
        assert [topic.name for topic in recording.topics] == ["a/x"]
        assert len(list(recording.messages())) == 1
        assert recording.descriptor


def test_a_message_that_is_cut_off_in_a_chunk_without_a_checksum_is_told(tmp_path: Path) -> None:
    path = tmp_path / "r.mcap"
    with RecordingWriter(path) as writer:
        writer.add(message("a/x", 1, sequence=77))
    data = path.read_bytes()
    at = data.index((77).to_bytes(4, "little")) - 11  # where the message's record begins
    crc = at - 4 - 8 - 4
    size = (10).to_bytes(8, "little")
    path.write_bytes(data[:crc] + bytes(4) + data[crc + 4 : at + 1] + size + data[at + 9 :])
    with Recording(path) as recording, pytest.raises(DoraError, match="a message without a head"):
        list(recording.messages())


def test_a_next_file_that_is_there_already_ends_a_split_and_all_lost_messages_are_counted(
    tmp_path: Path,
) -> None:
    (tmp_path / "r_001.mcap").write_bytes(b"someone's")
    writer = RecordingWriter(tmp_path / "r.mcap", split_bytes=1)
    writer.add(message("a/x", 1))
    writer.flush()
    with pytest.raises(DoraError, match=r"r_001\.mcap` is there already"):
        writer.add(message("a/x", 2))
    writer.add(message("a/x", 3))
    writer.close()
    assert (writer.messages, writer.lost) == (1, {"a/x": 2})
    assert (tmp_path / "r_001.mcap").read_bytes() == b"someone's"


def test_a_killed_recorder_leaves_all_chunks_that_were_written(tmp_path: Path) -> None:
    path = tmp_path / "r.mcap"
    child = os.fork()
    if not child:
        writer = RecordingWriter(path)
        image = np.zeros((512, 1024, 3), np.uint8)
        for number in range(8):
            writer.add(message("camera/image", image, sent_ns=START + number))
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    per_chunk = -(-CHUNK_BYTES // (512 * 1024 * 3))
    with Recording(path) as recording:
        assert recording.cut_off
        assert len(list(recording.messages())) == 8 // per_chunk * per_chunk


def test_no_message_waits_longer_than_a_second_for_its_chunk(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "r.mcap") as writer:
        assert writer.due_s is None
        writer.add(numbered(1))
        assert writer.due_s is not None
        assert 0 < writer.due_s <= 1
        before = writer.written
        writer.flush()
        assert writer.written > before
        assert writer.due_s is None


@pytest.fixture
def small_disk() -> Iterator[int]:
    """Files may have so many bytes and no more."""
    limit = 300_000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("spare", [0, 200, 1000, 60_000])
def test_a_full_disk_leaves_a_whole_file_and_tells_what_was_lost(
    tmp_path: Path, small_disk: int, spare: int
) -> None:
    path = tmp_path / "r.mcap"
    writer = RecordingWriter(path)
    for number in range(2):
        writer.add(message("a/x", np.zeros(100_000, np.int8), sequence=number))
        writer.flush()
    room = small_disk - writer.written
    writer.add(message("b/y", np.zeros(room - 2000 - spare, np.int8)))
    writer.flush()
    writer.add(message("a/x", np.zeros(100_000, np.int8)))
    with pytest.raises(RecordingFullError, match=r"r\.mcap` cannot grow: File too large"):
        writer.flush()
    writer.close()
    with Recording(path) as recording:
        assert not recording.cut_off
        read = len(list(recording.messages()))
        assert read == writer.messages
        assert recording.losses == writer.lost
    assert read >= 2
    assert sum(writer.lost.values()) > 0


def test_what_comes_after_the_disk_is_full_is_counted_as_lost(
    tmp_path: Path, small_disk: int
) -> None:
    writer = RecordingWriter(tmp_path / "r.mcap")
    writer.add(message("a/x", np.zeros(small_disk, np.int8)))
    with pytest.raises(RecordingFullError):
        writer.flush()
    writer.add(message("a/x", 1))
    writer.add(message("b/y", 1))
    writer.close()
    assert writer.lost == {"a/x": 2, "b/y": 1}
    with Recording(tmp_path / "r.mcap") as recording:
        assert recording.losses == {"a/x": 2, "b/y": 1}
        assert list(recording.messages()) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\x89MCAP0\r\n", "ends before its header"),
        (b"DORAREC\0" + bytes(40), "is no MCAP file"),
        (b"\x89PNG\r\n\x1a\n", "is no MCAP file"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "r.mcap"
    path.write_bytes(content)
    with pytest.raises(DoraError, match=told):
        Recording(path)

"""All of a log folder, or its end: order, filters, what disks and people do to files."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dora.ids import LOG_LEVELS
from dora.monitor import log_files
from dora.monitor.log_files import LogFiles
from dora.monitor.log_reading import records, tail
from dora.monitor.log_records import Record, Wanted, parse_time, read_line

from .log_folders import START_S, close, line, messages, opened, read_all, write

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 20),
        st.sampled_from(LOG_LEVELS),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.sampled_from(["", "\n", "garbage\n", "\x00\x00\n", '{"ts":1}\n', '{"ts":"x"\n']),
    ),
    max_size=40,
)
WANTED = st.builds(
    Wanted,
    st.none() | st.integers(0, 20).map(lambda ms: START_S + ms / 1000),
    st.none() | st.integers(0, 20).map(lambda ms: START_S + ms / 1000),
    st.sampled_from(LOG_LEVELS),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(LOG_LEVELS)),
    st.sampled_from(["", "", "1", "A", "garb"]),
)


@settings(deadline=None)  # files
@given(LINES, WANTED, st.integers(0, 50), st.sampled_from([None, 60, 400]), st.integers(1, 300))
def test_the_end_of_the_log_is_the_end_of_all_of_it(
    drawn: list[tuple[str, int, str, str, str]],
    wanted: Wanted,
    count: int,
    max_size: int | None,
    block: int,
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_files, "BLOCK_BYTES", block)
        folder = Path(name, "log")
        folder.mkdir()
        for node, at_ms, level, text, damage in sorted(drawn, key=lambda one: one[1]):
            write(folder, line(node, text, at_ms, level), max_size=max_size, rotated=100)
            with open(folder / f"log_{node}.jsonl", "a") as file:
                file.write(damage)
        found = read_all(folder, wanted)
        assert read_all(folder, wanted, count) == (found[-count:] if count else [])
        assert [record.time for record in found] == sorted(record.time for record in found)
        assert all(map(wanted.has, found))
        everything = read_all(folder)
        assert found == [record for record in everything if wanted.has(record)]
        for node in "abc":
            said = [text for one, _, _, text, _ in sorted(drawn, key=lambda d: d[1]) if one == node]
            assert [
                record.line.message
                for record in everything
                if record.line.node == node and record.line.timestamp
            ] == said


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(1, 20), st.integers(20, 200))
def test_backwards_are_the_same_lines(data: bytes, block: int, most: int) -> None:
    with tempfile.TemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_files, "BLOCK_BYTES", block)
        file.write(data)
        file.flush()
        forth = list(filter(None, log_files.forwards(file.fileno(), len(data))))
        back = list(filter(None, log_files.backwards(file.fileno(), len(data))))
        assert back[::-1] == forth == list(filter(None, data.split(b"\n")))
        patch.setattr(log_files, "MOST_LINE_BYTES", most)
        for cut in log_files.forwards, log_files.backwards:
            pieces = list(cut(file.fileno(), len(data)))
            assert max(map(len, pieces), default=0) <= most + 2 * block
            assert sum(map(len, pieces)) == len(data.replace(b"\n", b""))


@given(st.binary(max_size=100))
def test_no_line_can_do_harm(raw: bytes) -> None:
    time_s, said = read_line("a", raw)
    assert said.timestamp or time_s is None


def test_lines_of_nodes_come_in_the_order_of_their_time(tmp_path: Path) -> None:
    write(tmp_path, line("a", "1", 1), line("b", "2", 2), line("a", "3", 3), line("a", "2", 3))
    assert messages(read_all(tmp_path)) == ["1", "2", "3", "2"]


def test_rotated_files_are_read_oldest_first(tmp_path: Path) -> None:
    numbers = [str(number) for number in range(30)]
    write(tmp_path, *(line("a", number) for number in numbers), max_size=300, rotated=20)
    assert len(list(tmp_path.iterdir())) > 10
    assert messages(read_all(tmp_path)) == numbers
    assert messages(read_all(tmp_path, last=7)) == numbers[-7:]


def test_a_node_may_be_called_like_a_rotated_file(tmp_path: Path) -> None:
    numbers = [str(number) for number in range(30)]
    lines = [line(node, number) for number in numbers for node in ("arm.1", "arm", "arm.jsonl.1")]
    write(tmp_path, *lines, max_size=300, rotated=20)
    files = LogFiles(tmp_path, pytest.fail)
    assert files.nodes() == ["arm", "arm.1", "arm.jsonl.1"]
    assert sorted(messages(read_all(tmp_path))) == sorted(numbers * 3)


def test_files_that_dora_rs_or_an_earlier_dora_rotated_are_read_too(tmp_path: Path) -> None:
    numbers = [str(number) for number in range(30)]
    write(tmp_path, *(line("arm", number) for number in numbers[:20]), max_size=300, rotated=20)
    (tmp_path / "log_arm.jsonl").rename(tmp_path / "log_arm.jsonl.0")
    for file in tmp_path.iterdir():
        number = int(file.suffix[1:])
        file.rename(tmp_path / f"log_arm.{number + 1}.jsonl")
    write(tmp_path, *(line("arm", number) for number in numbers[20:]), max_size=300, rotated=20)
    write(tmp_path, line("arm.1000", "mine", -1))
    files = LogFiles(tmp_path, pytest.fail)
    assert files.nodes() == ["arm", "arm.1000"]
    assert messages(read_all(tmp_path)) == ["mine", *numbers]


def test_files_that_are_rotated_while_they_are_read_are_read_on(tmp_path: Path) -> None:
    write(tmp_path, *(line("a", str(number)) for number in range(9)), max_size=300, rotated=9)
    files = LogFiles(tmp_path, pytest.fail)
    parts = opened(files)
    found = records(files, parts, Wanted())
    said = [next(found).line.message]
    write(tmp_path, *(line("a", f"new {number}") for number in range(50)), max_size=300, rotated=1)
    assert said + messages(found) == [str(number) for number in range(9)]
    close(parts)


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    write(tmp_path, line("a", "whole"))
    with open(tmp_path / "log_a.jsonl", "a") as file:
        file.write('{"ts":"2026')
    files = LogFiles(tmp_path, pytest.fail)
    for whole, said in (False, ["whole"]), (True, ["whole", '{"ts":"2026']):
        parts = opened(files, whole=whole)
        assert messages(records(files, parts, Wanted())) == said
        assert messages(tail(files, parts, Wanted(), 9)) == said
        close(parts)


def _forbidden(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("make", [_forbidden, os.mkfifo, _loop])
def test_a_file_that_cannot_be_read_is_told_once_and_the_others_are_read(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    write(tmp_path, line("a", "there"))
    make(tmp_path / "log_b.jsonl")
    told: list[str] = []
    files = LogFiles(tmp_path, told.append)
    for _ in range(2):
        parts = opened(files)
        assert messages(records(files, parts, Wanted())) == ["there"]
        close(parts)
    assert len(told) == 1
    assert f"`{tmp_path / 'log_b.jsonl'}` cannot be read: " in told[0]


def test_the_end_of_a_large_file_is_found_without_reading_it(tmp_path: Path) -> None:
    with open(tmp_path / "log_a.jsonl", "wb") as file:
        file.truncate(1 << 36)
        file.seek(0, os.SEEK_END)
        file.write(b"\n")
    write(tmp_path, line("a", "first"), line("a", "last"))
    start = time.process_time()
    assert messages(read_all(tmp_path, last=2)) == ["first", "last"]
    assert time.process_time() - start < 5


def test_times_that_nodes_made_up_keep_their_lines_in_place(tmp_path: Path) -> None:
    write(tmp_path, line("a", "1", 1), line("a", "2", 2)._replace(timestamp="noon"))
    write(tmp_path, line("b", "3", 3))
    assert messages(read_all(tmp_path)) == ["1", "2", "3"]
    assert messages(read_all(tmp_path, last=2)) == ["2", "3"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.5+00:00", 1.5),
        ("1970-01-01T01:00:01.123456789+01:00", 1.123456),
        ("1970-01-01T00:00:01", 1.0),
        ("yesterday", None),
        ("", None),
        ("0001-01-01T00:00:00+23:00", -62135679600.0),
    ],
)
def test_timestamps_are_rfc_3339(text: str, seconds: float | None) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    ("pattern", "there"),
    [("OPEN", True), ("usb", True), ("camera", True), ("secret", False), ("closed", False)],
)
def test_words_are_sought_in_message_target_and_node(pattern: str, there: bool) -> None:
    _, said = read_line(
        "a",
        b'{"ts":"2026-01-01T00:00:00Z","level":"info","node":"Camera","msg":"Opened",'
        b'"target":"driver.usb","fields":{"k":"secret"}}',
    )
    assert Wanted(pattern=pattern).has(Record(0.0, said)) is there

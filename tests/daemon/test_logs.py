from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from dora.daemon.display import Display
from dora.daemon.logs import (
    MAX_LINE_BYTES,
    LineSplitter,
    LogFile,
    LogLine,
    StderrTail,
    decode_line,
    message_json,
    parse_line,
    passes,
)

if TYPE_CHECKING:
    from pathlib import Path

NOW = "2026-01-02T03:04:05.678Z"


def parse(text: str) -> LogLine:
    return parse_line("camera", "stdout", text, NOW)


@given(st.lists(st.binary(max_size=30)), st.lists(st.integers(0, 40)))
def test_lines_do_not_depend_on_how_the_bytes_arrive(lines: list[bytes], cuts: list[int]) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    stream = b"".join(line + b"\n" for line in lines) + b"rest"
    splitter, got, start = LineSplitter(), [], 0
    for cut in [*sorted(cuts), len(stream)]:
        got += splitter.feed(stream[start:cut] if cut > start else b"")
        start = max(start, cut)
    assert got == lines
    assert splitter.finish() == [b"rest"]
    assert splitter.finish() == []


def test_a_line_longer_than_a_megabyte_is_cut_and_nothing_of_it_is_lost() -> None:
    splitter, lines = LineSplitter(), []
    for _ in range(50):
        lines += splitter.feed(b"x" * 65536)
    lines += splitter.feed(b"\nnext\n")
    assert lines[-1] == b"next"
    assert b"".join(lines[:-1]) == b"x" * 65536 * 50
    assert max(map(len, lines)) <= MAX_LINE_BYTES


def test_what_is_not_utf8_is_replaced_and_a_carriage_return_at_the_end_goes() -> None:
    assert decode_line(b"caf\xe9 \xc3\xa9\r") == "caf� é"


def test_a_plain_line_has_the_level_stdout() -> None:
    assert parse("hello") == LogLine("camera", "stdout", "stdout", "hello", NOW)


def test_a_json_line_with_level_and_timestamp_is_structured() -> None:
    line = parse(
        '{"timestamp":"T","level":"warn","node_id":"camera","message":"hot","target":"lens",'
        '"fields":{"celsius":"80"}}'
    )
    assert line == LogLine(
        "camera", "stdout", "warn", "hot", "T", target="lens", fields={"celsius": "80"}
    )


def test_the_form_of_pythons_logging_is_structured_too() -> None:
    line = parse(
        '{"timestamp":"T","level":"INFO","fields":{"file":"a.py","line":7,"target":"lens",'
        '"message":"hot"},"target":"dora","span":{},"spans":[]}'
    )
    assert line == LogLine(
        "camera", "stdout", "info", "hot", "T", target="lens", file="a.py", line=7
    )


def test_other_json_is_a_plain_line() -> None:
    for text in (
        '{"a": 1}',
        "{}",
        "{x}",
        '{"level": 3, "timestamp": "T"}',
        "{" * 5000 + "}" * 5000,
    ):
        assert parse(text).level == "stdout"
        assert parse(text).message == text


@given(st.text())
def test_any_line_is_taken_and_its_json_forms_are_json(text: str) -> None:
    line = parse(text)
    assert json.loads(message_json(line, "id"))["message"] == line.message


def test_a_level_shows_itself_and_all_that_is_more_severe() -> None:
    assert passes("error", "warn")
    assert passes("warn", "warn")
    assert not passes("info", "warn")
    assert passes("stdout", "stdout")
    assert not passes("stdout", "trace")


def test_the_tail_of_stderr_is_bounded_in_lines_and_in_their_length() -> None:
    tail = StderrTail()
    for number in range(1000):
        tail.add(f"{number} " + "x" * 100_000)
    kept = tail.lines()
    assert len(kept) == 500
    assert kept[-1].startswith("999 ")
    assert max(map(len, kept)) <= 4096


def test_a_log_file_holds_one_json_object_for_each_line(tmp_path: Path) -> None:
    file = LogFile(tmp_path, "camera", None, 5)
    file.write([parse("one"), parse("two")])
    file.write([parse("three")])
    file.close()
    rows = [json.loads(row) for row in (tmp_path / "log_camera.jsonl").read_text().splitlines()]
    assert [row["msg"] for row in rows] == ["one", "two", "three"]
    assert rows[0] == {
        "ts": NOW,
        "level": "stdout",
        "node": "camera",
        "stream": "stdout",
        "msg": "one",
        "target": None,
        "fields": None,
    }


def test_a_full_log_file_is_rotated_and_the_oldest_one_goes(tmp_path: Path) -> None:
    file = LogFile(tmp_path, "camera", 400, 2)
    for number in range(20):
        file.write([parse(f"line {number}")])
    file.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["log_camera.jsonl", "log_camera.jsonl.1", "log_camera.jsonl.2"]
    assert all(path.stat().st_size <= 400 for path in tmp_path.iterdir())
    numbers = [
        int(json.loads(row)["msg"].split()[1])
        for name in ("log_camera.jsonl.2", "log_camera.jsonl.1", "log_camera.jsonl")
        for row in (tmp_path / name).read_text().splitlines()
    ]
    assert numbers == list(range(numbers[0], 20))


def display(log_format: str, level: str = "stdout", *, colour: bool = False) -> Display:
    return Display(log_format, level, {"noisy": "error"}, colour=colour, dataflow_id="id")


def test_pretty_pads_the_level_and_compact_does_not() -> None:
    line = LogLine("camera", "stdout", "info", "hello", NOW, target="lens")
    assert display("pretty").lines([line])[8:] == " INFO   camera: lens hello\n"
    assert display("compact").lines([line])[8:] == " INFO camera: lens hello\n"
    assert display("pretty").lines([parse("hi")])[8:] == " stdout camera: hi\n"
    assert display("compact").lines([parse("hi")])[8:] == " STDOUT camera: hi\n"
    assert display("pretty").notice("warn", "late")[8:] == " WARN   [dora]: late\n"


def test_json_is_one_object_a_line() -> None:
    (row,) = display("json").lines([parse("hi")]).splitlines()
    assert json.loads(row)["node_id"] == "camera"


def test_colour_is_there_only_when_asked_for() -> None:
    assert "\033[" not in display("pretty").lines([parse("hi")])
    assert "\033[" in display("pretty", colour=True).lines([parse("hi")])


def test_lines_below_the_level_of_their_node_are_not_shown() -> None:
    info = LogLine("noisy", "stdout", "info", "hello", NOW)
    assert display("pretty").lines([info]) == ""
    assert display("pretty", "warn").lines([parse("hi")]) == ""
    assert display("pretty", "info").lines([info._replace(node="camera")]) != ""

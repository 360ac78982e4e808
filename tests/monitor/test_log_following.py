"""What is added to a log folder: nothing twice, nothing lost, nothing before its end has come."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dora.daemon.logs import LogFile
from dora.monitor.log_files import LogFiles
from dora.monitor.log_following import Follower
from dora.monitor.log_reading import records
from dora.monitor.log_records import Wanted

from .log_folders import line, messages, opened, write

if TYPE_CHECKING:
    from collections.abc import Callable


def follow(folder: Path, complain: Callable[[str], None] = pytest.fail) -> Follower:
    """Follows what comes, all nodes."""
    return Follower(LogFiles(folder, complain), {}, None, complain)


@settings(deadline=None, max_examples=60)  # files
@given(
    st.lists(st.sampled_from(["read", "a", "b", "a", "burst"]), max_size=30),
    st.integers(0, 30),
    st.sampled_from([None, 250, 700]),
)
def test_what_was_there_and_what_came_is_what_was_written(
    acts: list[str], start: int, max_size: int | None
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs = {node: LogFile(folder, node, max_size, 1000) for node in "ab"}
        written: dict[str, list[str]] = {"a": [], "b": []}

        def act(what: str) -> None:
            for node in ("a", "a", "a", "b") if what == "burst" else what:
                text = str(len(written[node]))
                logs[node].write([line(node, text)])
                written[node].append(text)

        for one in acts[:start]:
            if one != "read":
                act(one)
        files = LogFiles(folder, pytest.fail)
        parts = opened(files, whole=False)
        with Follower(files, parts, None, pytest.fail) as follower:
            found = list(records(files, parts, Wanted()))
            for one in acts[start:]:
                if one == "read":
                    found += follower.read()
                else:
                    act(one)
            while new := follower.read():
                found += new
            assert not follower.finish()
        for log in logs.values():
            log.close()
        for node, texts in written.items():
            assert messages([one for one in found if one.line.node == node]) == texts


def test_a_half_written_line_waits_for_its_end(tmp_path: Path) -> None:
    write(tmp_path, line("a", "one"))
    raw = (tmp_path / "log_a.jsonl").read_bytes().replace(b"one", b"two")
    with follow(tmp_path) as follower, open(tmp_path / "log_a.jsonl", "ab", 0) as file:
        assert messages(follower.read()) == ["one"]
        for byte in raw[:-1]:
            file.write(bytes([byte]))
            assert not follower.read()
        file.write(b"\n")
        assert messages(follower.read()) == ["two"]
        file.write(b"the last wo")
        assert not follower.read()
        assert messages(follower.finish()) == ["the last wo"]


def test_folder_and_nodes_may_come_later(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    with follow(folder) as follower:
        assert not follower.read()
        write(folder, line("a", "first"))
        assert messages(follower.read()) == ["first"]
        write(folder, line("b", "new node", 1), line("a", "before it"))
        assert messages(follower.read()) == ["before it", "new node"]


def test_one_node_may_be_all_that_is_wanted(tmp_path: Path) -> None:
    with Follower(LogFiles(tmp_path, pytest.fail), {}, "b", pytest.fail) as follower:
        write(tmp_path, line("a", "no"), line("b", "yes"))
        assert messages(follower.read()) == ["yes"]


def test_lines_of_files_that_rotation_removed_unread_are_lost_and_no_others(tmp_path: Path) -> None:
    with follow(tmp_path) as follower:
        write(tmp_path, line("a", "0"), max_size=250, rotated=2)
        assert messages(follower.read()) == ["0"]
        write(tmp_path, *(line("a", str(n)) for n in range(1, 20)), max_size=250, rotated=2)
        found: list[str] = []
        while new := follower.read():
            found += messages(new)
        kept = sum(len(path.read_text().splitlines()) for path in tmp_path.iterdir())
        held = ["1"]  # in the file that was open all the time
        assert found == held + [str(n) for n in range(20 - kept, 20)]


def test_an_emptied_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    write(tmp_path, line("a", "a long one, to be forgotten"))
    with follow(tmp_path) as follower:
        assert messages(follower.read()) == ["a long one, to be forgotten"]
        os.truncate(tmp_path / "log_a.jsonl", 0)
        assert not follower.read()
        write(tmp_path, line("a", "anew"))
        assert messages(follower.read()) == ["anew"]


def test_a_removed_folder_is_told_once_and_open_files_are_followed_on(tmp_path: Path) -> None:
    told: list[str] = []
    folder = tmp_path / "logs"
    folder.mkdir()
    log = LogFile(folder, "a", None, 5)
    log.write([line("a", "before")])
    with follow(folder, told.append) as follower:
        assert messages(follower.read()) == ["before"]
        shutil.rmtree(folder)
        log.write([line("a", "after")])
        assert messages(follower.read()) == ["after"]
        assert not follower.read()
    log.close()
    assert len(told) == 1
    assert f"the folder `{folder}` was removed" in told[0]


def test_a_flood_of_one_node_does_not_hold_up_the_others(tmp_path: Path) -> None:
    flood = "x" * 100_000
    write(tmp_path, *(line("a", flood, n) for n in range(20)), line("b", "calm"))
    with follow(tmp_path) as follower:
        first = follower.read()
        assert "calm" in messages(first)
        assert len(first) < 21
        while new := follower.read():
            first += new
        assert len(first) == 21


def test_nothing_is_lost_while_another_writes_and_rotates(tmp_path: Path) -> None:
    numbers = [str(number) for number in range(2000)]

    def fill() -> None:
        log = LogFile(tmp_path, "a", 5_000, 1000)
        for number in numbers:
            log.write([line("a", number)])
        log.close()

    writer = threading.Thread(target=fill)
    with follow(tmp_path) as follower:
        writer.start()
        found: list[str] = []
        while writer.is_alive():
            found += messages(follower.read())
        while new := follower.read():
            found += messages(new)
        writer.join()
    assert found == numbers

"""Files that are saved in each way that editors have, seen once each; nothing half-written is."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from dora.daemon.file_watch import FileWatch

from .clock import Clock
from .waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def in_place(file: Path, text: str) -> None:
    with file.open("w") as stream:
        stream.write(text)


def by_rename(file: Path, text: str) -> None:
    other = file.with_suffix(".new")
    other.write_text(text)
    os.replace(other, file)


def by_moving_the_old_one_away(file: Path, text: str) -> None:
    os.replace(file, file.with_suffix(".bak"))
    file.write_text(text)


def over_a_link(file: Path, text: str) -> None:
    target = file.with_name(f"version-{len(text)}")
    target.write_text(text)
    link = file.with_suffix(".link")
    link.symlink_to(target)
    os.replace(link, file)


WRITERS = pytest.mark.parametrize(
    "write", [in_place, by_rename, by_moving_the_old_one_away, over_a_link]
)


class Watched:
    """A file under watch, by a clock that the test moves on."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "node.py"
        self.file.write_text("one = 1\n")
        self.clock = Clock()
        self.saved: list[str] = []
        self.watch = FileWatch(self.clock, lambda file: self.saved.append(file.read_text()))
        self.watch.watch([self.file])

    def look(self, times: int = 1) -> list[str]:
        """What was told in so many looks."""
        self.saved.clear()
        for _ in range(times):
            self.clock.tick()
        return list(self.saved)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@WRITERS
def test_each_save_is_told_once(watched: Watched, write: Callable[[Path, str], None]) -> None:
    assert watched.look(3) == []
    for text in ("two = 22\n", "three = 333\n"):
        write(watched.file, text)
        assert watched.look() == [], "it may still be written"
        assert watched.look(5) == [text]


def test_a_file_written_in_pieces_is_told_when_it_has_come_to_rest(watched: Watched) -> None:
    with watched.file.open("w") as stream:
        assert watched.look(5) == [], "an empty file is about to be written"
        for piece in ("def f():\n", "    return (\n", "    1)\n"):
            stream.write(piece)
            stream.flush()
            assert watched.look() == []
    assert watched.look(3) == ["def f():\n    return (\n    1)\n"]


@WRITERS
def test_a_file_that_goes_and_comes_back_changed_is_told_once_it_is_there(
    watched: Watched, write: Callable[[Path, str], None]
) -> None:
    watched.file.unlink()
    assert watched.look(4) == []
    watched.file.write_text("")
    write(watched.file, "two = 22\n")
    assert watched.look(5) == ["two = 22\n"]


def test_a_file_that_comes_back_as_it_was_is_no_change(watched: Watched) -> None:
    away = watched.file.with_suffix(".away")
    watched.file.rename(away)
    assert watched.look(4) == []
    away.rename(watched.file)
    assert watched.look(4) == []


def test_a_file_that_was_never_there_is_told_when_it_comes(tmp_path: Path) -> None:
    clock, saved = Clock(), []
    FileWatch(clock, saved.append).watch([tmp_path / "deep" / "late.py"])
    clock.tick()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "late.py").write_text("x = 1\n")
    for _ in range(4):
        clock.tick()
    assert saved == [tmp_path / "deep" / "late.py"]


def test_a_folder_in_place_of_the_file_is_no_file(watched: Watched) -> None:
    watched.file.unlink()
    watched.file.mkdir()
    assert watched.look(4) == []


def test_what_happened_before_a_file_was_watched_does_not_count(watched: Watched) -> None:
    other = watched.file.with_name("other.py")
    other.write_text("x = 1\n")
    watched.watch.watch([watched.file, other])
    assert watched.look(3) == []
    in_place(watched.file, "changed = True\n")
    watched.watch.watch([watched.file])
    assert watched.look(3) == ["changed = True\n"], "watching on forgets nothing"
    in_place(other, "changed = True\n")
    assert watched.look(3) == []


def test_one_that_is_closed_looks_no_more_and_may_be_closed_again(watched: Watched) -> None:
    in_place(watched.file, "two = 22\n")
    watched.watch.close()
    watched.watch.close()
    assert watched.look(3) == []
    assert watched.clock.waiting == []


def test_a_callback_may_end_the_watch_of_others(tmp_path: Path) -> None:
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    clock, saved = Clock(), []

    def take(file: Path) -> None:
        saved.append(file)
        watch.watch([])

    watch = FileWatch(clock, take)
    watch.watch(files)
    for file in files:
        file.write_text("x = 1\n")
    for _ in range(4):
        clock.tick()
    assert saved == files[:1]
    assert clock.waiting == []


def test_a_callback_that_fails_ends_the_watch_of_nothing(watched: Watched) -> None:
    def fail(_file: Path) -> None:
        watched.saved.append("failed")
        raise RuntimeError("on purpose")

    watched.watch._saved = fail
    in_place(watched.file, "two = 22\n")
    watched.look()
    with pytest.raises(RuntimeError, match="on purpose"):
        watched.look()
    in_place(watched.file, "three = 333\n")
    watched.look()
    with pytest.raises(RuntimeError, match="on purpose"):
        watched.look()


@pytest.mark.parametrize("write", [in_place, by_rename])
def test_a_real_loop_tells_of_real_saves(
    tmp_path: Path, write: Callable[[Path, str], None]
) -> None:
    file = tmp_path / "node.py"
    file.write_text("one = 1\n")

    async def main() -> list[str]:
        told: asyncio.Queue[str] = asyncio.Queue()
        watch = FileWatch(
            asyncio.get_running_loop(), lambda file: told.put_nowait(file.read_text()), 0.005
        )
        watch.watch([file])
        seen = []
        for text in ("two = 22\n", "three = 333\n"):
            write(file, text)
            seen.append(await asyncio.wait_for(told.get(), DEADLINE_S))
        watch.close()
        return seen + ([told.get_nowait()] if not told.empty() else [])

    assert asyncio.run(main()) == ["two = 22\n", "three = 333\n"]

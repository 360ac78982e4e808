"""A saved file: who is restarted, who is reloaded, and what is said when it does not compile."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from dora.daemon.hot_reload import HotReload
from dora.daemon.source_check import check_source, check_source_with
from dora.descriptor.plan import Command, Interpreter, NodePlan

from .clock import Clock
from .waiting import DEADLINE_S

GOOD = "x = 1\n"
BAD = "def f(:\n    pass\n"


def node(node_id: str, source: Path | None = None, **changed: Any) -> NodePlan:
    command = Command((sys.executable, "-u", str(source)), Path("/"))
    return NodePlan(node_id, command, {}, (), (), (), source=source, **changed)


class Rig:
    """A hot reload whose doings are written down."""

    def __init__(self, *nodes: NodePlan, loop: Any = None, interval_s: float = 0.3) -> None:
        self.done: list[tuple[str, ...]] = []
        self.clock = Clock()
        self.changed = asyncio.Event()
        self.reload = HotReload(
            loop or self.clock,
            nodes,
            restart=lambda *told: self._note("restart", *told),
            reload=lambda *told: self._note("reload", *told),
            notice=lambda *told: self._note("notice", *told),
            interval_s=interval_s,
        )

    def _note(self, *what: str) -> None:
        self.done.append(what)
        self.changed.set()

    def settle(self) -> list[tuple[str, ...]]:
        """What is done once all that was saved has come to rest."""
        self.done.clear()
        for _ in range(3):
            self.clock.tick()
        return list(self.done)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "camera.py"
    file.write_text("# as it was\n")
    return file


def test_a_saved_file_restarts_its_node_alone(file: Path) -> None:
    other = file.with_name("plot.py")
    other.write_text(GOOD)
    rig = Rig(node("camera", file), node("plot", other))
    assert rig.settle() == []
    file.write_text(GOOD)
    assert rig.settle() == [("restart", "camera", "`camera.py` was saved")]
    assert rig.settle() == []


def test_all_nodes_of_one_file_are_restarted(file: Path) -> None:
    rig = Rig(node("left", file), node("right", file))
    file.write_text(GOOD)
    assert [done[:2] for done in rig.settle()] == [("restart", "left"), ("restart", "right")]


def test_an_operator_loads_its_file_again_without_a_restart(file: Path) -> None:
    track = file.with_name("track.py")
    track.write_text(GOOD)
    rig = Rig(node("vision", operator_sources={"detect": file, "track": track}))
    file.write_text(GOOD)
    assert rig.settle() == [("reload", "vision", "detect", "`camera.py` was saved")]


def test_a_file_that_does_not_compile_changes_nothing_and_is_told_once(file: Path) -> None:
    rig = Rig(node("camera", file))
    file.write_text(BAD)
    assert rig.settle() == [
        (
            "notice",
            "error",
            "`camera.py` was saved, but does not compile; node `camera` stays as "
            f'before:\n  File "{file}", line 1\n    def f(:\n          ^\n'
            "SyntaxError: invalid syntax",
        )
    ]
    assert rig.settle() == []
    file.write_text(GOOD)
    assert rig.settle() == [("restart", "camera", "`camera.py` was saved")]


def test_all_that_goes_on_is_named_in_one_notice(file: Path) -> None:
    rig = Rig(node("camera", file), node("vision", operator_sources={"detect": file}))
    file.write_text(BAD)
    ((_, _, told),) = rig.settle()
    assert "; node `camera` and operator `detect` of node `vision` stay as before" in told


def test_nothing_of_a_file_is_executed(file: Path) -> None:
    rig = Rig(node("camera", file))
    file.write_text(f"open({str(file.with_name('trace'))!r}, 'w')\nraise SystemExit(3)\n")
    assert [done[0] for done in rig.settle()] == ["restart"]
    assert not file.with_name("trace").exists()


def test_nodes_that_dora_does_not_start_are_not_watched(file: Path) -> None:
    away = NodePlan("away", None, {}, (), (), (), source=file)
    rig = Rig(away, node("by_hand", file, by_hand=True))
    file.write_text(GOOD)
    assert rig.settle() == []
    assert rig.clock.waiting == []


def test_nodes_may_come_be_replaced_and_go(file: Path) -> None:
    rig = Rig()
    rig.reload.add(node("camera", file))
    file.write_text(GOOD)
    assert [done[:2] for done in rig.settle()] == [("restart", "camera")]
    other = file.with_name("other.py")
    other.write_text(GOOD)
    rig.reload.add(node("camera", other))
    file.write_text(GOOD * 2)
    assert rig.settle() == []
    other.write_text(GOOD * 2)
    assert rig.settle() == [("restart", "camera", "`other.py` was saved")]
    rig.reload.remove("camera")
    other.write_text(GOOD * 3)
    assert rig.settle() == []


def test_a_restart_that_replaces_the_node_at_once_disturbs_nothing(file: Path) -> None:
    rig = Rig(node("left", file), node("right", file))
    rig.reload._restart = lambda node_id, _why: (
        rig.done.append((node_id,)),
        rig.reload.add(node(node_id, file)),
    )
    file.write_text(GOOD)
    assert rig.settle() == [("left",), ("right",)]
    assert rig.settle() == []


def test_one_that_is_closed_does_nothing_more(file: Path) -> None:
    rig = Rig(node("camera", file))
    file.write_text(GOOD)
    rig.reload.close()
    rig.reload.close()
    assert rig.settle() == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (b"x = (\n", "line 1\n    x = (\n        ^\nSyntaxError: '(' was never closed"),
        (b"if 1:\nx\n", "IndentationError: expected an indented block"),
        (b"x = '\xff'\n", "SyntaxError: (unicode error) 'utf-8' codec can't decode byte 0xff"),
        (b"# coding: nosuch\n", "SyntaxError: unknown encoding: nosuch"),
        (b"x\0\n", "null bytes"),
        (b"-" * 100_000 + b"1", "MemoryError"),
    ],
)
def test_whatever_does_not_compile_is_told_with_its_line(
    source: bytes, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "node.py"
    file.write_bytes(source)
    problem = check_source(file)
    assert problem is not None
    assert told in problem


def test_warnings_of_the_compiler_and_other_encodings_are_no_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "node.py"
    file.write_bytes(b"# coding: latin-1\nx = '\\d\xe4' if x is 'y' else 1\n")
    assert check_source(file) is None
    assert asyncio.run(check_source_with(Path(sys.executable), file)) is None


def test_a_file_that_is_gone_is_told_of() -> None:
    assert (
        check_source(Path("nosuch.py")) == "`nosuch.py` cannot be read: No such file or directory"
    )


# ---- nodes with a Python of their own ----


def own_python(executable: Path) -> Interpreter:
    return Interpreter(executable, executable.parent, "bare")


def save(file: Path, text: str) -> None:
    file.write_text(text)


def saved_with_own_python(file: Path, text: str, executable: Path) -> tuple[str, ...]:
    """What follows when a file is saved whose node has this Python."""

    async def main() -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        own = own_python(executable)
        rig = Rig(node("camera", file, interpreter=own), loop=loop, interval_s=0.005)
        save(file, text)
        await asyncio.wait_for(rig.changed.wait(), DEADLINE_S)
        rig.reload.close()
        (done,) = rig.done
        return done

    return asyncio.run(main())


def test_syntax_that_only_the_nodes_own_python_knows_restarts_the_node(file: Path) -> None:
    newer = file.with_name("python")
    newer.write_text("#!/bin/sh\nexit 0\n")
    newer.chmod(0o755)
    done = saved_with_own_python(file, BAD, newer)
    assert done == ("restart", "camera", "`camera.py` was saved")


def test_what_the_nodes_own_python_does_not_compile_is_told_in_its_words(file: Path) -> None:
    kind, level, told = saved_with_own_python(file, BAD, Path(sys.executable))
    assert (kind, level) == ("notice", "error")
    assert told.endswith(
        f'before:\n  File "{file}", line 1\n    def f(:\n          ^\nSyntaxError: invalid syntax'
    )


def test_a_python_that_cannot_be_run_is_named(file: Path) -> None:
    _, _, told = saved_with_own_python(file, BAD, file.with_name("nosuch"))
    assert "cannot be asked whether it compiles" in told


def test_a_file_saved_again_while_the_nodes_own_python_thinks_is_asked_about_anew(
    file: Path,
) -> None:
    slow = file.with_name("python")
    slow.write_text('#!/bin/sh\necho > "$0.asked"\nexec sleep 1000\n')
    slow.chmod(0o755)
    os.mkfifo(f"{slow}.asked")
    pipe = os.open(f"{slow}.asked", os.O_RDWR | os.O_NONBLOCK)

    async def main() -> list[tuple[str, ...]]:
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()
        loop.add_reader(pipe, lambda: (os.read(pipe, 9), asked.set()))
        rig = Rig(node("camera", file, interpreter=own_python(slow)), loop=loop, interval_s=0.005)
        save(file, BAD)
        async with asyncio.timeout(DEADLINE_S):
            await asked.wait()
            first = list(rig.reload._asking.values())
            save(file, GOOD)
            await rig.changed.wait()
            await asyncio.wait(first)
        rig.reload.close()
        return rig.done

    try:
        assert asyncio.run(main()) == [("restart", "camera", "`camera.py` was saved")]
    finally:
        os.close(pipe)

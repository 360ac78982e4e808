"""`dora.run` and `dora.build`, called by programs."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import dora
from dora.errors import DataflowFailedError, DescriptorError, DoraError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEADLINE_S = 40
ENDS = "from dora import Node\nNode()\nprint('all is well')\n"
FAILS = "from dora import Node\nNode()\nraise ValueError('boom')\n"
WAITS = "from dora import Node\nnode = Node()\nprint('it runs')\nfor event in node: pass\n"


@pytest.fixture
def flow(tmp_path: Path) -> Callable[..., Path]:
    """Makes a dataflow of one node with this source."""

    def make(source: str, keys: str = "") -> Path:
        (tmp_path / "a.py").write_text(source)
        file = tmp_path / "flow.yml"
        file.write_text(f"nodes:\n  - {{id: a, path: a.py{keys}}}\n")
        return file

    return make


def test_run_shows_lines_and_returns_when_all_have_finished(
    flow: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    dora.run(str(flow(ENDS)))
    told = capsys.readouterr()
    assert "stdout a: all is well" in told.out
    assert "1 node, " in told.err


def test_a_failure_is_raised_with_the_text_that_the_command_prints(
    flow: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError, match="Dataflow failed") as caught:
        dora.run(flow(FAILS))
    assert caught.type is DataflowFailedError
    assert "Node `a` failed: exited with code 1 with stderr output:" in str(caught.value)
    assert "ValueError: boom" in str(caught.value)


def test_mistakes_of_the_file_are_raised(flow: Callable[..., Path]) -> None:
    with pytest.raises(DescriptorError, match="nonsense"):
        dora.run(flow(ENDS, ", nonsense: 1"))


def test_stop_after_ends_it_and_counts_as_success(
    flow: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = flow("")
    path.write_text("nodes:\n  - {id: a, path: dynamic}\n")  # nobody to wait for
    dora.run(path, stop_after=0.1)
    assert "stopping (after 0.1 s, as asked)" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_stop_after_is_a_number_of_seconds(flow: Callable[..., Path], seconds: float) -> None:
    with pytest.raises(ValueError, match="finite number of seconds"):
        dora.run(flow(WAITS), stop_after=seconds)


def test_another_thread_may_run_a_dataflow_without_touching_signals(
    flow: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    results: queue.SimpleQueue[object] = queue.SimpleQueue()
    path = flow(ENDS)
    thread = threading.Thread(target=lambda: results.put(dora.run(path)))
    thread.start()
    assert results.get(timeout=DEADLINE_S) is None
    thread.join()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert "all is well" in capsys.readouterr().out


def test_a_thread_whose_event_loop_runs_already_may_run_a_dataflow(
    flow: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    async def cell(path: Path) -> None:
        dora.run(path)

    asyncio.run(cell(flow(ENDS)))
    assert "all is well" in capsys.readouterr().out


@pytest.mark.parametrize(
    "script",
    [
        "import dora, sys; dora.run(sys.argv[1]); print('returned')",
        "import asyncio, dora, sys\n"
        "async def cell(): dora.run(sys.argv[1]); print('returned')\n"
        "asyncio.Runner().get_loop().run_until_complete(cell())",
    ],
    ids=["script", "in a loop"],
)
def test_ctrl_c_stops_the_dataflow_and_run_returns(flow: Callable[..., Path], script: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-uc", script, flow(WAITS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONFAULTHANDLER": "1"},
    )
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            if "it runs" in line:
                break
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=DEADLINE_S)
    assert "stopping (Ctrl-C)" in rest
    assert rest.endswith("returned\n"), errors
    assert process.returncode == 0


def test_signal_handlers_are_put_back(flow: Callable[..., Path]) -> None:
    def handler(_number: int, _frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, handler)
    try:
        dora.run(flow(ENDS))
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_run_builds_first(flow: Callable[..., Path], tmp_path: Path) -> None:
    made = "open('made.py', 'w').write('import dora; dora.Node()')"
    (tmp_path / "make.py").write_text(made)
    path = flow("")
    path.write_text("nodes:\n  - {id: a, path: made.py, build: python make.py}\n")
    dora.run(path)
    assert (tmp_path / "made.py").exists()


def test_build_runs_the_build_lines_and_takes_the_arguments_of_dora_rs(
    flow: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = flow(ENDS, ", build: touch built")
    dora.build(str(path), None, "127.0.0.1", 6013, True)
    assert (tmp_path / "built").exists()
    assert "all is well" not in capsys.readouterr().out


def test_a_build_that_fails_is_raised_with_the_last_lines_of_its_command(
    flow: Callable[..., Path],
) -> None:
    path = flow(ENDS, ", build: ls no_such_file_here")
    with pytest.raises(DoraError, match="no_such_file_here"):
        dora.build(path)

"""The record button: a child that records, is stopped as by Ctrl-C, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from dora.errors import DoraError
from dora.web.recorder import Recorder
from dora.wire.visits import Dataflow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

RECORDS = """
import signal, sys
file = sys.argv[sys.argv.index("-o") + 1]
assert sys.argv[sys.argv.index("--attach") + 1] == "0190-aa"
def stop(*_):
    with open(file, "ab") as opened:
        opened.write(b"end")
    print("\\rrecorded 1,300 messages", flush=True)
    sys.exit(0)
signal.signal(signal.SIGINT, stop)
open(file, "wb").write(b"begin")
assert sys.stdout.isatty()
print("12 messages, 3 B/s", end="\\r", flush=True)
print("1,234 messages, 5 B/s", flush=True)
while True:
    signal.pause()
"""
FAILS = """
import sys
sys.exit("[ERROR] recording needs foxglove-sdk: `pip install 'dora-py[record]'`")
"""
FLOW = Dataflow("0190-aa", "my robot/1", ["camera"])


def run(folder: Path, code: str, test: Callable[[Recorder, list[Any]], Awaitable[None]]) -> None:
    """Run a test with a recorder whose command is this code, and what it tells."""
    told: list[Any] = []

    async def whole() -> None:
        recorder = Recorder(FLOW, folder, (sys.executable, "-c", code))
        recorder.join(lambda frame: told.append(msgspec.json.decode(frame)))
        await asyncio.wait_for(test(recorder, told), 30)

    asyncio.run(whole())


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is so; the caller has the deadline."""
    while not true():  # noqa: ASYNC110  # what is awaited is told by a process
        await asyncio.sleep(0.01)


def test_a_recording_tells_how_it_goes_and_its_file_is_finished(tmp_path: Path) -> None:
    async def test(recorder: Recorder, told: list[Any]) -> None:
        assert told[-1]["running"] is False
        said = await recorder.start()
        file = tmp_path / os.path.basename(said)
        assert said == f"recording to {file}"
        assert file.name.startswith("my-robot-1-")
        assert file.suffix == ".mcap"
        await until(lambda: told[-1]["messages"] == 1234)
        assert told[-1]["running"] is True
        assert told[-1]["bytes"] == 5
        with pytest.raises(DoraError, match="already"):
            await recorder.start()
        assert await recorder.stop() == "recorded 1,300 messages"
        assert file.read_bytes() == b"beginend"
        assert told[-1]["running"] is False
        with pytest.raises(DoraError, match="not being recorded"):
            await recorder.stop()

    run(tmp_path, RECORDS, test)


def test_why_it_cannot_record_is_told(tmp_path: Path) -> None:
    async def test(recorder: Recorder, told: list[Any]) -> None:
        with pytest.raises(DoraError, match=r"pip install 'dora-py\[record\]'"):
            await recorder.start()
        assert told[-1]["running"] is False

    run(tmp_path, FAILS, test)


def test_a_recording_that_ends_by_itself_is_told(tmp_path: Path) -> None:
    async def test(recorder: Recorder, told: list[Any]) -> None:
        await recorder.start()
        assert recorder._process is not None
        os.kill(recorder._process.pid, signal.SIGKILL)
        await until(lambda: told[-1]["running"] is False)
        await recorder.start()
        await recorder.stop()

    run(tmp_path, RECORDS, test)


def test_two_pages_that_ask_at_once_start_one_recording(tmp_path: Path) -> None:
    async def test(recorder: Recorder, told: list[Any]) -> None:
        starts = (recorder.start(), recorder.start())
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        assert sorted(isinstance(one, DoraError) for one in outcomes) == [False, True]
        await until(lambda: told[-1]["messages"] == 1234)
        assert await recorder.stop() == "recorded 1,300 messages"

    run(tmp_path, RECORDS, test)

"""The pipe that a process writes its stack into: who is signalled, and who must not be."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from dora.daemon import stacks
from dora.daemon.stacks import StackPipe
from dora.errors import DoraError

from .waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

DUMP = b"Thread 0x1 (most recent call first):\n\nCurrent thread 0x2 (most recent call first):\n"


class Process:
    """What a `StackPipe` believes to be a process."""

    def __init__(self) -> None:
        self.signals = 0
        self.read, self.write = os.pipe()
        os.set_blocking(self.write, False)
        self.answers = b""

    def signalled(self, _pid: int, _number: int) -> None:
        self.signals += 1
        os.write(self.write, self.answers)

    def end(self) -> None:
        if self.write >= 0:
            os.close(self.write)
        self.write = -1


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    process = Process()
    monkeypatch.setattr(os, "kill", process.signalled)
    yield process
    process.end()


def run(process: Process, work: Callable[[StackPipe], Awaitable[None]]) -> None:
    async def main() -> None:
        pipe = StackPipe(asyncio.get_running_loop(), 4242, process.read)
        await asyncio.wait_for(work(pipe), DEADLINE_S)
        pipe.close()

    asyncio.run(main())


async def stack(pipe: StackPipe) -> Any:
    told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    pipe.ask(told.set_result)
    return await told


def test_a_process_that_has_ended_is_not_signalled_for_its_number_may_be_anothers(
    process: Process,
) -> None:
    async def work(pipe: StackPipe) -> None:
        process.end()
        told = await stack(pipe)
        assert isinstance(told, DoraError)
        assert "process 4242 is gone" in str(told)

    run(process, work)
    assert process.signals == 0


def test_who_waits_is_told_at_once_that_the_process_has_ended(process: Process) -> None:
    async def work(pipe: StackPipe) -> None:
        asyncio.get_running_loop().call_soon(process.end)
        assert "has just ended" in str(await stack(pipe))

    run(process, work)


def test_a_dump_that_nobody_waits_for_does_not_fill_the_pipe(process: Process) -> None:
    async def work(pipe: StackPipe) -> None:
        left = DUMP * 10_000
        drained = asyncio.Event()

        def write() -> None:
            nonlocal left
            left = left[os.write(process.write, left) :]
            if not left:
                drained.set()

        asyncio.get_running_loop().add_writer(process.write, write)
        await drained.wait()
        asyncio.get_running_loop().remove_writer(process.write)
        process.answers = DUMP
        assert await stack(pipe) == DUMP.decode()

    run(process, work)


def test_a_stopped_process_is_signalled_once_however_often_it_is_asked(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "_ANSWER_WITHIN_S", 0.01)

    async def work(pipe: StackPipe) -> None:
        for _ in range(3):
            assert "did not answer" in str(await stack(pipe))
        assert process.signals == 1
        asyncio.get_running_loop().call_soon(os.write, process.write, DUMP)
        assert await stack(pipe) == DUMP.decode()
        process.answers = DUMP
        assert await stack(pipe) == DUMP.decode()
        assert process.signals == 2

    run(process, work)

"""Receiving in asyncio: without a thread, without blocking the loop, without losing a message."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from dora.errors import NodeClosedError

from .rig import DEADLINE_S, Rig, Rigs


def run(main: Any) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(DEADLINE_S):
            return await main

    return asyncio.run(limited())


def number(event: Any) -> int:
    assert event["type"] == "INPUT"
    return int(event["value"].to_pylist()[0])


def test_async_for_gives_all_events_and_ends_after_stop_without_a_thread(wire: Rigs) -> None:
    rig = wire({"a": 50}, ("out",))
    for count in range(20):
        rig.send("a", count)
    rig.close_input("a")
    threads = threading.active_count()

    async def main() -> list[str]:
        seen = []
        async for event in rig.node:
            assert type(event) is dict
            seen.append(event["type"])
            if event["type"] == "INPUT":
                rig.node.send_output("out", event["value"])
            assert threading.active_count() == threads
        return seen

    assert run(main()) == [*["INPUT"] * 20, "INPUT_CLOSED", "STOP"]
    assert threading.active_count() == threads


def test_a_wait_is_ended_by_a_message_that_comes_later(wire: Rigs) -> None:
    rig = wire({"a": 10})

    async def main() -> None:
        for count in range(5):
            asyncio.get_running_loop().call_later(0.01, rig.send, "a", count)
            assert number(await rig.node.recv_async()) == count

    run(main())


@pytest.mark.parametrize("timeout", [0, 0.0, 0.02])
def test_a_timeout_is_an_error_event_here_too(wire: Rigs, timeout: float) -> None:
    rig = wire({"a": 10})

    async def main() -> None:
        event: Any = await rig.node.recv_async(timeout=timeout)
        assert event["type"] == "ERROR"
        assert "Timeout event stream error" in event["error"]
        rig.send("a", 7)
        assert number(await rig.node.recv_async(timeout=timeout)) == 7

    run(main())


def test_a_timeout_that_is_no_span_of_time_is_a_value_error_here_too(wire: Rigs) -> None:
    rig = wire({"a": 10})

    async def main() -> None:
        for timeout in (-1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="timeout"):
                await rig.node.recv_async(timeout)

    run(main())


def test_after_stop_receiving_gives_none_and_iteration_ends(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.stop()

    async def main() -> None:
        event: Any = await rig.node.recv_async()
        assert event["type"] == "STOP"
        assert await rig.node.recv_async() is None
        assert await rig.node.recv_async(0.01) is None
        assert [event async for event in rig.node] == []

    run(main())


def test_a_cancelled_wait_loses_nothing(wire: Rigs) -> None:
    rig = wire({"a": 300}, queue_size=300)

    async def main() -> list[int]:
        got = []
        for count in range(100):
            task = asyncio.create_task(rig.node.recv_async())
            for _ in range(count % 4):
                await asyncio.sleep(0)
            rig.send("a", count)
            for _ in range(count % 3):
                await asyncio.sleep(0)
            task.cancel()
            try:
                got.append(number(await task))
            except asyncio.CancelledError:
                continue
        while (event := rig.node.try_recv()) is not None:
            got.append(number(event))
        return got

    assert run(main()) == list(range(100))


def test_a_wait_that_times_out_as_its_message_comes_loses_nothing(wire: Rigs) -> None:
    rig = wire({"a": 300})

    async def main() -> list[int]:
        got = []
        for count in range(60):
            asyncio.get_running_loop().call_later(0.001, rig.send, "a", count)
            event: Any = await rig.node.recv_async(timeout=0.001)
            if event["type"] == "INPUT":
                got.append(number(event))
        while len(got) < 60:
            got.append(number(await rig.node.recv_async(DEADLINE_S)))
        return got

    assert run(main()) == list(range(60))


def test_several_tasks_may_wait_and_each_message_goes_to_one_in_turn(wire: Rigs) -> None:
    rig = wire({"a": 100})

    async def worker(got: list[int]) -> None:
        async for event in rig.node:
            if event["type"] == "INPUT":
                got.append(number(event))

    async def main() -> list[list[int]]:
        piles: list[list[int]] = [[], [], []]
        tasks = [asyncio.create_task(worker(pile)) for pile in piles]
        for count in range(60):
            rig.send("a", count)
            await asyncio.sleep(0)
        rig.close_input("a")
        await asyncio.gather(*tasks)
        return piles

    piles = run(main())
    assert sorted(count for pile in piles for count in pile) == list(range(60))
    assert all(pile == sorted(pile) for pile in piles)
    assert all(pile for pile in piles)


def test_other_tasks_get_their_turn_while_messages_come_without_a_pause(wire: Rigs) -> None:
    rig = wire({"a": 100})
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.create_task(other())
        for count in range(100):
            rig.send("a", count)
        for count in range(100):
            assert number(await rig.node.recv_async()) == count
        task.cancel()

    run(main())
    assert turns >= 90


def test_next_runs_in_an_executor_while_the_loop_sends(wire: Rigs) -> None:
    rig = wire({"a": 10}, ("out",))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        waiting = loop.run_in_executor(None, rig.node.next)
        rig.node.send_output("out", np.arange(5))
        rig.send("a", 3)
        assert number(await waiting) == 3
        waiting = loop.run_in_executor(None, rig.node.next, 0.01)
        late: Any = await waiting
        assert late["type"] == "ERROR"

    run(main())
    assert rig.taken("out").tolist() == [0, 1, 2, 3, 4]


def test_closing_the_node_ends_a_wait(wire: Rigs) -> None:
    rig = wire({"a": 10})

    async def main() -> None:
        tasks = [asyncio.create_task(rig.node.recv_async()) for _ in range(3)]
        for _ in range(10):  # until all of them wait
            await asyncio.sleep(0)
        rig.node.close()
        assert await asyncio.gather(*tasks) == [None] * 3
        assert await rig.node.recv_async() is None

    run(main())


def test_the_node_works_in_one_loop_after_the_other_and_outside(wire: Rigs) -> None:
    rig = wire({"a": 10})
    for count in range(0, 9, 3):
        for offset in range(3):
            rig.send("a", count + offset)
        assert number(run(rig.node.recv_async())) == count
        assert number(rig.node.next(DEADLINE_S)) == count + 1
        assert number(run(rig.node.recv_async(1.0))) == count + 2


def test_timers_tick_in_asyncio(wire: Rigs) -> None:
    rig = wire(timers={"tick": 5_000_000})

    async def main() -> list[str]:
        return [(await rig.node.recv_async(DEADLINE_S))["id"] for _ in range(5)]  # type: ignore[index,typeddict-item]

    assert run(main()) == ["tick"] * 5


def test_a_wait_in_a_thread_and_one_in_a_loop_share_the_messages(wire: Rigs) -> None:
    rig = wire({"a": 300})
    got: list[int] = []

    def receive() -> None:
        for event in rig.node:
            if event["type"] == "INPUT":
                got.append(number(event))

    async def main() -> None:
        thread = threading.Thread(target=receive)
        thread.start()
        for count in range(100):
            rig.send("a", count)
            if count % 10 == 0:
                event: Any = await rig.node.recv_async(timeout=0.005)
                if event["type"] == "INPUT":
                    got.append(number(event))
        rig.close_input("a")
        await asyncio.to_thread(thread.join)

    run(main())
    assert sorted(got) == list(range(100))


def test_sending_in_a_loop_under_backpressure_needs_no_other_task(wire: Rigs) -> None:
    rig: Rig = wire({"a": 10}, ("out",), backpressure=True)

    async def main() -> None:
        reader = asyncio.get_running_loop().run_in_executor(None, read_all)
        for count in range(50):
            rig.node.send_output("out", count)
        assert await reader == list(range(50))

    def read_all() -> list[int]:
        found: list[int] = []
        while len(found) < 50:
            event = rig.take("out")
            if event is not None:
                found.append(number(event))
        return found

    run(main())


def test_a_closed_node_refuses_to_send_from_a_task(wire: Rigs) -> None:
    rig = wire(outputs=("out",))

    async def main() -> None:
        rig.node.close()
        with pytest.raises(NodeClosedError):
            rig.node.send_output("out", 1)

    run(main())

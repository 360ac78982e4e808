"""An exception in a callback ends the dataflow it belongs to, and no other."""

from __future__ import annotations

import asyncio
import os
import threading
from contextvars import copy_context

from dora.daemon import crashes


def test_each_hears_of_exceptions_in_callbacks_that_it_registered() -> None:
    heard: list[tuple[str, str]] = []

    async def one(name: str) -> None:
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        read, write = os.pipe()

        def tell(error: BaseException) -> None:
            heard.append((name, str(error)))
            over.set_result(None)

        def readable() -> None:
            loop.remove_reader(read)
            loop.call_later(0, fail)

        def fail() -> None:
            raise ValueError(f"of {name}")

        crashes.hear(loop, tell)
        loop.add_reader(read, readable)
        os.write(write, b"x")
        await over
        os.close(read)
        os.close(write)

    async def both() -> None:
        tasks = [
            asyncio.create_task(one(name), context=copy_context()) for name in ("first", "second")
        ]
        await asyncio.gather(*tasks)

    asyncio.run(both())
    assert sorted(heard) == [("first", "of first"), ("second", "of second")]


def test_what_another_thread_had_called_belongs_to_whoever_spoke_first() -> None:
    heard: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()

        def tell(error: BaseException) -> None:
            heard.append(str(error))
            over.set_result(None)

        def fail() -> None:
            raise ValueError("elsewhere")

        crashes.hear(loop, tell)
        threading.Thread(target=loop.call_soon_threadsafe, args=(fail,)).start()
        await over

    asyncio.run(run())
    assert heard == ["elsewhere"]

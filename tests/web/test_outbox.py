"""What waits for a browser is bounded, and of what is replaced only the newest is sent."""

from __future__ import annotations

import asyncio

from dora.web.outbox import Frame, Outbox


def sent_by(frames: list[tuple[Frame, str | None]]) -> list[Frame]:
    """What a browser gets that starts to read when all of these were put."""
    sent: list[Frame] = []

    async def run() -> None:
        last = asyncio.Event()

        async def send(frame: Frame) -> None:
            if frame == "last":
                last.set()
            else:
                sent.append(frame)

        outbox = Outbox(send)
        for frame, instead_of in (*frames, ("last", None)):
            outbox.put(frame, instead_of)
        task = asyncio.create_task(outbox.run())
        await last.wait()
        task.cancel()

    asyncio.run(run())
    return sent


def test_frames_are_sent_in_order() -> None:
    assert sent_by([("a", None), (b"b", None), ("c", None)]) == ["a", b"b", "c"]


def test_what_was_replaced_before_it_was_sent_is_not_sent() -> None:
    frames = [("state 1", "state"), ("reply", None), ("state 2", "state"), ("list", "flows")]
    assert sent_by(frames) == ["reply", "state 2", "list"]


def test_a_browser_that_never_reads_is_given_up_and_costs_no_more() -> None:
    async def never(_frame: Frame) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        outbox = Outbox(never)
        for number in range(5000):
            outbox.put(str(number))
        assert outbox.full
        assert len(outbox._waiting) == 2000
        await asyncio.wait_for(outbox.run(), 5)

    asyncio.run(run())

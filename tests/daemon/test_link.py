"""A connection that another program takes over: what was asked is answered, once and in order."""

from __future__ import annotations

import asyncio
import socket

from dora.daemon.callbacks import Callbacks
from dora.daemon.link import Link
from dora.wire.framing import frame

ASKED = [bytes([number]) for number in range(200)]


class Owner:
    """Hears, until it has had enough; then it hands over."""

    def __init__(self, enough: int, over: asyncio.Event) -> None:
        self.heard: list[bytes] = []
        self._enough, self._over = enough, over

    def on_frame(self, link: Link, body: bytes) -> None:
        self.heard.append(body)
        if len(self.heard) == self._enough:
            self._over.set()

    def on_end(self, link: Link, problem: str | None) -> None:
        raise AssertionError(problem)

    def on_written(self, link: Link) -> None:
        pass


def test_what_was_asked_before_the_hand_over_and_not_heard_is_heard_after_it() -> None:
    async def hand_over() -> list[bytes]:
        loop = asyncio.get_running_loop()
        callbacks = Callbacks(loop, lambda error: None)
        ours, theirs = socket.socketpair()
        last = frame(b"cut in two")
        with theirs:
            theirs.sendall(b"".join(map(frame, ASKED)) + last[:-3])
            over = asyncio.Event()
            before = Owner(1, over)
            link = Link(callbacks, ours, before)
            await over.wait()  # all has arrived, and the others' turn came before this one's
            assert 0 < len(before.heard) < len(ASKED)
            saved = link.saved(-1)
            callbacks.close()
            loop.remove_reader(ours)
            ours.detach()
            over = asyncio.Event()
            after = Owner(len(ASKED) - len(before.heard) + 1, over)
            resumed = Link.resumed(loop, after, saved)
            theirs.sendall(last[-3:])
            await over.wait()
            resumed.close()
        return before.heard + after.heard

    assert asyncio.run(asyncio.wait_for(hand_over(), 20)) == [*ASKED, b"cut in two"]

"""The listening sockets when descriptors run out, with sockets made up."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import Any

from dora.daemon.door import Door

from .clock import Clock


class Listening:
    """A socket that has no descriptor for who comes, until it has."""

    def __init__(self) -> None:
        self.refuses = True
        self.comes: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, str]:
        if self.refuses:
            raise OSError(24, os.strerror(24))
        if not self.comes:
            raise BlockingIOError
        return self.comes.pop(), ""

    def setblocking(self, _flag: bool) -> None:
        pass

    def fileno(self) -> int:
        return 0


def test_that_connections_have_to_wait_is_told_once_until_one_comes_in() -> None:
    class Loop(Clock):
        def add_reader(self, one: Any, call: Any, *args: Any) -> None:
            if one is listening:
                self.ready = lambda: call(*args)

        def remove_reader(self, _one: Any) -> None:
            pass

        def remove_writer(self, _one: Any) -> None:
            pass

        def call_later(self, delay_s: float, call: Any, *args: Any) -> Any:
            return super().call_later(delay_s, lambda: call(*args))

    listening, loop, told = Listening(), Loop(), []
    listener = SimpleNamespace(sockets=[listening], address="@x", close=lambda: None)
    observer = SimpleNamespace(notice=lambda _level, text: told.append(text))
    door = Door(loop, listener, None, observer)  # type: ignore[arg-type]
    for _ in range(3):
        loop.ready()
        loop.tick()
    assert told == ["a new connection has to wait: Too many open files"]
    ours, theirs = socket.socketpair()
    with ours:
        listening.refuses, listening.comes = False, [theirs]
        loop.ready()
        listening.refuses = True
        loop.ready()
    assert len(told) == 2
    door.close()

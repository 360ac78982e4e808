"""A simulated node's line to its coordinator: asks, and the answer to each.

Any thread may ask; one thread of the line's own reads the answers. An answer nobody waits for any
more (its wait was broken off) is handed to `stray`, so that no event is lost.

Elsewhere: what is asked for (`node.simulated`), the words (`wire.simulation`).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Any

from dora.errors import NodeInitError
from dora.node.simulated_clock import clock
from dora.wire import simulation as wire
from dora.wire.framing import Deframer, frame

if TYPE_CHECKING:
    from collections.abc import Callable

_READ_BYTES = 1 << 18


class Line:
    """Owns the socket; `close()` gives it up, twice is fine.

    Args:
        link: The connected socket.
        stray: Takes answers that nobody waits for; called by the line's thread.
    """

    def __init__(self, link: socket.socket, stray: Callable[[wire.Answer], None]) -> None:
        self.busy = 0
        """How many jobs of an event loop run in other threads."""
        self.gone = False
        """Whether the coordinator is no more there, or the line was closed."""
        self._link = link
        self._stray = stray
        self._deframer = Deframer()
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._asked = 0
        self._awaited: dict[int, int | None] = {}
        """Asks somebody waits for, each with the eventfd that tells of its answer, if any."""
        self._answers: dict[int, wire.Answer] = {}

    def begin(self, node: str) -> wire.Begin:
        """Join; wait until the simulation begins.

        Raises:
            NodeInitError: it never does.
        """
        self.say(wire.Join(node))
        while True:
            for body in self._read():
                word = wire.decode_from_coordinator(body)
                assert isinstance(word, wire.Begin)
                threading.Thread(target=self._listen, name="dora simulation", daemon=True).start()
                return word
            if self.gone:
                raise NodeInitError(f"the simulation ended before node `{node}` could begin")

    def say(self, word: wire.NodeWord) -> None:
        """Send a word; lost when the coordinator is gone."""
        with self._sending:
            if self.gone:
                return
            try:
                self._link.sendall(frame(wire.encode(word)))
            except OSError:  # it is gone; whoever waits learns of it from the reading thread
                return

    def ask(
        self, *, receive: bool, timeout_ns: int | None, beside: int | None = None
    ) -> wire.Answer | None:
        """Wait for an event, or for virtual time to pass.

        Args:
            receive: Whether an event ends the wait.
            timeout_ns: After how much virtual time it ends.
            beside: A descriptor that ends it too, when it is readable.

        Returns:
            The answer; None when there is no coordinator any more.
        """
        if beside is None:
            number = self._begin_ask(receive, timeout_ns, None)
            return self._answer(number)
        answered = os.eventfd(0, os.EFD_CLOEXEC)
        try:
            poll = select.poll()
            poll.register(answered, select.POLLIN)
            poll.register(beside, select.POLLIN)
            number = self._begin_ask(receive, timeout_ns, answered)
            try:
                found = poll.poll()
            except BaseException:
                self._forsake(number)
                raise
            if all(fd != answered for fd, _ in found):
                self.say(wire.Cancel(number))
            return self._answer(number)
        finally:
            os.close(answered)

    def send_and_wait(self, word: Callable[[int], wire.Send]) -> None:
        """Send a message that may have to wait for room."""
        number = self._new_number(None)
        self.say(word(number))
        self._answer(number)

    def _begin_ask(self, receive: bool, timeout_ns: int | None, answered: int | None) -> int:
        number = self._new_number(answered)
        self.say(wire.Ask(number, receive, timeout_ns, self.busy))
        return number

    def _answer(self, number: int) -> wire.Answer | None:
        """Wait for the answer to an ask; None when there is no coordinator any more."""
        try:
            with self._changed:
                while number not in self._answers and not self.gone:
                    self._changed.wait()
                self._forget(number)
                return self._answers.pop(number, None)
        except BaseException:
            self._forsake(number)
            raise

    def close(self) -> None:
        """Give the socket up; whoever waits is let go."""
        self._hang_up()
        with self._sending, contextlib.suppress(OSError):  # not connected any more
            self._link.shutdown(socket.SHUT_RDWR)
        self._link.close()

    def disown(self) -> None:
        """In a forked child, which has no thread of the line: give up its copy of the socket."""
        self.gone = True
        self._link.close()

    def _forget(self, number: int) -> None:
        self._awaited.pop(number, None)

    def _forsake(self, number: int) -> None:
        """The wait was broken off, e.g. by Ctrl-C: what it was answered with is not lost."""
        with self._changed:
            self._forget(number)
            answer = self._answers.pop(number, None)
        if answer is not None:
            self._stray(answer)
        else:
            self.say(wire.Cancel(number))

    def _new_number(self, answered: int | None) -> int:
        with self._changed:
            self._asked += 1
            self._awaited[self._asked] = answered
            if self.gone and answered is not None:
                os.eventfd_write(answered, 1)
            return self._asked

    def _hang_up(self) -> None:
        with self._changed:
            self.gone = True
            clock.let_go()
            for answered in self._awaited.values():
                if answered is not None:
                    os.eventfd_write(answered, 1)
            self._changed.notify_all()

    def _listen(self) -> None:
        """The line's thread: hand the answers to those who asked."""
        while not self.gone:
            for body in self._read():
                word: Any = wire.decode_from_coordinator(body)
                with self._changed:
                    clock.now_ns = max(clock.now_ns, word.time_ns)
                    if word.number not in self._awaited:
                        self._stray(word)
                        continue
                    self._answers[word.number] = word
                    answered = self._awaited[word.number]
                    if answered is not None:
                        os.eventfd_write(answered, 1)
                    self._changed.notify_all()

    def _read(self) -> list[bytes]:
        """The frames that came; waits for some."""
        try:
            data = self._link.recv(_READ_BYTES)
        except OSError:
            data = b""
        if not data and not self.gone:
            self._hang_up()
        return self._deframer.feed(data)

"""Directs the replay nodes of one dataflow from the command: step by step, and what they report.

Listens at a socket of its own, in threads of its own, while the dataflow runs in the foreground. In
step mode it reads the recording too, so that it knows which message of which node comes next.

Elsewhere: the nodes (`recording.replay_node`), the words (`recording.cues`).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import uuid
from typing import TYPE_CHECKING

from dora.errors import DoraError
from dora.recording import cues
from dora.transport import endpoint
from dora.wire.framing import Deframer, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from dora.recording.message import RecordedMessage
    from dora.recording.pace import Report

_READ_BYTES = 1 << 18


class Conductor:
    """Hears the replay nodes. `close()` gives up the sockets; twice is fine.

    Args:
        nodes: Who will play.
    """

    def __init__(self, nodes: Collection[str]) -> None:
        self.address = f"@dora-replay-{os.getuid()}/{uuid.uuid4()}"
        self.reports: dict[str, Report] = {}
        self._nodes = set(nodes)
        self._links: dict[str, socket.socket] = {}
        self._changed = threading.Condition()
        self._played = 0
        self._over = False
        self._listener = endpoint.listen(self.address)
        self._wake_read, self._wake_write = os.pipe()
        self._threads = [threading.Thread(target=self._serve, name="conductor", daemon=True)]
        self._threads[0].start()

    def wait_for_nodes(self) -> bool:
        """Wait until every node has started; False when it is over before."""
        with self._changed:
            while not self._over and self._nodes - self._links.keys() - self.reports.keys():
                self._changed.wait()
            return not self._over

    def play(self, node: str) -> bool:
        """Have a node send its next message, and wait until it has; False when it is gone."""
        with self._changed:
            link, before = self._links.get(node), self._played
        if link is None:
            return False
        try:
            link.sendall(frame(cues.encode(cues.Play())))
        except OSError:
            return False
        with self._changed:
            while self._played == before and node in self._links and not self._over:
                self._changed.wait()
            return self._played > before

    def dismiss(self) -> None:
        """Have all nodes end: nothing more is asked of them."""
        with self._changed:
            for link in self._links.values():
                with contextlib.suppress(OSError):  # it has just ended by itself
                    link.shutdown(socket.SHUT_WR)

    def step(self, stepper: Stepper) -> None:
        """Have messages sent one by one as the stepper says, in a thread of its own."""

        def run() -> None:
            try:
                if self.wait_for_nodes():
                    stepper.run(self.play, self._wake_read)
            except DoraError as exc:  # the file is damaged
                stepper.tell(f"[ERROR] {exc}")
            finally:
                self.dismiss()

        thread = threading.Thread(target=run, name="stepping", daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """The dataflow is over: hear what was said last, and nobody any more."""
        if self._over:
            return
        os.write(self._wake_write, b".")
        with self._changed:
            self._over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        open_links: dict[int, tuple[socket.socket, Deframer]] = {}
        while True:
            found = [fd for fd, _ in poll.poll()]
            for fd in found:
                if fd == self._listener.fileno():
                    link, _ = self._listener.accept()
                    if endpoint.peer_uid(link) != os.getuid():
                        link.close()
                        continue
                    open_links[link.fileno()] = link, Deframer()
                    poll.register(link, select.POLLIN)
                elif fd in open_links and not self._hear(*open_links[fd]):
                    poll.unregister(fd)
                    open_links.pop(fd)[0].close()
            if found == [self._wake_read]:  # all that was said before is heard
                break
        for link, _ in open_links.values():
            link.close()

    def _hear(self, link: socket.socket, deframer: Deframer) -> bool:
        """Take in what a node says; False when it is gone."""
        data = link.recv(_READ_BYTES)
        with self._changed:
            node = next((name for name, one in self._links.items() if one is link), "")
            for body in deframer.feed(data):
                match cues.decode(body):
                    case cues.Here(node=node):
                        self._links[node] = link
                    case cues.Played():
                        self._played += 1
                    case cues.Done(report=report):
                        self.reports[node] = report
            if not data:
                self._links.pop(node, None)
            self._changed.notify_all()
        return bool(data)


class Stepper:
    """Asks for each message, and tells which one was sent.

    Args:
        messages: All that will be sent, in order.
        plays: Recorded topic to node and output.
        zero_ns: The recorded time from which times are told.
        lines: The descriptor that lines are read from: Enter, a number, `q`.
        tell: Takes a line for the user.
    """

    def __init__(
        self,
        messages: Iterable[RecordedMessage],
        plays: dict[str, tuple[str, str]],
        zero_ns: int,
        lines: int,
        tell: Callable[[str], None],
    ) -> None:
        self._messages = messages
        self._plays = plays
        self._zero_ns = zero_ns
        self._lines = lines
        self.tell = tell
        self._typed = bytearray()

    def run(self, play: Callable[[str], bool], wake: int) -> None:
        """Step through all messages, until no more lines come, or `wake` becomes readable."""
        self.tell("step: Enter sends the next message, a number so many, q ends the replay")
        left = 0
        for message in self._messages:
            while not left:
                line = self._line(wake)
                if line is None or line in ("q", "quit"):
                    return
                if line and not line.isdecimal():
                    self.tell(f"`{line}` is neither empty, nor a number, nor q")
                else:
                    left = int(line or 1)
            node, output = self._plays[message.topic]
            if not play(node):
                return
            left -= 1
            self.tell(_told(message, f"{node}/{output}", self._zero_ns))
        self.tell("step: that was the last message")

    def _line(self, wake: int) -> str | None:
        """The next line; None when none will come."""
        while b"\n" not in self._typed:
            found, _, _ = select.select([self._lines, wake], [], [])
            data = b"" if wake in found else os.read(self._lines, _READ_BYTES)
            if not data:
                return None
            self._typed += data
        line, _, rest = bytes(self._typed).partition(b"\n")
        self._typed = bytearray(rest)
        return line.decode(errors="replace").strip().lower()


def _told(message: RecordedMessage, output: str, zero_ns: int) -> str:
    """A message that was sent, in one line."""
    at_s = (message.sent_ns - zero_ns) / 1e9
    facts = message.metadata_dict()
    text = f"{at_s:10.6f} s  {output}  {message.type_text}  {message.view.nbytes:,} bytes"
    return f"{text}  {facts}" if facts else text

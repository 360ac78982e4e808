"""The daemon's end of one control socket: frames in, frames and descriptors out, never blocking.

What does not fit into the socket waits here, with duplicates of its descriptors, until the socket
is writable. Who reads little, or asks much, is heard later than others. Garbage, or a frame too
long for any message of a node, ends this connection and nothing else.

Elsewhere: what messages mean (`daemon.reception`), their bytes (`wire.messages`).
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Protocol

from dora.daemon.saved import SavedLink
from dora.errors import ProtocolError
from dora.transport import endpoint
from dora.wire.extensions import MOST_BYTES
from dora.wire.framing import Deframer, frame
from dora.wire.messages import MAX_DESCRIPTORS_PER_FRAME, Descriptors, encode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    import msgspec

    from dora.daemon.callbacks import Loop

_MAX_INCOMING_BYTES = MOST_BYTES + (1 << 20)
_READ_BYTES = 1 << 16
_RETRY_S = 0.005
_MOST_UNREAD_BYTES = 8 << 20
"""Who leaves more unread is not heard; more than a client that watches is sent (`watchers`)."""
_HEARD_AT_ONCE = 64
"""Messages of one connection, before it is the others' turn."""


class LinkOwner(Protocol):
    """Who is told what happens on a link."""

    def on_frame(self, link: Link, body: bytes) -> None:
        """A whole frame came in."""

    def on_end(self, link: Link, problem: str | None) -> None:
        """The other side is gone, or was cut off for a `problem`; told once, the link is closed."""

    def on_written(self, link: Link) -> None:
        """Bytes were handed to the kernel."""


class Link:
    """One connected control socket. Takes over `sock`; `close()` twice is fine."""

    def __init__(self, loop: Loop, sock: socket.socket, owner: LinkOwner) -> None:
        self.node: str | None = None
        """Whose it is; None until it has registered."""
        self.visitor = False
        """Whether it came to look, not to be a node."""
        self.incarnation = 0
        self.pid = 0
        self.goodbye = False
        """Whether the node said that it will say nothing more."""
        self._loop = loop
        self._socket = sock
        self._owner = owner
        self._deframer = Deframer(_MAX_INCOMING_BYTES)
        self._arrived: deque[bytes] = deque()
        self._deaf = False
        self._outgoing: deque[tuple[memoryview, list[int]]] = deque()
        self.waiting_bytes = 0
        """How much the kernel has not taken yet, since the other side is slow."""
        self._closing = False
        self.closed = False
        self._when_closed: asyncio.Future[None] | None = None
        sock.setblocking(False)
        loop.add_reader(sock, self._read)

    @property
    def peer_pid(self) -> int:
        """The process at the other end, as this one numbers processes; 0 if it cannot see it."""
        return 0 if self.closed else endpoint.peer_pid(self._socket)

    def saved(self, stack: int) -> SavedLink:
        """This as a value; the descriptors stay this one's."""
        unheard = b"".join(frame(body) for body in self._arrived)
        return SavedLink(
            node=self.node or "",
            incarnation=self.incarnation,
            pid=self.pid,
            fd=self._socket.fileno(),
            goodbye=self.goodbye,
            buffer=unheard + self._deframer.rest,
            outgoing=[(bytes(data), fds) for data, fds in self._outgoing],
            stack=stack,
        )

    @classmethod
    def resumed(cls, loop: Loop, owner: LinkOwner, saved: SavedLink) -> Link:
        """The link that another program had. Takes its descriptors over."""
        link = cls(loop, socket.socket(fileno=saved.fd), owner)
        link.node, link.incarnation, link.pid = saved.node, saved.incarnation, saved.pid
        link.goodbye = saved.goodbye
        link._arrived.extend(link._deframer.feed(saved.buffer))
        loop.call_later(0, link._hear)
        link._outgoing.extend((memoryview(data), fds) for data, fds in saved.outgoing)
        link.waiting_bytes = sum(len(data) for data, _ in saved.outgoing)
        if link._outgoing:
            loop.add_writer(link._socket, link._flush)
        return link

    def send(self, message: msgspec.Struct, fds: Sequence[int] = ()) -> None:
        """Send a message behind its descriptors, which stay the caller's."""
        if self.closed:
            return
        for start in range(0, len(fds), MAX_DESCRIPTORS_PER_FRAME):
            batch = list(fds[start : start + MAX_DESCRIPTORS_PER_FRAME])
            self._put(frame(encode(Descriptors(len(batch)))), batch)
        self._put(frame(encode(message)), [])

    def close_when_sent(self) -> None:
        """Close as soon as all has been handed to the kernel; take nothing more in."""
        if self.closed:
            return
        self._loop.remove_reader(self._socket)
        self._closing = True
        if not self._outgoing:
            self.close()

    def drain(self) -> None:
        """Take in all that has arrived by now."""
        self._hear(bounded=False)
        while not self.closed and not self._closing and self._read(bounded=False):
            pass

    def close(self) -> None:
        """End the connection without a word to the owner."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        for _data, fds in self._outgoing:
            _close_all(fds)
        self._outgoing.clear()
        if self._when_closed is not None:
            self._when_closed.set_result(None)

    def when_closed(self) -> asyncio.Future[None]:
        """Done as soon as the connection is closed; asked for once."""
        self._when_closed = self._loop.create_future()
        if self.closed:
            self._when_closed.set_result(None)
        return self._when_closed

    def _end(self, problem: str | None) -> None:
        if not self.closed:
            self.close()
            self._owner.on_end(self, problem)

    def _read(self, *, bounded: bool = True) -> bool:
        """Take in one piece; whether there was any."""
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # reset by the other side
            data = b""
        if not data:
            self._end(None)
            return False
        try:
            self._arrived += self._deframer.feed(data)
        except ProtocolError as exc:
            self._end(str(exc))
            return False
        self._hear(bounded=bounded)
        return True

    def _hear(self, *, bounded: bool = True) -> None:
        heard = 0
        while self._arrived and not self.closed and not self._closing:
            unread = self.waiting_bytes > _MOST_UNREAD_BYTES
            if bounded and (unread or heard == _HEARD_AT_ONCE):
                self._deaf = True
                self._loop.remove_reader(self._socket)
                if not unread:
                    self._loop.call_later(0, self._hear_again)
                return
            self._owner.on_frame(self, self._arrived.popleft())
            heard += 1

    def _hear_again(self) -> None:
        """Go on, when there was something that it had to wait for."""
        if self._deaf and not self.closed and not self._closing:
            self._deaf = False
            self._loop.add_reader(self._socket, self._read)
            self._hear()

    def _put(self, data: bytes, fds: list[int]) -> None:
        if self.closed:
            return
        if not self._outgoing:
            sent = self._try_send(memoryview(data), fds)
            if sent == len(data) or self.closed:
                return
            data, fds = data[sent:], [] if sent else fds
        # The caller may close its descriptors at once.
        self._outgoing.append((memoryview(data), [os.dup(fd) for fd in fds]))
        self.waiting_bytes += len(data)

    def _try_send(self, data: memoryview, fds: list[int]) -> int:
        """Hand bytes, the descriptors with the first of them, to the kernel; how many it took."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            sent = self._socket.sendmsg([data], rights)
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._flush)
            return 0
        except OSError as exc:
            if exc.errno == errno.ETOOMANYREFS:
                # Too many descriptors of this user are on their way: other nodes take theirs soon.
                self._loop.remove_writer(self._socket)
                self._loop.call_later(_RETRY_S, self._flush)
                return 0
            self._end(None)
            return 0
        if sent < len(data):
            self._loop.add_writer(self._socket, self._flush)
        self._owner.on_written(self)
        return sent

    def _flush(self) -> None:
        while self._outgoing and not self.closed:
            data, fds = self._outgoing[0]
            sent = self._try_send(data, fds)
            if self.closed:
                return
            if sent:
                _close_all(fds)
                fds.clear()
            self.waiting_bytes -= sent
            if sent < len(data):
                self._outgoing[0] = (data[sent:], fds)
                if self.waiting_bytes <= _MOST_UNREAD_BYTES:
                    self._hear_again()
                return
            self._outgoing.popleft()
        if not self.closed:
            self._loop.remove_writer(self._socket)
            if self._closing:
                self.close()
            else:
                self._hear_again()


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)

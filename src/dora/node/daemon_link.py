"""A node's control socket: joining the dataflow, then the daemon's messages as they come.

Owns the socket, and every descriptor that arrived until somebody takes it. Any thread may `pump`.
Elsewhere: what the messages mean to the node (`node.node`), where daemons listen
(`transport.endpoint`).
"""

from __future__ import annotations

import array
import os
import select
import socket
import threading
from collections import deque

from dora.errors import DescriptorLimitError, DoraError, NodeInitError, ProtocolError
from dora.transport import endpoint
from dora.wire import messages
from dora.wire.framing import Deframer, frame

_READ_BYTES = 1 << 16
_INT_BYTES = array.array("i").itemsize
_ANCILLARY_BYTES = socket.CMSG_SPACE(253 * _INT_BYTES)


_TRIES = 3
"""A daemon that becomes another program (`dora up --replace`) forgets whom it has not heard yet."""


class _UnansweredError(NodeInitError):
    """The daemon closed the connection where a word of it was due."""


class DaemonLink:
    """The connection to the daemon. `close()` gives it up; twice is fine."""

    def __init__(self, link: socket.socket) -> None:
        self._socket = link
        self._deframer = Deframer()
        self._arrived: deque[messages.DaemonMessage] = deque()
        self._descriptors: deque[int] = deque()
        self._lock = threading.RLock()
        self._outgoing: deque[bytes] = deque()
        self._sending = threading.Lock()
        self._closed = False
        self.gone = False
        """Whether the daemon closed the connection."""

    def fileno(self) -> int:
        """The socket's descriptor, -1 when closed."""
        return self._socket.fileno()

    def send(self, message: messages.NodeMessage) -> None:
        """Send one message; a daemon that is gone is no error here, `pump` reports it.

        One thread at a time writes, whole frames; for another, or for a signal handler that
        interrupted it, it writes theirs too.
        """
        self._outgoing.append(frame(messages.encode(message)))
        while self._outgoing and self._sending.acquire(blocking=False):
            try:
                while self._outgoing:
                    self._socket.sendall(self._outgoing.popleft())
            except (BrokenPipeError, ConnectionResetError):
                self.gone = True
            except OSError:
                if not self._closed:  # else by another thread, meanwhile
                    raise
            finally:
                self._sending.release()

    def try_send(self, message: messages.NodeMessage) -> bool:
        """Send one message if that need not wait for the daemon; whether it was sent."""
        if self.gone or self._closed or self._outgoing:
            return False
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLOUT)
        except ValueError:  # another thread has just closed it
            return False
        if not poll.poll(0):
            return False
        self.send(message)
        return True

    def wait(self) -> messages.DaemonMessage:
        """The next message; blocks until it is there.

        Raises:
            NodeInitError: the daemon closed the connection.
            ProtocolError: the daemon sent garbage.
        """
        while not self._arrived:
            if self.gone:
                raise _UnansweredError(
                    "the daemon closed the connection before the dataflow started"
                )
            self._read(0)
        return self._arrived.popleft()

    def pump(self) -> list[messages.DaemonMessage]:
        """All messages that are there now. Never blocks."""
        with self._lock:
            while not self.gone and not self._closed:
                try:
                    # The socket itself stays blocking: another thread may be sending.
                    self._read(socket.MSG_DONTWAIT)
                except BlockingIOError:
                    break
            found = list(self._arrived)
            self._arrived.clear()
            return found

    def take_descriptors(self, count: int) -> list[int]:
        """The next `count` descriptors that arrived; the caller owns them.

        Raises:
            ProtocolError: fewer have arrived than the message promised.
        """
        if len(self._descriptors) < count:
            raise ProtocolError(
                f"the daemon promised {count} descriptors and sent {len(self._descriptors)}"
            )
        return [self._descriptors.popleft() for _ in range(count)]

    def close(self) -> None:
        """Give up the socket and every descriptor nobody took."""
        with self._lock:
            self._closed = True
            self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def disown(self) -> None:
        """In a forked child: give up its copy of the socket, so that the daemon sees the node end.

        Takes no lock: a thread that was not forked may have it.
        """
        self._socket.close()

    def _read(self, flags: int) -> None:
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(
                _READ_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC | flags
            )
        except ConnectionResetError:  # it went without reading all that was sent to it
            self.gone = True
            return
        for level, kind, raw in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found = array.array("i")
                found.frombytes(raw[: len(raw) // _INT_BYTES * _INT_BYTES])
                self._descriptors.extend(found)
        if flags & socket.MSG_CTRUNC:
            raise DescriptorLimitError(
                "this process may not open the files that its inputs and outputs need; raise the "
                "limit with `ulimit -n` before `dora run`"
            )
        if not data:
            self.gone = True
            return
        for body in self._deframer.feed(data):
            message = messages.decode_from_daemon(body)
            if not isinstance(message, messages.Descriptors):
                self._arrived.append(message)


def join(
    config: messages.NodeConfig | None, node_id: str | None, version: str
) -> tuple[DaemonLink, messages.Welcome]:
    """Connect and register: as the configured node, or as dynamic node `node_id`.

    Raises:
        NodeInitError: nobody takes the node in; the message says why and what to do.
        ProtocolError: the daemon speaks another protocol.
    """
    if config is not None:
        return _register(
            config.daemon, config.dataflow_id, config.node_id, config.incarnation, version
        )
    assert node_id is not None
    refusals = []
    for address in endpoint.running():
        try:
            return _register(address, None, node_id, None, version)
        except (DoraError, OSError) as exc:
            refusals.append(f"{address.rpartition('/')[2]}: {exc}")
    if refusals:
        raise NodeInitError(
            f"no running dataflow takes a dynamic node `{node_id}`:\n  " + "\n  ".join(refusals)
        )
    raise NodeInitError(
        f"`Node({node_id!r})` found no running dataflow to join; start one that has a node with "
        f"`id: {node_id}` and `path: dynamic`, e.g. `dora run dataflow.yml`"
    )


def _register(
    address: str, dataflow: str | None, node_id: str, incarnation: int | None, version: str
) -> tuple[DaemonLink, messages.Welcome]:
    for _ in range(_TRIES - 1):
        try:
            return _try_register(address, dataflow, node_id, incarnation, version)
        except _UnansweredError:
            pass
    return _try_register(address, dataflow, node_id, incarnation, version)


def _try_register(
    address: str, dataflow: str | None, node_id: str, incarnation: int | None, version: str
) -> tuple[DaemonLink, messages.Welcome]:
    try:
        link = DaemonLink(endpoint.connect(address))
    except OSError as exc:
        raise NodeInitError(
            f"the daemon of node `{node_id}` at `{address}` does not answer: {exc.strerror}"
        ) from exc
    try:
        link.send(
            messages.Register(
                messages.PROTOCOL,
                version,
                dataflow,
                node_id,
                incarnation,
                os.getpid(),
                endpoint.checkout() if dataflow is None else "",
            )
        )
        answer = link.wait()
        if isinstance(answer, messages.Refused):
            raise NodeInitError(answer.reason)
        if not isinstance(answer, messages.Welcome):
            raise ProtocolError(f"the daemon answered {type(answer).__name__} to a registration")
    except BaseException:
        link.close()
        raise
    return link, answer

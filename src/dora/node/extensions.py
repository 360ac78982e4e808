"""Asking the daemon for values of the dataflow's table: one question, one answer.

Several threads may ask at once, and another may be receiving: whoever reads the daemon's socket
notes every answer and rings for the one who asked.
Elsewhere: the table (`wire.extensions`), the socket (`node.daemon_link`).
"""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

import msgspec

from dora.errors import ExtensionError, NodeClosedError
from dora.wire.extensions import MOST_BYTES, MOST_NAME_BYTES
from dora.wire.messages import ExtensionAsk

if TYPE_CHECKING:
    from collections.abc import Callable

    from dora.node.daemon_link import DaemonLink
    from dora.node.host import Host
    from dora.wire.messages import Action, ExtensionAnswer


class Questions:
    """The questions of one node that wait for their answers.

    Args:
        link: The control socket.
        pump: Reads it; calls `note` for an answer.
    """

    def __init__(self, link: DaemonLink, pump: Callable[[], None]) -> None:
        self._link = link
        self._pump = pump
        self._lock = threading.Lock()
        self._numbers = 0
        self._bells: dict[int, int] = {}
        self._answers: dict[int, ExtensionAnswer] = {}
        self._closed = False

    def note(self, answer: ExtensionAnswer) -> None:
        """An answer came."""
        with self._lock:
            bell = self._bells.get(answer.number)
            if bell is not None:  # else whoever asked was interrupted, and waits no more
                self._answers[answer.number] = answer
                os.eventfd_write(bell, 1)

    def close(self) -> None:
        """Nobody is to wait any more: the link is about to be closed."""
        with self._lock:
            self._closed = True
            for bell in self._bells.values():
                os.eventfd_write(bell, 1)

    def ask(self, question: ExtensionAsk) -> ExtensionAnswer:
        """Ask, and wait for the answer.

        Raises:
            NodeClosedError: the daemon is gone, or another thread closes the node meanwhile.
        """
        bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._bells[number] = bell
        try:
            poll = select.poll()
            poll.register(bell, select.POLLIN)
            with self._lock:
                if not self._closed:
                    poll.register(self._link.fileno(), select.POLLIN)
            self._link.send(msgspec.structs.replace(question, number=number))
            while number not in self._answers:
                if self._closed:
                    raise NodeClosedError("this node was closed before the daemon had answered")
                if self._link.gone:
                    raise NodeClosedError("the daemon that ran this dataflow is gone")
                self._pump()
                if number not in self._answers:
                    poll.poll()
            return self._answers.pop(number)
        finally:
            with self._lock:
                del self._bells[number]
                self._answers.pop(number, None)
                os.close(bell)


def store(host: Host, namespace: str, key: str, value: bytes) -> None:
    """See `Node.extension_store`."""
    if not isinstance(value, bytes):
        raise TypeError(
            f"the value of `{namespace}/{key}` is {type(value).__name__}, not bytes; convert it "
            "with `bytes(...)`"
        )
    if len(value) > MOST_BYTES:
        raise ExtensionError(
            f"the value of `{namespace}/{key}` has {len(value)} bytes, of {MOST_BYTES} that may be "
            "stored; send large data as messages"
        )
    answer = _ask(host, "store", namespace, key, value)
    if answer.problem is not None:
        raise ExtensionError(answer.problem)


def load(host: Host, namespace: str, key: str, *, remove: bool) -> bytes | None:
    """See `Node.extension_load`."""
    return _ask(host, "take" if remove else "load", namespace, key).value


def drop(host: Host, namespace: str, key: str) -> None:
    """See `Node.extension_drop`."""
    _ask(host, "drop", namespace, key)


def dropped(host: Host, namespace: str) -> list[str]:
    """See `Node.drain_dropped_extension_keys`."""
    return _ask(host, "drain", namespace).keys


def _ask(
    host: Host, action: Action, namespace: str, key: str = "", value: bytes = b""
) -> ExtensionAnswer:
    for what, name in (("namespace", namespace), ("key", key)):
        if not isinstance(name, str):
            raise TypeError(f"a {what} of extension values is text, not {type(name).__name__}")
        if len(name.encode()) > MOST_NAME_BYTES:
            raise ExtensionError(
                f"the {what} `{name[:20]}...` is longer than {MOST_NAME_BYTES} bytes; what is "
                "long belongs into the value"
            )
    return host.ask(ExtensionAsk(0, action, namespace, key, value))

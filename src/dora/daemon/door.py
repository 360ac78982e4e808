"""Who may speak to the daemon: accepts connections of this user, and keeps strangers at bay.

A connection is a stranger until it has registered as a node. Strangers have little time, and only
so many are kept; running out of descriptors makes new ones wait and hurts nobody else.

Elsewhere: what they say (`daemon.link`), whether a node is let in (`daemon.roster`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dora.daemon.link import Link
from dora.transport import endpoint

if TYPE_CHECKING:
    import asyncio
    import socket

    from dora.daemon.callbacks import Loop
    from dora.daemon.link import LinkOwner
    from dora.daemon.observer import Observer
    from dora.transport.endpoint import Listener

_REGISTER_WITHIN_S = 30.0
_ACCEPT_AT_ONCE = 64
_ACCEPT_AGAIN_S = 0.1
_REPAIR_EVERY_S = 2.0
_MOST_STRANGERS = 512
"""The oldest makes room for one more."""


class Door:
    """The listening sockets, which it takes over, and the strangers at them."""

    def __init__(
        self,
        loop: Loop,
        listener: Listener,
        owner: LinkOwner,
        observer: Observer,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._owner = owner
        self._observer = observer
        self._strangers: dict[Link, asyncio.TimerHandle] = {}
        self._open = True
        self._full = False
        """Whether it was told that a connection has to wait, and none came in since."""
        self._watched: list[socket.socket] = []
        self._watch()
        self._told = ""
        """What was said last of a socket whose file is gone."""
        self._repairing: asyncio.TimerHandle | None = None
        if not listener.address.startswith("@"):
            self._repair()

    def forget(self, link: Link) -> None:
        """It has registered, or is gone: a stranger no more."""
        timer = self._strangers.pop(link, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Let nobody in any more."""
        self._open = False
        self._unwatch()
        if self._repairing is not None:
            self._repairing.cancel()
        self._listener.close()
        for link in list(self._strangers):
            link.close_when_sent()
            self._drop(link)

    def _watch(self) -> None:
        self._watched = list(self._listener.sockets)
        for one in self._watched:
            one.setblocking(False)
            self._loop.add_reader(one, self._accept, one)

    def _unwatch(self) -> None:
        for one in self._watched:
            if one.fileno() >= 0:
                self._loop.remove_reader(one)
        self._watched.clear()

    def _repair(self) -> None:
        """Somebody may have removed the folder that the socket's file stood in."""
        self._repairing = self._loop.call_later(_REPAIR_EVERY_S, self._repair)
        if not self._listener.damaged:
            self._told = ""
            return
        self._unwatch()
        try:
            self._listener.repair()
        except OSError as exc:
            told = f"was removed, and cannot be made anew: {exc.strerror}"
        else:
            told = "was removed, and was made anew"
        if told != self._told:
            self._observer.notice("warn", f"`{self._listener.address}` {told}")
            self._told = told
        self._watch()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                sock, _address = listener.accept()
            except BlockingIOError:
                return
            except OSError as exc:
                if not self._full:
                    told = f"a new connection has to wait: {exc.strerror}"
                    self._observer.notice("warn", told)
                self._full = True
                self._unwatch()
                self._loop.call_later(_ACCEPT_AGAIN_S, self._accept_again)
                return
            self._full = False
            if endpoint.peer_uid(sock) != os.getuid():
                sock.close()
                continue
            while len(self._strangers) >= _MOST_STRANGERS:
                self._drop(next(iter(self._strangers)))
            link = Link(self._loop, sock, self._owner)
            self._strangers[link] = self._loop.call_later(_REGISTER_WITHIN_S, self._drop, link)

    def _accept_again(self) -> None:
        if self._open and not self._watched:
            self._watch()

    def _drop(self, stranger: Link) -> None:
        self.forget(stranger)
        stranger.close()

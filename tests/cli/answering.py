"""A daemon that answers whatever is asked with one message, for tests of those who ask."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dora.transport.endpoint import Listener
from dora.wire import messages
from dora.wire.framing import Deframer, frame

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    import msgspec


@contextmanager
def answering(address: str, answer: msgspec.Struct | None) -> Iterator[None]:
    """Somebody listens at the address; without an answer, it never says a word."""
    listener = Listener(address)
    open_links: list[socket.socket] = []

    def serve(accepting: socket.socket) -> None:
        while True:
            try:
                link, _ = accepting.accept()
            except OSError:
                return  # shut down below
            open_links.append(link)
            deframer = Deframer()
            while answer is not None and (data := link.recv(4096)):
                for _ in deframer.feed(data):
                    link.sendall(frame(messages.encode(answer)))

    threads = [threading.Thread(target=serve, args=(one,)) for one in listener.sockets]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for one in listener.sockets:
            one.shutdown(2)
        for thread in threads:
            thread.join()
        for link in open_links:
            link.close()
        listener.close()

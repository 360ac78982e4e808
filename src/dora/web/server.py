"""Listens, and serves the page until it is told to end. Knows uvicorn.

Elsewhere: what is served (`web.app`), as a child of a run (`web.child`).
"""

from __future__ import annotations

import asyncio
import errno
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

from dora.errors import DoraError

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    from dora.web.hub import Hub

DEFAULT_PORT = 3672
"""D-O-R-A on a telephone."""
_NEXT_PORTS = 20
_MOST_FRAME_BYTES = 1 << 16
"""That a browser sends: more than the largest parameter."""
_THREADS = 32
_END_WITHIN_S = 2
_MOST_CONNECTIONS = 256
_IDLE_S = 20.0
"""What a connection that asks for nothing, or does not read the answer, may take."""


def listen(host: str, port: int | None) -> socket.socket:
    """Open the listening socket; the caller owns it.

    Args:
        host: A name or address of this machine.
        port: 0: any; None: the usual one, or the next that is free.

    Raises:
        DoraError: it cannot be opened there.
    """
    wanted = range(DEFAULT_PORT, DEFAULT_PORT + _NEXT_PORTS) if port is None else [port]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise DoraError(f"`{host}` is no address of this machine: {exc.strerror}") from exc
    family, _kind, _protocol, _name, address = found[0]
    for number in wanted:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address[0], number, *address[2:]))
            listener.listen(128)
        except OSError as exc:
            listener.close()
            if exc.errno == errno.EADDRINUSE and number != wanted[-1]:
                continue
            where = f"`{host}`, port {number}"
            if exc.errno == errno.EADDRINUSE:
                raise DoraError(f"{where}: in use; `--port 0` takes one that is free") from exc
            raise DoraError(f"cannot listen at {where}: {exc.strerror}") from exc
        return listener
    raise AssertionError("unreachable: the last port either works or raises")


def url_of(listener: socket.socket, token: str | None = None) -> str:
    """What to open in a browser."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    name = f"[{host}]" if ":" in host else host
    query = "" if token is None else f"?token={quote(token, safe='')}"
    return f"http://{name}:{port}/{query}"


def _http() -> type[H11Protocol]:
    """HTTP, for strangers too: none can keep all the connections that there may be for itself."""
    from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

    class Http(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._look_later(None)
            if len(self.connections) > _MOST_CONNECTIONS:
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._looking.cancel()

        def _look_later(self, seen: RequestResponseCycle | None) -> None:
            self._looking = self.loop.call_later(_IDLE_S, self._look, seen)

        def _look(self, seen: RequestResponseCycle | None) -> None:
            if self.transport.get_protocol() is not self:
                return  # a page's socket by now, which has pings of its own
            if self.cycle is seen or self.cycle.response_complete:
                self.transport.abort()
            else:
                self._look_later(self.cycle)

    return Http


class PageServer:
    """Serves the page at a socket, which it takes over.

    Args:
        listener: Where.
        hub: What all pages share.
        token: What a request must know; None: it must come from this user, on this machine.
    """

    def __init__(self, listener: socket.socket, hub: Hub, token: str | None = None) -> None:
        import uvicorn

        from dora.web.app import make_app

        class Server(uvicorn.Server):
            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                await super().shutdown(sockets)
                await hub.close()  # before the signal that ends it is raised anew

        self._listener = listener
        self._server = Server(
            uvicorn.Config(
                make_app(hub, token, listener.getsockname()[1]),
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                ws_max_size=_MOST_FRAME_BYTES,
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=_END_WITHIN_S,
                lifespan="off",
                http=_http(),
            )
        )

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM, which then do what they always do, or `ask_end`."""

        async def run() -> None:
            # Each question to a daemon takes one for as long as it takes.
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
            await self._server.serve(sockets=[self._listener])

        asyncio.run(run())

    def ask_end(self) -> None:
        """Have `run` return; from any thread."""
        self._server.should_exit = True

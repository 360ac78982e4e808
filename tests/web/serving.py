"""A served page for tests: the real server in a thread, spoken to as browsers do."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec
from websockets.sync.client import ClientConnection, connect

from dora.web.hub import Hub
from dora.web.server import PageServer, listen, url_of

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

DEADLINE_S = 20.0


class Served:
    """Serves while entered. `url` is where, `host` its `name:port`."""

    def __init__(self, *, token: str | None = None, read_only: bool = False, port: int = 0) -> None:
        listener = listen("127.0.0.1", port)
        self.url = url_of(listener)
        self.host = self.url.removeprefix("http://").rstrip("/")
        self.hub = Hub(read_only=read_only)
        self._server = PageServer(listener, self.hub, token)
        self._thread = threading.Thread(target=self._server.run, name="served")

    def page(self, **headers: str) -> Page:
        """A new connection, as a browser that shows the page makes it."""
        given = {"Origin": f"http://{self.host}"} | headers
        return Page(f"ws://{self.host}/ws", given)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.ask_end()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "the server does not end"


class Page:
    """What a page says and hears while entered; what comes too early is heard later."""

    socket: ClientConnection

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url, self._headers = url, headers
        self._open = ExitStack()
        self._n = 0
        self._early: list[dict[str, Any]] = []

    def say(self, t: str, **fields: Any) -> None:
        """Say something."""
        self.socket.send(msgspec.json.encode({"t": t, **fields}).decode())

    def hear(self, t: str, **fields: Any) -> dict[str, Any]:
        """Wait for a message of this kind, with these fields; `content` is what came with it."""
        for at, told in enumerate(self._early):
            if told["t"] == t and fields.items() <= told.items():
                return self._early.pop(at)
        while True:
            told = self._next()
            if told["t"] == t and fields.items() <= told.items():
                return told
            self._early.append(told)

    def _next(self) -> dict[str, Any]:
        data = self.socket.recv(timeout=DEADLINE_S)
        content = b""
        if isinstance(data, bytes):
            length = int.from_bytes(data[:4], "little")
            data, content = data[4 : 4 + length], data[4 + length :]
        return {**msgspec.json.decode(data), "content": content}

    def do(self, action: str, **fields: Any) -> dict[str, Any]:
        """Have something done; how it went."""
        self._n += 1
        self.say("do", n=self._n, action=action, **fields)
        return self.hear("done", n=self._n)

    def watch(self, name: str = "") -> dict[str, Any]:
        """Watch the only dataflow, or that of this name; its first state."""
        flows = self.hear("flows")["flows"]
        flow = next(one["id"] for one in flows if name in ("", one["name"]))
        self.say("watch", flow=flow)
        return self.hear("state", flow=flow)

    def __enter__(self) -> Self:
        made = connect(self._url, additional_headers=self._headers, max_size=None)
        self.socket = self._open.enter_context(made)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

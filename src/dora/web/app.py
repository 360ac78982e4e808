"""The web application: the page, its files, and the socket by which it is told everything.

Every request passes `_Door` first, so that no route can forget who may come in and what a browser
may load. Knows Starlette. Elsewhere: who may come in (`web.access`), what the socket says
(`web.browser`), listening (`web.server`).
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from dora.web.access import COOKIE, Asked, refusal
from dora.web.browser import BadMessageError, Browser
from dora.web.peers import is_own

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from dora.web.hub import Hub
    from dora.web.outbox import Frame
    from dora.web.peers import Address

STATIC = Path(__file__).parent / "static"
MOST_BROWSERS = 64

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
_POLICY_VIOLATION, _TRY_LATER = 1008, 1013

_ASK_FOR_TOKEN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>dora</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/static/style.css"><body class="door"><form method="get" action="/">
<h1>dora</h1><p><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="off" required autofocus>
<button>Open</button></p><p class="quiet">%s. <code>dora web</code> printed it when it started.</p>
</form></body></html>
"""


def make_app(hub: Hub, token: str | None, port: int) -> Starlette:
    """The application.

    Args:
        hub: What all pages share.
        token: What a request must know; None: it must come from this user, on this machine.
        port: Where it listens.
    """
    browsers: set[Browser] = set()

    async def socket(ws: WebSocket) -> None:
        await ws.accept()
        if len(browsers) >= MOST_BROWSERS:
            await ws.close(_TRY_LATER, "too many pages are open")
            return

        async def send(frame: Frame) -> None:
            await (ws.send_text(frame) if isinstance(frame, str) else ws.send_bytes(frame))

        browser = Browser(hub, send)
        browsers.add(browser)
        try:
            await _serve(ws, browser)
        finally:
            browsers.discard(browser)

    async def index(request: Request) -> Response:
        if token is None or "token" not in request.query_params:
            return FileResponse(STATIC / "index.html")
        answer = RedirectResponse("/", status_code=303)  # out of the address, into a cookie
        answer.set_cookie(f"{COOKIE}_{port}", token, httponly=True, samesite="lax")
        return answer

    routes = [
        Route("/", index),
        WebSocketRoute("/ws", socket),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(_Door, token=token, port=port)])


async def _serve(ws: WebSocket, browser: Browser) -> None:
    """Both directions, until one of them ends."""
    sending = asyncio.create_task(browser.run())
    hearing = asyncio.create_task(_hear(ws, browser))
    try:
        await asyncio.wait([sending, hearing], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, hearing):
            task.cancel()
        outcomes = await asyncio.gather(sending, hearing, return_exceptions=True)
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it is closed already
        await ws.close(_POLICY_VIOLATION)
    for outcome in outcomes:
        gone = isinstance(outcome, WebSocketDisconnect | BadMessageError | asyncio.CancelledError)
        if isinstance(outcome, BaseException) and not gone:
            raise outcome


async def _hear(ws: WebSocket, browser: Browser) -> None:
    while True:
        message = await ws.receive()
        if message["type"] != "websocket.receive":
            return
        said = message.get("text")
        browser.hear(message.get("bytes") or b"" if said is None else said)


class _Door:
    """Lets in who may come in, and tells browsers what the page may load."""

    def __init__(self, app: ASGIApp, token: str | None, port: int) -> None:
        self._app = app
        self._token = token
        self._cookie = f"{COOKIE}_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", []).extend(
                    (name.encode(), value.encode()) for name, value in _HEADERS.items()
                )
            await send(message)

        refused = refusal(self._asked(HTTPConnection(scope)), self._token)
        if refused is not None and refused.status == 401 and scope["path"].startswith("/static/"):
            refused = None  # what anybody can read in the package
        if refused is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(_POLICY_VIOLATION, refused.reason[:100])
        else:
            answer: Response = PlainTextResponse(f"{refused.reason}\n", refused.status)
            if refused.status == 401 and scope["path"] == "/":
                reason = refused.reason[:1].upper() + refused.reason[1:]
                answer = HTMLResponse(_ASK_FOR_TOKEN % reason, refused.status)
            await answer(scope, receive, send_with_headers)

    def _asked(self, request: HTTPConnection) -> Asked:
        headers = request.headers
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        client, server = request.scope.get("client"), request.scope.get("server")
        return Asked(
            host=headers.get("host", ""),
            origin=headers.get("origin"),
            bearer=bearer.strip() if scheme.lower() == "bearer" else None,
            cookie=request.cookies.get(self._cookie),
            query=request.query_params.get("token"),
            own=client is not None and server is not None and self._is_own(client, server),
        )

    def _is_own(self, client: Address, server: Address) -> bool:
        return self._token is None and is_own(client, server)

"""What `dora web` and `dora run --web` do.

Elsewhere: the flags (`cli.web_command`, `cli.main`), the server (`dora.web`).
"""

from __future__ import annotations

import importlib.util
import secrets
import sys
from typing import TYPE_CHECKING

import click

from dora import client
from dora.errors import DoraError
from dora.transport import endpoint

if TYPE_CHECKING:
    import socket

_NEEDS = {
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "websockets": "websockets",
    "PIL": "pillow",
}
"""Modules, and what is installed to have them."""


def serve_page(
    dataflow: str | None,
    host: str,
    port: int | None,
    token: str | None,
    *,
    read_only: bool,
    open_it: bool,
) -> int:
    """Serve the page until Ctrl-C.

    Raises:
        DoraError: it cannot be served so; the message says why.
    """
    need_libraries()
    from dora.web.access import is_loopback, is_token
    from dora.web.hub import Hub
    from dora.web.server import PageServer, listen, url_of

    if token is not None and not is_token(token):
        raise DoraError(
            "a token has 12 to 256 letters, digits and signs of ASCII, and no spaces; "
            "left out, one is made up where it is needed"
        )
    endpoint.runtime_dir()  # a wrong one is told now
    preferred = ""
    if dataflow is not None:
        with client.connect(dataflow) as found:
            preferred = found.dataflow.id
    listener = listen(host, port)
    away = not is_loopback(listener.getsockname()[0])
    if away and token is None:
        token = secrets.token_urlsafe(24)
    url = url_of(listener, token)
    click.echo(f"web page: {url}")
    if away:
        click.echo(
            "WARNING what is shown, and the token, travel unencrypted; over a network that is not "
            "yours use `ssh -L` and leave out `--host`",
            err=True,
        )
    sys.stdout.flush()
    if open_it:
        click.launch(url)
    try:
        PageServer(listener, Hub(read_only=read_only, preferred=preferred), token).run()
    except KeyboardInterrupt:
        click.echo()
    return 0


def open_listener() -> socket.socket:
    """For the page of `dora run --web`, before anything is started; tells its address.

    Raises:
        DoraError: a library is missing, or no port is free.
    """
    need_libraries()
    from dora.web.server import listen, url_of

    listener = listen("127.0.0.1", None)
    click.echo(f"web page: {url_of(listener)}", err=True)
    return listener


def need_libraries() -> None:
    """See to it that what the page needs is installed.

    Raises:
        DoraError: it is not; the message says how to install it.
    """
    missing = [name for module, name in _NEEDS.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise DoraError(f"the web page needs {', '.join(missing)}: pip install 'dora-py[web]'")

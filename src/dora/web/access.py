"""Who may use the page: decided from what a request says of itself. Pure.

* A page of another site must not talk to this server in the name of a user who has a browser open:
  where a browser tells where a request comes from (`Origin`), that must be this very server.
* A name that somebody else's DNS answers must not lead here: without a token, the server takes
  only names that always mean this machine (`Host`).
* Without a token, it is the user who runs the server, or root, whose programs on this machine may
  connect. Everybody else needs the token.

Elsewhere: whose a connection is (`web.peers`), requests (`web.app`).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from typing import NamedTuple

_TOKEN = re.compile(r"[!-~]{12,256}")
"""Shorter ones can be guessed; others get lost in headers and cookies."""
COOKIE = "dora_web"
"""With the port behind it: browsers keep one set of cookies for all ports of a machine."""


class Asked(NamedTuple):
    """What a request says of itself."""

    host: str
    """The header, with the port."""
    origin: str | None = None
    bearer: str | None = None
    """What stands behind `Authorization: Bearer`."""
    cookie: str | None = None
    query: str | None = None
    """`?token=`."""
    own: bool = False
    """Whether it comes from a program of this user, on this machine."""


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int
    reason: str


def is_token(text: str) -> bool:
    """Whether it is hard to guess, and comes back from a browser as it went there."""
    return _TOKEN.fullmatch(text) is not None


def refusal(asked: Asked, token: str | None) -> Refusal | None:
    """Why a request is refused; None if it is welcome.

    Args:
        asked: The request.
        token: What it must know; None: it must be this user's own, on this machine.
    """
    if asked.origin is not None and asked.origin.partition("://")[2] != asked.host:
        return Refusal(403, f"a page of {asked.origin} may not use this one")
    if token is not None:
        given = [one for one in (asked.bearer, asked.cookie, asked.query) if one is not None]
        if any(_same(one, token) for one in given):
            return None
        return Refusal(401, "this token is not the right one" if given else "a token is needed")
    if not is_loopback(_name_of(asked.host)):
        return Refusal(403, f"`{asked.host}` is not a name of this machine itself; use localhost")
    if not asked.own:
        return Refusal(403, "this page belongs to another user; `dora web --token` lets others in")
    return None


def is_loopback(name: str) -> bool:
    """Whether a host name always means the machine itself."""
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name_of(host: str) -> str:
    """The host of `host:port`, without the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _same(given: str, token: str) -> bool:
    """Takes as long whatever is given."""
    return hmac.compare_digest(given.encode(errors="replace"), token.encode(errors="replace"))

"""How a dataflow is served, by whoever hosts it. Obeyed by `daemon.server`."""

from __future__ import annotations

import msgspec

from dora.daemon.flow import Graces


class Settings(msgspec.Struct, frozen=True):
    """How a dataflow is served."""

    name: str | None = None
    """What the user calls it; None: by its file."""
    background: bool = False
    """Whether the background daemon serves it."""
    hot_reload: bool = False
    params: dict[str, dict[str, bytes]] = {}
    """Parameters that were set before: node id, key, JSON."""
    graces: Graces = Graces()
    held: bool = False
    """Whether the nodes start only when `Server.allow_start` was called, too."""
    trace_hz: float | None = None
    """Traces in a second from the start on; None: until somebody asks, none."""

"""How to run a plan, and what to show of it. Obeyed by `running.foreground`."""

from __future__ import annotations

import os

import msgspec


class RunOptions(msgspec.Struct, frozen=True):
    """How to run a plan and what to show of it."""

    stop_after_s: float | None = None
    log_level: str = "stdout"
    """Lines less severe than this are not shown; `stdout` shows everything."""
    log_format: str = "pretty"
    log_filter: dict[str, str] = {}
    """Node id to level, where it differs from `log_level`."""
    hot_reload: bool = False
    """A node whose file is saved is started again."""
    web: bool = False
    """Whether it is shown in the browser too."""


def shows_colour(fd: int) -> bool:
    """Whether what is written to this descriptor may be coloured."""
    return os.isatty(fd) and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

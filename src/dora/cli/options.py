"""What the flags of `dora run` mean: parsed, checked, plain.

Pure; raises ValueError with words for the user, which `cli.main` turns into usage errors.
Elsewhere: the flags themselves (`cli.main`), obeying them (`cli.run`).
"""

from __future__ import annotations

import re

import msgspec

from dora.ids import LOG_LEVELS, is_node_id, suggest

LOG_FORMATS = ("pretty", "json", "compact")

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


class RunOptions(msgspec.Struct, frozen=True):
    """How to run a plan and what to show of it."""

    stop_after_s: float | None = None
    log_level: str = "stdout"
    """Lines less severe than this are not shown; `stdout` shows everything."""
    log_format: str = "pretty"
    log_filter: dict[str, str] = {}
    """Node id to level, where it differs from `log_level`."""


def parse_duration(text: str) -> float:
    """Read a duration, in seconds: `10`, `0.5`, `500ms`, `10s`, `5m`, `1h30m`.

    Raises:
        ValueError: it is none.
    """
    compact = "".join(text.split())
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        return float(compact)
    parts = _PART.findall(compact)
    if not parts or "".join(count + unit for count, unit in parts) != compact:
        raise ValueError(f"`{text}` is no duration; write seconds, or 500ms, 10s, 5m, 1h30m")
    return sum(float(count) * _UNIT_S[unit] for count, unit in parts)


def parse_log_filter(text: str) -> dict[str, str]:
    """Read levels by node: `camera=debug,plot=warn`.

    Raises:
        ValueError: a part is no `node=level`.
    """
    levels: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        node, equals, level = (piece.strip() for piece in part.partition("="))
        level = level.lower()
        if not equals or not is_node_id(node):
            raise ValueError(
                f"`{part.strip()}` is no filter; write `node=level`, e.g. camera=debug"
            )
        if level not in LOG_LEVELS:
            near = suggest(level, LOG_LEVELS)
            hint = f"did you mean `{near}`?" if near else f"levels: {', '.join(LOG_LEVELS)}"
            raise ValueError(f"`{level}` is no log level; {hint}")
        levels[node] = level
    return levels


def parse_env(pairs: tuple[str, ...]) -> dict[str, str]:
    """Read `NAME=value` pairs; the value is taken as it stands.

    Raises:
        ValueError: one has no `=`, or a name that no variable can have.
    """
    variables: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[^\s=\d$][^\s=$]*", name):
            raise ValueError(f"`{pair}` sets no variable; write `NAME=value`")
        variables[name] = value
    return variables

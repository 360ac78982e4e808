"""What the flags of commands mean: parsed, checked, plain.

Pure; raises ValueError with words for the user, which `cli.flags` turns into usage errors.
Elsewhere: the flags themselves (`cli.main`), what they end in (`running.options`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dora.ids import LOG_LEVELS, RESERVED_NODE_ID, is_node_id, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

LOG_FORMATS = ("pretty", "json", "compact")

_UNIT_S = {
    **{"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3},
    **{"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0},
}
_PART = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(_UNIT_S)})")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*((?:[kmgt]i?)?b?)", re.IGNORECASE)


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


def parse_moment(text: str, now_s: float) -> float:
    """Read a time: a duration ago, or RFC 3339, which is local time if it names no zone.

    Args:
        text: `5m`, `2026-01-31T12:00:00Z`.
        now_s: Now, in seconds since the epoch, as is the result.

    Raises:
        ValueError: it is neither.
    """
    try:
        return now_s - parse_duration(text)
    except ValueError:
        from datetime import datetime
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"`{text}` is no time; write how long ago, e.g. 30s, 5m, 1h30m, or a time like "
            "2026-01-31T12:00:00Z"
        ) from None


def parse_size(text: str) -> int:
    """Read a number of bytes: `500MB`, `1.5 GB`, `64KiB`, `1000000`.

    Raises:
        ValueError: it is none, or less than one byte.
    """
    match = _SIZE.fullmatch(text.strip())
    unit = "" if match is None else match[2].upper()
    power = " KMGT".index(unit[:1] or " ")
    size = 0 if match is None else int(float(match[1]) * (1024 if "I" in unit else 1000) ** power)
    if size < 1:
        raise ValueError(f"`{text}` is no size; write bytes, or 500MB, 2GB, 64KiB")
    return size


def parse_names(text: str) -> tuple[str, ...]:
    """Read what stands between commas: `a,b`.

    Raises:
        ValueError: nothing does.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ValueError("it names nothing")
    return names


def parse_choice(text: str, known: tuple[str, ...], noun: str) -> str:
    """Read one of the `known` names, in any case.

    Raises:
        ValueError: it is none of them.
    """
    wanted = text.strip().lower()
    if wanted in known:
        return wanted
    near = suggest(wanted, known)
    hint = f"did you mean `{near}`? " if near else ""
    raise ValueError(f"`{text}` is no {noun}; {hint}(there are: {', '.join(known)})")


def parse_log_filter(text: str) -> dict[str, str]:
    """Read levels by node: `camera=debug,plot=warn`; `dora` is the daemon.

    Raises:
        ValueError: a part is no `node=level`.
    """
    levels: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        node, equals, level = (piece.strip() for piece in part.partition("="))
        if not equals or not (is_node_id(node) or node == RESERVED_NODE_ID):
            raise ValueError(
                f"`{part.strip()}` is no filter; write `node=level`, e.g. camera=debug"
            )
        levels[node] = parse_choice(level, LOG_LEVELS, "log level")
    return levels


def absent_nodes(log_filter: Iterable[str], node_ids: Iterable[str]) -> list[str]:
    """A message for each node that a filter names and the dataflow does not have."""
    known = list(node_ids)
    told: list[str] = []
    for node in log_filter:
        if node not in known and node != RESERVED_NODE_ID:
            near = suggest(node, known)
            there = f"nodes here: {', '.join(known)}"
            hint = f"did you mean `{near}`? ({there})" if near else there
            told.append(f"node `{node}`, which this dataflow does not have; {hint}")
    return told


def parse_env(pairs: tuple[str, ...]) -> dict[str, str]:
    """Read `NAME=value` pairs; the value is taken as it stands.

    Raises:
        ValueError: one has no `=`, or a name that no variable can have.
    """
    from dora.descriptor.environment import is_env_name  # Only `dora run` needs it.

    variables: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not is_env_name(name):
            raise ValueError(f"`{pair}` sets no variable; write `NAME=value`")
        variables[name] = value
    return variables

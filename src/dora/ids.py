"""Names: nodes, their ports, and what an input may read from. Parse, check, print; pure.

camera/image                     output `image` of node `camera`
dora/timer/millis/33             a timer
dora/logs/info/camera            log lines, by least level and by node
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

NodeId = str
PortId = str

RESERVED_NODE_ID = "dora"
LOG_LEVELS = ("error", "warn", "info", "debug", "trace", "stdout")
"""Most severe first. `stdout` is what a node prints: it passes only where everything does."""
NODE_ID_RULE = "use letters, digits, `_`, `-` and `.`, and no `.` at the start"
PORT_ID_RULE = "use letters, digits, `_`, `-` and `.`, and `/` between parts"
"""How messages everywhere say what an input or output may be called."""

_NODE_ID = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]*")
_PORT_ID = re.compile(r"[A-Za-z0-9_.\-]+(?:/[A-Za-z0-9_.\-]+)*")
_TIMER_UNIT_NS = {"secs": 1_000_000_000, "millis": 1_000_000, "micros": 1_000, "nanos": 1}
_MAX_INTERVAL_NS = 2**63 - 1


class OutputRef(msgspec.Struct, frozen=True):
    """One output of one node, written `node/output`."""

    node: NodeId
    output: PortId

    def __str__(self) -> str:
        return f"{self.node}/{self.output}"


class TimerRef(msgspec.Struct, frozen=True):
    """A timer, written `dora/timer/<unit>/<count>` or `dora/timer/hz/<rate>`."""

    interval_ns: int
    text: str

    def __str__(self) -> str:
        return self.text


class LogsRef(msgspec.Struct, frozen=True):
    """The log lines of a dataflow: at least as severe as `level`, of one node or of all others."""

    level: str = "stdout"
    node: NodeId | None = None

    def __str__(self) -> str:
        return f"dora/logs/{self.level}" + (f"/{self.node}" if self.node else "")


Source = OutputRef | TimerRef | LogsRef


def is_node_id(text: str) -> bool:
    """Whether `text` may name a node."""
    return _NODE_ID.fullmatch(text) is not None and text != RESERVED_NODE_ID


def is_port_id(text: str) -> bool:
    """Whether `text` may name an input or output."""
    return _PORT_ID.fullmatch(text) is not None


def suggest(wrong: str, known: Iterable[str]) -> str | None:
    """The known name that `wrong` was probably meant to be."""
    import difflib  # costs more than all else here, and is seldom needed

    matches = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def parse_source(text: str) -> Source:
    """Read what an input names as its source.

    Raises:
        ValueError: the text is no source; the message says why and how one looks.
    """
    node, slash, rest = text.partition("/")
    if node == "dora" and slash:
        kind, _, arguments = rest.partition("/")
        if kind == "timer":
            return _parse_timer(text, arguments)
        if kind == "logs":
            return _parse_logs(text, arguments)
        raise ValueError(
            f"`{text}` is no source that dora offers; there are `dora/timer/millis/100`, "
            "`dora/timer/hz/30` and `dora/logs`"
        )
    if slash and not node:
        raise ValueError(f"`{text}` names no node; write `node/output`, e.g. `node{text}`")
    if not slash or not rest:
        raise ValueError(
            f"`{text}` names no output; write `node/output`, e.g. `{node or 'node'}/image`"
        )
    if not is_node_id(node):
        raise ValueError(f"`{node}` in `{text}` cannot be a node id; {NODE_ID_RULE}")
    if not is_port_id(rest):
        raise ValueError(f"`{rest}` in `{text}` cannot be an output id; {PORT_ID_RULE}")
    return OutputRef(node, rest)


def _parse_timer(text: str, arguments: str) -> TimerRef:
    unit, _, count = arguments.partition("/")
    if not unit:
        raise ValueError(f"`{text}` names no interval; e.g. `dora/timer/millis/100`")
    if not count and (unit == "hz" or unit in _TIMER_UNIT_NS):
        number = "30" if unit == "hz" else "100"
        raise ValueError(f"`{text}` lacks its number; e.g. `dora/timer/{unit}/{number}`")
    if unit == "hz":
        try:
            rate_hz = float(count)
        except ValueError:
            raise ValueError(f"`{count}` in `{text}` is no rate; e.g. `dora/timer/hz/30`") from None
        if not (rate_hz > 0 and math.isfinite(rate_hz)):
            raise ValueError(f"the rate in `{text}` must be greater than 0 and finite")
        interval_ns = round(1e9 / rate_hz)
        if not 0 < interval_ns <= _MAX_INTERVAL_NS:
            raise ValueError(f"the rate in `{text}` is out of range")
        return TimerRef(interval_ns, text)
    if unit not in _TIMER_UNIT_NS:
        near = suggest(unit, [*_TIMER_UNIT_NS, "hz"])
        raise ValueError(
            f"`{unit}` in `{text}` is no unit of a timer: secs, millis, micros, nanos or hz"
            + (f"; did you mean `{near}`?" if near else "")
        )
    if not (count.isascii() and count.isdigit()):
        raise ValueError(f"`{count}` in `{text}` is no whole number; e.g. `dora/timer/{unit}/100`")
    interval_ns = int(count) * _TIMER_UNIT_NS[unit]
    if not 0 < interval_ns <= _MAX_INTERVAL_NS:
        raise ValueError(f"the interval in `{text}` must be greater than 0 and below 292 years")
    return TimerRef(interval_ns, text)


def _parse_logs(text: str, arguments: str) -> LogsRef:
    if not arguments:
        return LogsRef()
    level, _, node = arguments.partition("/")
    if level not in LOG_LEVELS:
        near = suggest(level, LOG_LEVELS)
        raise ValueError(
            f"`{level}` in `{text}` is no log level: {', '.join(LOG_LEVELS)}"
            + (f"; did you mean `{near}`?" if near else "")
        )
    if node and not is_node_id(node):
        raise ValueError(f"`{node}` in `{text}` cannot be a node id; {NODE_ID_RULE}")
    return LogsRef(level, node or None)

"""How log lines and notices look: pretty, compact or JSON, coloured or plain. Pure.

    pretty    13:00:07 INFO   camera: opened /dev/video0
    compact   13:00:07 INFO camera: opened /dev/video0
    json      one object a line, as `dora/logs` inputs carry it

Elsewhere: writing them (`running.screen`).
"""

from __future__ import annotations

import math
import time
import zlib

from dora.daemon.edges import DAEMON
from dora.daemon.logs import LogLine, message_json, passes, timestamp_now

_LEVEL_COLOURS = {
    "error": "\033[31m",
    "warn": "\033[33m",
    "info": "\033[32m",
    "debug": "\033[34m",
    "trace": "\033[35m",
    "stdout": "\033[2m",
}
_NODE_COLOURS = tuple(f"\033[{code}m" for code in (36, 35, 34, 33, 32, 96, 95, 94, 93, 92))
_RESET = "\033[0m"
_UNTOLD_TARGETS = frozenset({None, "", "dora", "root", "__main__"})


class Display:
    """Renders lines. The clock is asked once for each batch.

    Args:
        log_format: `pretty`, `compact` or `json`.
        level: The least severe level that is shown.
        levels: Other levels for some nodes.
        colour: Whether for a terminal.
        dataflow_id: Goes into JSON.
    """

    def __init__(
        self,
        log_format: str,
        level: str,
        levels: dict[str, str],
        *,
        colour: bool,
        dataflow_id: str,
    ) -> None:
        self._format = log_format
        self._level = level
        self._levels = levels
        self._colour = colour
        self._dataflow_id = dataflow_id
        self._second: int | None = None
        self._stamp = ""

    def lines(self, batch: list[LogLine]) -> str:
        """The text of a batch, one line each or nothing for lines that are filtered out."""
        now = time.strftime("%H:%M:%S")
        return "".join(self._line(now, line) for line in batch if self._shown(line))

    def recorded(self, line: LogLine, time_s: float) -> str:
        """The text of a line of the past, which is shown whatever its level.

        Args:
            line: The line.
            time_s: When it was, since the epoch; infinite if nobody knows.
        """
        if not math.isfinite(time_s):
            return self._line("--:--:--", line)
        second = math.floor(time_s)
        if second != self._second:
            try:
                self._stamp = time.strftime("%H:%M:%S", time.localtime(second))
            except (OverflowError, ValueError, OSError):
                self._stamp = "--:--:--"
            self._second = second
        return self._line(self._stamp, line)

    def notice(self, level: str, text: str) -> str:
        """The text of a word of the daemon itself."""
        line = LogLine(DAEMON, "stderr", level, text, timestamp_now())
        if not self._shown(line):
            return ""
        return self._line(time.strftime("%H:%M:%S"), line)

    def _shown(self, line: LogLine) -> bool:
        return passes(line.level, self._levels.get(line.node, self._level))

    def _line(self, now: str, line: LogLine) -> str:
        if self._format == "json":
            return message_json(line, self._dataflow_id) + "\n"
        level = line.level if line.level == "stdout" else line.level.upper()
        if self._format == "compact":
            node = line.node
            level = level.upper()
        else:
            level = f"{level:<6}"
            node = "[dora]" if line.node == DAEMON else line.node
        target = "" if line.target in _UNTOLD_TARGETS else f"{line.target} "
        if not self._colour:
            return f"{now} {level} {node}: {target}{line.message}\n"
        colour = _NODE_COLOURS[zlib.crc32(line.node.encode()) % len(_NODE_COLOURS)]
        return (
            f"\033[2m{now}{_RESET} {_LEVEL_COLOURS[line.level]}{level}{_RESET} "
            f"{colour}{node}{_RESET}: {target}{line.message}{_RESET}\n"
        )

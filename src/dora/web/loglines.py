"""Log lines for one browser: the last ones that it wants, then those that come.

Reads the log files, so that a dataflow pays nothing for it. Calls block: they are for threads.
Elsewhere: the files (`monitor.log_files`, `monitor.log_reading`, `monitor.log_following`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dora.monitor.log_files import LogFiles
from dora.monitor.log_following import Follower
from dora.monitor.log_reading import tail

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.monitor.log_records import Record, Wanted
    from dora.wire.visits import Dataflow

MOST_LINES = 300
"""Of those that are there, and at once of those that come: a flood is shown by its end."""
_MOST_TEXT = 4000


class LogLines:
    """The lines of one dataflow. `close()` gives up its files; twice is fine.

    Args:
        flow: Whose lines.
        node: The only node that is wanted; None: all.
        wanted: Which lines.
    """

    def __init__(self, flow: Dataflow, node: str | None, wanted: Wanted) -> None:
        self._wanted = wanted
        self._node = node
        folder = Path(flow.log_dir) if flow.log_dir else Path("out", flow.id)
        self._complaints: list[str] = []
        self._files = LogFiles(folder, self._complaints.append)
        self._follower: Follower | None = None

    def open(self) -> dict[str, Any]:
        """The last lines that there are."""
        try:
            nodes = self._files.nodes()
        except FileNotFoundError:
            nodes = []  # nothing was printed yet
        except OSError as exc:
            self._complaints.append(f"`{self._files.folder}` cannot be read: {exc.strerror}")
            nodes = []
        wanted = [one for one in nodes if self._node in (None, one)]
        parts = {one: self._files.parts(one, whole=False) for one in wanted}
        self._follower = Follower(self._files, parts, self._node, self._complaints.append)
        return self._told(tail(self._files, parts, self._wanted, MOST_LINES), 0)

    def read(self) -> dict[str, Any] | None:
        """What came since; None if nothing did."""
        assert self._follower is not None
        found = [one for one in self._follower.read() if self._wanted.has(one)]
        if not found and not self._complaints:
            return None
        return self._told(found[-MOST_LINES:], max(0, len(found) - MOST_LINES))

    def close(self) -> None:
        """Read no more."""
        if self._follower is not None:
            self._follower.close()

    def _told(self, records: Iterable[Record], left_out: int) -> dict[str, Any]:
        complaints, self._complaints[:] = list(self._complaints), []
        return {
            "lines": [_line(one) for one in records],
            "left_out": left_out,
            "complaints": complaints,
        }


def _line(record: Record) -> dict[str, Any]:
    line = record.line
    text = line.message if len(line.message) <= _MOST_TEXT else f"{line.message[:_MOST_TEXT]}…"
    told: dict[str, Any] = {"node": line.node, "level": line.level, "text": text}
    if record.time > 0:
        told["ms"] = round(record.time * 1000)
    if line.target:
        told["target"] = line.target
    if line.fields:
        told["fields"] = {key: str(one)[:_MOST_TEXT] for key, one in line.fields.items()}
    return told

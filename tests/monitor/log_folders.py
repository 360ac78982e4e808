"""Log folders for tests: written as the daemon writes them, with what happens to files on disks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dora.daemon.logs import LogFile, LogLine
from dora.monitor.log_files import LogFiles
from dora.monitor.log_reading import records, tail
from dora.monitor.log_records import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dora.monitor.log_files import Part
    from dora.monitor.log_records import Record

START_S = 1_790_000_000


def line(node: str, message: str, at_ms: int = 0, level: str = "info") -> LogLine:
    """A record of `at_ms` after `START_S`."""
    moment = datetime.fromtimestamp(START_S, UTC).timestamp() + at_ms / 1000
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return LogLine(node, "stdout", level, message, text.replace("+00:00", "Z"))


def write(folder: Path, *lines: LogLine, max_size: int | None = None, rotated: int = 5) -> None:
    """Append lines to the files of their nodes."""
    folder.mkdir(exist_ok=True)
    for one in lines:
        file = LogFile(folder, one.node, max_size, rotated)
        file._append(b"")  # learns its size
        file.write([one])
        file.close()


def complaining(text: str) -> None:
    """For tests in which nothing goes wrong."""
    raise AssertionError(text)


def opened(files: LogFiles, *, whole: bool = True) -> dict[str, list[Part]]:
    """All there is."""
    return {node: files.parts(node, whole=whole) for node in files.nodes()}


def close(parts: dict[str, list[Part]]) -> None:
    """Give the descriptors up."""
    import os

    for part in [part for of_node in parts.values() for part in of_node]:
        os.close(part.fd)


def messages(found: list[Record] | Iterator[Record]) -> list[str]:
    """What was said."""
    return [record.line.message for record in found]


def read_all(folder: Path, wanted: Wanted | None = None, last: int | None = None) -> list[Record]:
    """What a folder holds, or the end of it."""
    files = LogFiles(folder, complaining)
    parts = opened(files)
    try:
        if last is None:
            return list(records(files, parts, wanted or Wanted()))
        return tail(files, parts, wanted or Wanted(), last)
    finally:
        close(parts)

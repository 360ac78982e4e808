"""What a log folder holds at one moment: all of it, or the end, merged by time over the nodes.

The lines of one node keep their order. Streams: memory does not grow with the files, and for the
end only the end is read. Elsewhere: files (`monitor.log_files`), records (`monitor.log_records`),
what comes later (`monitor.log_following`).
"""

from __future__ import annotations

import heapq
from itertools import islice
from typing import TYPE_CHECKING

from dora.monitor.log_files import backwards, forwards
from dora.monitor.log_records import Record, in_order, in_reverse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dora.monitor.log_files import LogFiles, Part
    from dora.monitor.log_records import Wanted


def records(files: LogFiles, parts: Mapping[str, list[Part]], wanted: Wanted) -> Iterator[Record]:
    """All that is wanted of these parts, oldest first; parts are listed by node, oldest first."""
    streams = (in_order(node, _lines(files, of_node, forwards)) for node, of_node in parts.items())
    return merged(filter(wanted.has, stream) for stream in streams)


def tail(
    files: LogFiles, parts: Mapping[str, list[Part]], wanted: Wanted, count: int
) -> list[Record]:
    """The last `count` of `records`, oldest first."""
    streams = [
        in_reverse(node, _lines(files, of_node[::-1], backwards)) for node, of_node in parts.items()
    ]
    # Of equal times the node that `records` gives first is wanted last here.
    backward = heapq.merge(
        *(filter(wanted.has, stream) for stream in reversed(streams)), key=_time, reverse=True
    )
    return list(islice(backward, count))[::-1]


def merged(streams: Iterable[Iterable[Record]]) -> Iterator[Record]:
    """Several streams as one, by time."""
    return heapq.merge(*streams, key=_time)


def _time(record: Record) -> float:
    return record.time


def _lines(
    files: LogFiles, parts: Iterable[Part], read: Callable[[int, int], Iterator[bytes]]
) -> Iterator[bytes]:
    for part in parts:
        try:
            yield from read(part.fd, part.end)
        except OSError as exc:
            files.unreadable(part.path, exc)

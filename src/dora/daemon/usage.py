"""What processes use: CPU time, memory, disk. Knows psutil, which is loaded on first use.

A node is its process and all that descend from it, so that what `uv run` starts counts, and a pool
of workers. Of children that have ended and were waited for, the CPU time counts. A sum falls when
one ended unnoticed, or left for another parent: whoever makes rates of these takes that for zero.

Elsewhere: when somebody looks (`daemon.server`), rates (`monitor.figures`).
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psutil import Process

_T = TypeVar("_T", int, float)


class Usage(msgspec.Struct, frozen=True):
    """Of one process and all its descendants since they started; None: cannot be known."""

    cpu_s: float | None = None
    memory_bytes: int | None = None
    """Resident; memory that several share counts for each."""
    disk_read_bytes: int | None = None
    """Read from the disk itself, not from its cache."""
    disk_write_bytes: int | None = None


def usage_of(pids: Iterable[int]) -> dict[int, Usage]:
    """What each of these processes uses, with its descendants; all None for one that is gone."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid, parent, _group in _processes():
        children[parent].append(pid)
    return {pid: _of_tree(pid, children) for pid in pids}


def anonymous_bytes(groups: Iterable[int]) -> dict[int, int]:
    """Memory that is the processes' own, by process group: resident, without files and arenas.

    Shared memory is left out: what a node receives lies in the memory of its senders.
    A group without processes has 0.
    """
    sums = dict.fromkeys(groups, 0)
    for pid, _parent, group in _processes():
        if group in sums:
            sums[group] += _anonymous(pid)
    return sums


def _of_tree(root: int, children: dict[int, list[int]]) -> Usage:
    """Parents first: a child that ends in between is then missed for once, never counted twice."""
    used = _of_process(root)
    if used is None:
        return Usage()
    waiting = list(children[root])
    while waiting:
        pid = waiting.pop()
        waiting += children[pid]
        one = _of_process(pid)
        if one is not None:
            used = Usage(
                _sum(used.cpu_s, one.cpu_s),
                _sum(used.memory_bytes, one.memory_bytes),
                _sum(used.disk_read_bytes, one.disk_read_bytes),
                _sum(used.disk_write_bytes, one.disk_write_bytes),
            )
    return used


def _of_process(pid: int) -> Usage | None:
    """Of one process alone and its children that ended; None if it is gone."""
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            cpu_s = times.user + times.system + times.children_user + times.children_system
            return Usage(cpu_s, process.memory_info().rss, *_disk(process))
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:  # /proc may hide processes of others
        return Usage()


def _disk(process: Process) -> tuple[int | None, int | None]:
    """Bytes read and written; of processes of another user they are not told."""
    import psutil

    try:
        counters = process.io_counters()
    except psutil.ZombieProcess:
        return 0, 0
    except (psutil.AccessDenied, NotImplementedError, OSError):
        return None, None
    return counters.read_bytes, counters.write_bytes


def _sum(one: _T | None, other: _T | None) -> _T | None:
    return None if one is None or other is None else one + other


def _processes() -> list[tuple[int, int, int]]:
    """Each process of the system, its parent, its group."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    stat = file.read()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it has ended meanwhile, or is hidden
            # The name before it stands in parentheses and may hold anything.
            _state, parent, group, _ = stat[stat.rindex(b")") + 2 :].split(maxsplit=3)
            found.append((int(name), int(parent), int(group)))
    return found


def _anonymous(pid: int) -> int:
    """Of one process; 0 if it has ended, or never had memory of its own."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = file.read().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line[:8] == b"RssAnon:"), 0)

"""What `dora list` shows: rows, as a table or as JSON.

Elsewhere: flags (`cli.dataflow_commands`), finding dataflows (`dora.client`).
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import msgspec

from dora import client
from dora.errors import DoraError
from dora.monitor.log_places import known_runs
from dora.transport import endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dora.wire.background import Run
    from dora.wire.visits import Dataflow, State

_SAMPLE_S = 0.3
"""CPU is measured over this time."""
_HEAD = ("UUID", "Name", "Status", "Nodes", "CPU", "Memory")


class Row(msgspec.Struct, frozen=True):
    """One dataflow, under the keys that dora-rs prints."""

    uuid: str
    name: str
    status: str
    nodes: int
    cpu: float | None
    """Percent of one core."""
    memory: float | None
    """GB, as dora-rs has it in JSON."""


def listed(
    status: str | None, name: str | None, sort_by: str | None, *, measured: bool
) -> list[Row]:
    """The dataflows that are asked for: those that run first, then by their start.

    Args:
        status: Only those of this status.
        name: Only those that have this in their name.
        sort_by: `cpu` or `memory`.
        measured: Whether CPU and memory are wanted.
    """
    here = client.running()
    ids = {dataflow.id for dataflow in here}
    running = _measured(here) if measured else [_row(one, None, None) for one in here]
    over = [_run_row(run) for run in known_runs() if run.id not in ids and run.status != "running"]
    rows = [
        row
        for row in (*running, *over)
        if (status is None or row.status.lower() == status) and (name is None or name in row.name)
    ]
    if sort_by is not None:
        rows.sort(key=lambda row: -(getattr(row, sort_by) or 0.0))
    return rows


def as_table(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of a table."""
    return _aligned(
        [
            _HEAD,
            *(
                (
                    row.uuid,
                    row.name,
                    row.status,
                    str(row.nodes),
                    "-" if row.cpu is None else f"{row.cpu:.1f}%",
                    "-" if row.memory is None else f"{row.memory * 1e3:.1f} MB",
                )
                for row in rows
            ),
        ]
    )


def as_json(rows: Iterable[Row]) -> Iterator[str]:
    """An object a line; what is not known is null."""
    for row in rows:
        yield _compact(msgspec.structs.asdict(row))


def as_forgotten(runs: list[Run], form: str) -> Iterator[str]:
    """Runs that were forgotten, as `table`, `json` or `quiet`."""
    if form == "quiet":
        return iter([run.id for run in runs])
    rows = [(run.id, run.name, run.status.capitalize()) for run in runs]
    if form == "json":
        keys = ("uuid", "name", "status")
        return iter([_compact(dict(zip(keys, row, strict=True))) for row in rows])
    return _aligned([_HEAD[:3], *rows])


def _compact(row: dict[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _row(dataflow: Dataflow, cpu: float | None, memory: float | None) -> Row:
    return Row(dataflow.id, dataflow.name, "Running", len(dataflow.nodes), cpu, memory)


def _run_row(run: Run) -> Row:
    return Row(run.id, run.name, run.status.capitalize(), run.nodes, 0.0, 0.0)


def _measured(here: list[Dataflow]) -> list[Row]:
    """Rows with CPU, from two looks at every dataflow, and memory."""
    first = {dataflow.id: _state(dataflow.id) for dataflow in here}
    if any(first.values()):
        time.sleep(_SAMPLE_S)
    rows = []
    for dataflow in here:
        before = first[dataflow.id]
        after = _state(dataflow.id) if before is not None else None
        if before is None or after is None:
            rows.append(_row(dataflow, None, None))
            continue
        memory = [node.memory_bytes for node in after.nodes if node.memory_bytes is not None]
        rows.append(
            _row(dataflow, _cpu(before, after), round(sum(memory) / 1e9, 6) if memory else None)
        )
    return rows


def _state(dataflow: str) -> State | None:
    """How a dataflow stands; None if it does not say."""
    try:
        with client.Client(endpoint.address_of(dataflow)) as connected:
            return connected.state()
    except (DoraError, OSError):
        return None


def _cpu(before: State, after: State) -> float | None:
    """Percent of one core, of all nodes that lived the whole time."""
    used = {(node.id, node.pid): node.cpu_s for node in before.nodes}
    spent = [
        node.cpu_s - earlier
        for node in after.nodes
        if node.cpu_s is not None and (earlier := used.get((node.id, node.pid))) is not None
    ]
    return round(100 * sum(spent) / ((after.now_ns - before.now_ns) / 1e9), 3) if spent else None

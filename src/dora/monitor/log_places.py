"""Which dataflow is meant, and where its log files stand: one that runs, or one that has ended.

Elsewhere: looking at running dataflows and asking the background daemon (`dora.client`), reading
the files (`monitor.log_files`).
"""

from __future__ import annotations

import re
from os.path import isdir, isfile  # for names that no file can have, too
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dora import client
from dora.errors import DoraError
from dora.transport import endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.wire.background import Run
    from dora.wire.visits import Dataflow

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOST_LISTED = 5


class Place(NamedTuple):
    """The log folder of one dataflow."""

    folder: Path
    """Need not be there: it is made with the first line."""
    dataflow_id: str
    nodes: tuple[str, ...] = ()
    """Those that it has now, if it runs."""


def find_place(which: str | None, node: str | None = None, *, local: bool = False) -> Place:
    """Find the dataflow that a user means.

    Args:
        which: Its name, the beginning of its id, its dataflow file, or the log folder itself. None:
            the only one that runs, else the latest one under `./out`.
        node: It has a node of this id; narrows the choice among those that run.
        local: Look only at what lies under `out`.

    Raises:
        DoraError: none fits, or several do; the message lists them.
    """
    flows = [] if local else client.running()
    place = _running(which, node, flows)
    if place is None and which is not None and not local:
        place = _of_run([run for run in known_runs() if _fits(which, run)])
    if place is None:
        place = _in_folder(which)
    if place is None and which is None and not local:
        place = _of_run(known_runs())
    if place is not None:
        return place
    raise DoraError(_not_found(which, flows, local))


def is_running(dataflow_id: str) -> bool:
    """Whether a dataflow of this user runs now."""
    return endpoint.address_of(dataflow_id) in endpoint.running()


def _running(which: str | None, node: str | None, flows: list[Dataflow]) -> Place | None:
    fits = [flow for flow in flows if which is None or _fits(which, flow)]
    exact = [flow for flow in fits if which in (flow.id, flow.name)]
    fits = exact or fits
    if len(fits) > 1:
        fits = [flow for flow in fits if node in flow.nodes] or fits
    if len(fits) > 1:
        raise DoraError(f"several dataflows fit; name one, by its name or its id:\n{_listed(fits)}")
    if not fits:
        return None
    flow = fits[0]
    folder = Path(flow.log_dir) if flow.log_dir else Path("out", flow.id)
    return Place(folder, flow.id, tuple(flow.nodes))


def _fits(which: str, one: Dataflow | Run) -> bool:
    if one.name == which or (which and one.id.startswith(which)):
        return True
    return bool(one.file) and isfile(which) and Path(which).resolve() == Path(one.file)


def known_runs() -> list[Run]:
    """All that the background daemon of this project knows, oldest first; none if there is none."""
    address = endpoint.daemon_address(endpoint.checkout())
    if address not in endpoint.daemons():
        return []
    try:
        with client.DaemonClient(address) as daemon:
            runs: list[Run] = daemon.runs()
            return runs
    except OSError:  # it has just ended
        return []


def _of_run(runs: list[Run]) -> Place | None:
    return Place(Path(runs[-1].log_dir), runs[-1].id) if runs else None


def _in_folder(which: str | None) -> Place | None:
    """What lies under `out`, of ended dataflows or those of another dora."""
    if which is None:
        return _latest(Path("out"))
    given = Path(which)
    if isfile(given):
        return _latest(given.parent / "out")
    if isdir(given) and any(given.glob("log_*.jsonl")):
        return Place(given, given.resolve().name)
    fits = [one for one in _folders(Path("out")) if which and one.name.startswith(which)]
    if len(fits) > 1:
        listed = "\n".join(f"  {one.name}" for one in fits)
        raise DoraError(f"several dataflows under `./out` begin with `{which}`:\n{listed}")
    return Place(fits[0], fits[0].name) if fits else None


def _latest(out: Path) -> Place | None:
    folders = _folders(out)
    return Place(folders[-1], folders[-1].name) if folders else None


def _folders(out: Path) -> list[Path]:
    """Of dataflows, oldest first: their ids begin with the time of their start."""
    try:
        return sorted(one for one in out.iterdir() if _ID.fullmatch(one.name) and one.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise DoraError(f"the folder `{out}` cannot be read: {exc.strerror}") from exc


def _listed(flows: Iterable[Dataflow]) -> str:
    return "\n".join(f"  {flow.id}  {flow.name}: {', '.join(flow.nodes)}" for flow in flows)


def _not_found(which: str | None, flows: list[Dataflow], local: bool) -> str:
    if which is None:
        return (
            ("" if local else "no dataflow is running, and ")
            + "there is no `./out` with logs of dataflows; start one with `dora run dataflow.yml`, "
            "or go to the folder of its file"
        )
    told = [f"there is no dataflow `{which}`, neither a running nor an ended one"]
    if any(which in flow.nodes for flow in flows):
        told[0] += f"; for the node of that name, `dora logs --node {which}`"
    if flows:
        told.append(f"running:\n{_listed(flows)}")
    runs = {flow.id for flow in flows}
    ended = [one.name for one in _folders(Path("out")) if one.name not in runs][-_MOST_LISTED:]
    if ended:
        told.append("under `./out`, the latest last:\n" + "\n".join(f"  {one}" for one in ended))
    return "\n".join(told)

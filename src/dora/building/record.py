"""What was built before: `.dora/builds/<name>.json` beside the dataflow file.

For each node the clone it comes from, and a mark of all that decided what its lines did. `dora run`
trusts it and skips what is marked so; `dora build` runs everything and writes it anew. A file that
cannot be read is as good as none.

Used by `building.dataflow`. Elsewhere: commits that are to stay (`building.lockfile`).
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec

from dora.building.commands import BuildError
from dora.descriptor.remote import clone_folder

if TYPE_CHECKING:
    from pathlib import Path

    from dora.descriptor.plan import GitSource, Plan


class CloneRecord(msgspec.Struct, frozen=True):
    """Which commit a repository was cloned at, and what had been asked for."""

    url: str
    ref_kind: str | None
    ref: str | None
    commit: str

    def is_of(self, source: GitSource) -> bool:
        """Whether the same was asked for."""
        return (self.url, self.ref_kind, self.ref) == (source.url, source.ref_kind, source.ref)


class NodeRecord(msgspec.Struct):
    """What was done for one node."""

    mark: str | None = None
    """Of its `pip install` lines; None if they must be run again."""
    clone: CloneRecord | None = None


class Record(msgspec.Struct):
    """What was done for one dataflow."""

    nodes: dict[str, NodeRecord] = {}

    def node(self, node_id: str) -> NodeRecord:
        """The record of a node, which may be empty."""
        return self.nodes.get(node_id, NodeRecord())


def dora_folder(working_dir: Path) -> Path:
    """The folder of what dora makes beside a dataflow file; git ignores it."""
    folder = working_dir / ".dora"
    folder.mkdir(exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    return folder


def read_record(working_dir: Path, name: str) -> Record:
    """What was built before of the dataflow of this name."""
    path = working_dir / ".dora" / "builds" / f"{name}.json"
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=Record)
    return Record()


def clones_of(plan: Plan) -> dict[str, Path]:
    """Where the last build has put the repositories of nodes, by node id."""
    record = read_record(plan.working_dir, plan.name)
    found = {}
    for node in plan.nodes:
        clone = record.node(node.id).clone
        if node.git is not None and clone is not None and clone.is_of(node.git):
            folder = clone_folder(plan.working_dir, clone.url, clone.commit)
            if (folder / ".git").is_dir():
                found[node.id] = folder
    return found


def write_record(working_dir: Path, name: str, record: Record) -> None:
    """Remember what was built; readers see the old record or the new one.

    Raises:
        BuildError: it cannot be written.
    """
    try:
        folder = dora_folder(working_dir) / "builds"
        folder.mkdir(exist_ok=True)
        half = folder / f"{name}.json.{os.getpid()}"
        half.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
        half.rename(folder / f"{name}.json")
    except OSError as exc:
        raise BuildError(
            f"what was built cannot be noted in `{working_dir / '.dora'}`: {exc.strerror}"
        ) from exc

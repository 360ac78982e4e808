"""What a node is made from, before its command is known: its files and its interpreter.

Most nodes are a file beside the dataflow under the Python that runs dora; for those this module
loads nothing.

Called by `descriptor.planner`, whose result `descriptor.command` goes on with. Elsewhere: what the
keys say (`descriptor.remote`, `descriptor.interpreter`), fetching it (`building`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from dora.descriptor.words import node_name

if TYPE_CHECKING:
    from pathlib import Path

    from dora.descriptor.command import Surroundings
    from dora.descriptor.model import NodeEntry
    from dora.descriptor.plan import Download, GitSource, Interpreter
    from dora.descriptor.report import Report


class Origin(msgspec.Struct, frozen=True):
    """Where a node comes from; None stands for what is usual."""

    folder: Path | None
    """The node's folder; None: the repository has not been cloned."""
    interpreter: Interpreter | None = None
    git: GitSource | None = None
    download: Download | None = None

    @property
    def is_fetched(self) -> bool:
        """Whether a build brings the node's file."""
        return self.git is not None or self.download is not None


def find_origin(index: int, node: NodeEntry, around: Surroundings, report: Report) -> Origin:
    """Read what a node is made from; mistakes go to the report."""
    folder: Path | None = around.working_dir
    git = download = interpreter = None
    if node.git is not None or node.path_sha256 is not None or "://" in (node.path or ""):
        from dora.descriptor.remote import read_download, read_git

        git = read_git(index, node, around.working_dir, report)
        download = read_download(index, node, around.working_dir, report)
        if git:
            folder = _clone(index, node, git, around, report)
        elif node.git is not None:
            report.damage("nodes", index, "path")
        if download and not (download.file.exists() or around.before_build):
            _not_built(index, f"`{download.url}` has not been fetched", "path", report)
    if node.python is not None or around.uv:
        from dora.descriptor.interpreter import find_interpreter

        interpreter = find_interpreter(
            index, node, around.working_dir, around.environ, report, uv=around.uv
        )
    return Origin(folder, interpreter, git, download)


def environment(origin: Origin, env: dict[str, str], around: Surroundings) -> dict[str, str]:
    """The variables of a node, those of its environment included; its own win."""
    if origin.interpreter is None:
        # `uv run` then means the environment of dora, unless it stands in a project of uv's.
        is_venv = around.uv and sys.prefix != sys.base_prefix
        return {"VIRTUAL_ENV": sys.prefix, **env} if is_venv else env
    from dora.descriptor.interpreter import variables

    return {**variables(origin.interpreter, around.environ), **env}


def _clone(
    index: int, node: NodeEntry, git: GitSource, around: Surroundings, report: Report
) -> Path | None:
    clone = around.clones.get(node.id)
    if clone is None and not around.before_build:
        _not_built(index, f"`{git.url}` has not been cloned", "git", report)
    return clone


def _not_built(index: int, what: str, key: str, report: Report) -> None:
    name = node_name(report.source.value, index)
    report.problem(f"{name}: {what}", "nodes", index, key, mend="run `dora build` first")
    report.damage("nodes", index, "path")

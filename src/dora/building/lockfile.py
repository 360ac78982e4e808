"""The lock file: which commit each node's repository stood at, to be kept under version control.

`<name>.dora-lock.yaml`, as dora-rs 1.1 writes it: a version, and address and commit of each node.

Used by `building.dataflow`. Elsewhere: cloning a commit (`building.clones`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dora.building.commands import BuildError
from dora.descriptor.source import load

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dora.descriptor.plan import GitSource

_VERSION = 2
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HEAD = "# Written by `dora build --write-lockfile`; obeyed with `--locked`.\n"


def write_lock(path: Path, commits: Mapping[str, tuple[str, str]]) -> None:
    """Write which commits were built.

    Args:
        path: The lock file.
        commits: Address and commit, by node id.

    Raises:
        BuildError: it cannot be written.
    """
    lines = [_HEAD, f"version: {_VERSION}\n", "git_sources:" + ("\n" if commits else " {}\n")]
    for node_id, (url, commit) in sorted(commits.items()):
        lines.append(f"  {_quoted(node_id)}:\n")
        lines.append(f"    repo: {_quoted(url)}\n    commit_hash: {_quoted(commit)}\n")
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as exc:
        raise BuildError(f"the lock file `{path}` cannot be written: {exc.strerror}") from exc


def read_lock(path: Path, sources: Mapping[str, GitSource]) -> dict[str, str]:
    """The commits to build, by node id.

    Args:
        path: The lock file.
        sources: The repository of each node that has one.

    Raises:
        BuildError: the file is not there, is no lock file, or does not fit the dataflow.
    """
    if not path.is_file():
        raise BuildError(
            f"there is no lock file `{path}`; write it with `dora build --write-lockfile`"
        )
    entries = _entries(path)
    commits: dict[str, str] = {}
    for node_id, source in sources.items():
        entry = entries.get(node_id)
        if not isinstance(entry, dict):
            raise _stale(path, f"it says nothing of node `{node_id}`")
        if entry.get("repo") != source.url:
            raise _stale(path, f"node `{node_id}` comes from `{source.url}`, not as it says")
        commit = str(entry.get("commit_hash"))
        if not _COMMIT.fullmatch(commit):
            raise _stale(path, f"`{commit}` of node `{node_id}` is no commit")
        commits[node_id] = commit
    return commits


def _entries(path: Path) -> dict[str, object]:
    content = load(path).value
    entries = content.get("git_sources") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        raise BuildError(f"`{path}` is no lock file; write one with `dora build --write-lockfile`")
    return entries


def _stale(path: Path, why: str) -> BuildError:
    return BuildError(
        f"the lock file `{path}` does not fit the dataflow: {why}; "
        "write it anew with `dora build --write-lockfile`"
    )


def _quoted(text: str) -> str:
    """A text that YAML takes for no number and no truth value."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

"""Files of a node that lie elsewhere: in a repository, at an address.

Reads `git`, `branch`, `tag`, `rev`, `path_sha256` and a `path` that is an address, and says where
what they name will lie. Pure: nothing is fetched here.

Called by `descriptor.origin`. Elsewhere: cloning and fetching (`building.clones`,
`building.downloads`), what is run in the end (`descriptor.command`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from dora.descriptor.plan import Download, GitSource
from dora.descriptor.words import node_name

if TYPE_CHECKING:
    from dora.descriptor.model import NodeEntry
    from dora.descriptor.report import Report

_REFS: tuple[Literal["branch", "tag", "rev"], ...] = ("branch", "tag", "rev")
_SSH = re.compile(r"(?:[^@/:]+@)?(?P<host>[^/:]+):(?P<path>[^/].*|/.*)")
_SCHEMES = ("http", "https", "ssh", "git", "file")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def read_git(index: int, node: NodeEntry, working_dir: Path, report: Report) -> GitSource | None:
    """The repository of a node; None if it has none, or if what is written cannot be right."""
    if node.git is None:
        return None
    name = node_name(report.source.value, index)
    given = [kind for kind in _REFS if getattr(node, kind) is not None]
    for kind in given[1:]:
        what = f"{name} has `{given[0]}` and `{kind}`: only one of them can be checked out"
        report.problem_with_key(what, "nodes", index, kind, mend="keep one of them")
        return None
    for kind in given:
        ref = getattr(node, kind)
        if not ref or ref.startswith("-") or re.search(r"[\s~^:?*\[\\]|\.\.", ref):
            what = f"`{kind}` of {name}: `{ref}` cannot be the name of one"
            report.problem(what, "nodes", index, kind, mend=f"write the name of a {kind}")
            return None
    url = _address(node.git, working_dir)
    if url is None:
        what = f"`git` of {name}: `{node.git}` is no address of a repository"
        mend = "write `https://host/name.git`, `user@host:name.git`, or the path of a repository"
        report.problem(what, "nodes", index, "git", mend=mend)
        return None
    if not given:
        return GitSource(url)
    return GitSource(url, given[0], getattr(node, given[0]))


def read_download(
    index: int, node: NodeEntry, working_dir: Path, report: Report
) -> Download | None:
    """The file that `path` has fetched; None if it is no address, or one that cannot be right."""
    path = node.path or ""
    name = node_name(report.source.value, index)
    is_address = "://" in path
    if node.path_sha256 is not None and not is_address:
        if not report.is_damaged("nodes", index, "path"):
            what = f"{name}: `path_sha256` means nothing without a `path` that is an address"
            report.problem_with_key(what, "nodes", index, "path_sha256", mend="delete it")
        return None
    if not is_address:
        return None
    if node.path_sha256 is not None and not _SHA256.fullmatch(node.path_sha256):
        what = f"`path_sha256` of {name} is no SHA-256 hash"
        mend = "write the 64 hexadecimal digits that `sha256sum FILE` prints"
        report.problem(what, "nodes", index, "path_sha256", mend=mend)
        return None
    parts = urlsplit(path)
    file_name = Path(unquote(parts.path)).name
    if parts.scheme not in {"http", "https"} or not parts.hostname or not file_name:
        what = f"`path` of {name}: `{path}` is no address of a file"
        mend = "write `http://host/file` or `https://host/file`, or a path"
        report.problem(what, "nodes", index, "path", mend=mend)
        return None
    file = working_dir / "build" / node.id / file_name
    sha256 = node.path_sha256.lower() if node.path_sha256 else None
    return Download(path, file, sha256)


def clone_folder(working_dir: Path, url: str, commit: str) -> Path:
    """Where one commit of a repository lies: `git/<host>/<path of the address>/<commit>`."""
    host, path = _host_and_path(url)
    steps = [step for step in path.split("/") if step not in {"", ".", ".."}]
    return working_dir.joinpath("git", host, *steps, commit)


def is_folder(written: str) -> bool:
    """Whether the address of a repository is a path on this machine."""
    return "://" not in written and (
        written.startswith((".", "/", "~")) or _SSH.fullmatch(written) is None
    )


def _host_and_path(url: str) -> tuple[str, str]:
    if "://" in url:
        parts = urlsplit(url)
        return parts.hostname or "localhost", parts.path
    if not url.startswith("/") and (ssh := _SSH.fullmatch(url)):
        return ssh["host"], ssh["path"]
    return "localhost", url


def _address(written: str, working_dir: Path) -> str | None:
    """An address as git takes it; None if it is none."""
    if not written or written.startswith("-") or re.search(r"\s", written):
        return None
    if "://" in written:
        parts = urlsplit(written)
        complete = parts.path.strip("/") and (parts.hostname or parts.scheme == "file")
        return written if parts.scheme in _SCHEMES and complete else None
    if not is_folder(written):
        return written
    return str((working_dir / Path(written).expanduser()).resolve())

"""Repositories of nodes: which commit is meant, and a folder that holds it.

A clone lies in a folder named after its commit and appears there whole or not at all; one that is
there is used as it is, so without a network what was built before can be built again.

Used by `building.dataflow`. Elsewhere: where clones lie (`descriptor.remote`), commits that are to
stay (`building.lockfile`).
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

from dora.building.commands import BuildError, Runner
from dora.descriptor.remote import clone_folder

if TYPE_CHECKING:
    from pathlib import Path

    from dora.descriptor.plan import GitSource

_FULL_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SILENT = {
    "GIT_TERMINAL_PROMPT": "0",  # Nobody is there to type a password.
    "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
    "GIT_ADVICE": "0",
    "LC_ALL": "C",
}
_OF_ANOTHER = frozenset(["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"])
"""Set in hooks of git: they would lead away from the repository that is meant."""


class UnreachableError(BuildError):
    """A repository does not answer; what was cloned before may do."""


class Repository:
    """One repository of one node.

    Args:
        who: The node, as errors begin.
        source: What the file names.
        working_dir: The folder of the dataflow file.
        runner: Runs git.
    """

    def __init__(self, who: str, source: GitSource, working_dir: Path, runner: Runner) -> None:
        self._who = who
        self._source = source
        self._working_dir = working_dir
        self._runner = runner

    def commit(self) -> str:
        """The commit that is meant, asked of the repository where need be.

        Raises:
            UnreachableError: the repository does not answer.
            BuildError: it has no such branch, tag or commit.
        """
        source = self._source
        if source.ref_kind == "rev":
            assert source.ref is not None
            return self.commit_offline() or self._short_commit(source.ref)
        try:
            listed = self._git("ls-remote", "--", source.url, *_names(source))
        except BuildError as exc:
            raise UnreachableError(str(exc)) from exc
        commits = {name: commit for commit, _, name in (line.partition("\t") for line in listed)}
        for name in _names(source):
            if name in commits:
                return commits[name]
        if source.ref is None:
            raise BuildError(f"{self._who}: the repository `{source.url}` has no commit yet")
        raise self._absent(source.ref_kind or "", source.ref)

    def commit_offline(self) -> str | None:
        """The commit that is meant, where that can be told without asking the repository."""
        if self._source.ref_kind != "rev" or self._source.ref is None:
            return None
        rev = self._source.ref.lower()
        if _FULL_COMMIT.fullmatch(rev):
            return rev
        return next((name for name in self._cloned() if name.startswith(rev)), None)

    def folder(self, commit: str) -> Path:
        """Where a commit lies, cloned or not."""
        return clone_folder(self._working_dir, self._source.url, commit)

    def has(self, commit: str) -> bool:
        """Whether a commit was cloned before."""
        return (self.folder(commit) / ".git").is_dir()

    def clone(self, commit: str) -> Path:
        """A folder with the files of a commit.

        Raises:
            BuildError: it cannot be cloned.
        """
        folder = self.folder(commit)
        if self.has(commit):
            return folder
        half = folder.with_name(f".{commit}.{os.getpid()}")
        self._make_folder(half.parent)
        try:
            self._git("clone", "--quiet", "--no-checkout", "--", self._source.url, str(half))
            self._check_out(half, commit)
            if folder.exists() and not self.has(commit):  # Left by something else.
                shutil.rmtree(folder)
            try:
                half.rename(folder)
            except OSError:
                if not self.has(commit):  # Else another build was faster.
                    raise
        finally:
            shutil.rmtree(half, ignore_errors=True)
        return folder

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise BuildError(f"{self._who}: `{folder}` cannot be made: {exc.strerror}") from exc

    def _check_out(self, clone: Path, commit: str) -> None:
        try:
            self._git("-C", str(clone), "cat-file", "-e", f"{commit}^{{commit}}")
        except BuildError:
            raise self._absent("commit", commit) from None
        self._git("-C", str(clone), "checkout", "--quiet", "--detach", commit)

    def _short_commit(self, rev: str) -> str:
        """The commit that a shortened hash means; only a clone can tell."""
        parent = self.folder("x").parent
        self._make_folder(parent)
        half = parent / f".{os.getpid()}"
        try:
            self._git("clone", "--quiet", "--bare", "--", self._source.url, str(half))
            return self._git("-C", str(half), "rev-parse", "--verify", f"{rev}^{{commit}}")[-1]
        except BuildError as exc:
            if "Needed a single revision" in str(exc):
                raise self._absent("commit", rev) from None
            raise
        finally:
            shutil.rmtree(half, ignore_errors=True)

    def _cloned(self) -> list[str]:
        parent = self.folder("x").parent
        return sorted(path.name for path in parent.glob("[0-9a-f]*")) if parent.is_dir() else []

    def _absent(self, kind: str, ref: str) -> BuildError:
        url = self._source.url
        return BuildError(
            f"{self._who}: the repository `{url}` has no {kind} `{ref}`; "
            f"see what it has: `git ls-remote {url}`"
        )

    def _git(self, *words: str) -> list[str]:
        git = shutil.which("git")
        if git is None:
            raise BuildError(
                f"{self._who} comes from `{self._source.url}`, and there is no command `git`; "
                "install it, e.g. with `apt install git`"
            )
        printed: list[str] = []
        environ = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER}
        self._runner.run(
            (git, *words),
            self._working_dir,
            environ | _SILENT,
            who=f"{self._who}: the repository cannot be read:",
            shown=" ".join(["git", *words]),
            on_line=printed.append,
        )
        return printed


def _names(source: GitSource) -> list[str]:
    """What `git ls-remote` may call the commit, the best name first."""
    if source.ref is None:
        return ["HEAD"]
    if source.ref_kind == "branch":
        return [f"refs/heads/{source.ref}"]
    return [f"refs/tags/{source.ref}^{{}}", f"refs/tags/{source.ref}"]

"""What to execute for a node: from `path` and `args` to words, resolved to real files.

Looks at which files exist and how programs begin, and runs none. A `.py` file runs under the
node's own interpreter, else the one that runs dora, never under whichever is first on PATH.

Called by `descriptor.planner`. Elsewhere: where a node's files and interpreter are
(`descriptor.origin`), running the command (`daemon`), `build` (`descriptor.builds`).
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dora.descriptor.plan import DEFAULT_FINISH_GRACE_S, Command
from dora.descriptor.words import node_name
from dora.ids import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dora.descriptor.model import NodeEntry
    from dora.descriptor.origin import Origin
    from dora.descriptor.report import Report

_PATH_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_PATH_VARIABLES = ("HOME", "USER", "PWD", "DORA_WORKSPACE", "CARGO_MANIFEST_DIR")
_HEAD_BYTES = 256


class Surroundings(msgspec.Struct, frozen=True):
    """What resolving a path depends on besides the node itself."""

    working_dir: Path
    environ: Mapping[str, str]
    uv: bool = False
    allow_shell: bool = False
    before_build: bool = False
    """A file that `build` may yet make is not missing."""
    clones: Mapping[str, Path] = {}
    """Where the repositories of nodes lie, by node id; known when they have been built."""
    finish_grace_s: float = DEFAULT_FINISH_GRACE_S
    """Of nodes that do not give one."""


def resolve(
    index: int, node: NodeEntry, origin: Origin, around: Surroundings, report: Report
) -> tuple[Command | None, Path | None]:
    """The command of a node, and the Python file it runs if `path` names one.

    No command: somebody else starts it, or there is a problem.
    """
    if node.path is None or node.path == "dynamic" or report.is_damaged("nodes", index, "path"):
        return None, None
    name = node_name(report.source.value, index)
    folder = origin.folder or around.working_dir
    if node.path == "shell":
        return _shell(index, name, node, folder, around, report), None
    words = _args(index, name, node.args, report)
    if origin.download:
        path: str | None = str(origin.download.file)
    elif "://" in node.path:
        return None, None  # Reported already.
    else:
        path = _expand_path(index, name, node.path, around, report)
    if path is None:
        return None, None
    is_built = node.build is not None or origin.is_fetched
    resolver = _Resolver(index, name, is_built, folder, origin, around, report)
    is_script = path.endswith(".py")
    found = resolver.script(path) if is_script else resolver.executable(path)
    if found is None:
        return None, None
    source = Path(os.path.abspath(folder / path)) if is_script else None
    return Command((*found, *words), folder), source


def python_words(origin: Origin, around: Surroundings, report: Report) -> tuple[str, ...] | None:
    """The beginning of a command that runs Python for a node; None if there is a problem."""
    if origin.interpreter:
        return (str(origin.interpreter.executable), "-u")
    if not around.uv:
        return (sys.executable, "-u")
    from dora.descriptor.interpreter import find_uv  # Most nodes do without.

    uv = find_uv(around.environ)
    if uv is None:
        report.problem_anywhere(
            "`--uv` needs the command `uv`, which is not on PATH",
            mend="install it with `pip install uv`, or leave `--uv` out",
        )
        return None
    return (uv, "run", "python", "-u")


def _args(index: int, name: str, args: str | None, report: Report) -> list[str]:
    try:
        return shlex.split(args or "")
    except ValueError:
        what = f"`args` of {name}: a quote is not closed"
        report.problem(what, "nodes", index, "args", mend="close the quote")
        return []


def _shell(
    index: int,
    name: str,
    node: NodeEntry,
    folder: Path,
    around: Surroundings,
    report: Report,
) -> Command | None:
    if not around.allow_shell:
        report.problem(
            f"{name} is a shell node, and shell nodes are not allowed",
            "nodes",
            index,
            "path",
            mend="allow them with `--allow-shell-nodes` or `DORA_ALLOW_SHELL_NODES=true`",
        )
        return None
    if not node.args:
        what = f"{name} is a shell node without a command line"
        report.problem(what, "nodes", index, "path", mend="write it into `args:`")
        return None
    return Command(("sh", "-c", node.args), folder)


def _expand_path(
    index: int, name: str, path: str, around: Surroundings, report: Report
) -> str | None:
    bad: list[str] = []

    def replace(match: re.Match[str]) -> str:
        variable = match[1] or match[2]
        value = around.environ.get(variable)
        if value is None and variable == "PWD":
            value = str(Path.cwd())
        if variable not in _PATH_VARIABLES or value is None:
            why = "is not set" if variable in _PATH_VARIABLES else "is not expanded there"
            known = ", ".join(f"`${known}`" for known in _PATH_VARIABLES)
            report.problem(
                f"`path` of {name}: the variable `{variable}` {why}",
                "nodes",
                index,
                "path",
                mend=f"`path` knows {known}",
                part=match[0],
            )
            bad.append(variable)
            return ""
        return value

    expanded = _PATH_VARIABLE.sub(replace, path)
    return None if bad else expanded


class _Resolver(msgspec.Struct, frozen=True):
    """Finds the file that one node's `path` means."""

    index: int
    name: str
    is_built: bool
    folder: Path
    origin: Origin
    around: Surroundings
    report: Report

    def script(self, path: str) -> tuple[str, ...] | None:
        """How to run a Python file."""
        file = self.folder / path
        if not self._exists(path, file, suffix=".py"):
            return None
        words = python_words(self.origin, self.around, self.report)
        return (*words, str(file)) if words else None

    def executable(self, path: str) -> tuple[str, ...] | None:
        """How to run any other program."""
        file = self.folder / path
        if file.is_file():
            if os.access(file, os.X_OK) or self._may_be_built():
                return self._begun_well(path, file)
            what = f"{self.name}: `{path}` is not executable"
            self._problem(what, f"run `chmod +x {shlex.quote(path)}`, or name a `.py` file")
            return None
        if "/" not in path:
            import shutil

            bin_folder = self._bin_folder()
            where = os.pathsep.join([str(bin_folder), self.around.environ.get("PATH", os.defpath)])
            if found := shutil.which(path, path=where):
                return self._begun_well(path, Path(found))
            return self._missing_program(path, bin_folder)
        return (str(file),) if self._exists(path, file, suffix="") else None

    def _begun_well(self, path: str, file: Path) -> tuple[str, ...] | None:
        """The command of a program, unless the system could not tell what is to run it."""
        if self._may_be_built() or (trouble := _bad_beginning(file)) is None:
            return (str(file),)
        what, mend = trouble
        self._problem(f"{self.name}: `{path}` {what}", mend)
        return None

    def _exists(self, path: str, file: Path, *, suffix: str) -> bool:
        if file.is_file():
            return True
        if file.is_dir():
            self._problem(f"{self.name}: `{path}` is a folder", "name the file in it")
            return False
        if self._may_be_built():
            return True
        near = similar_file(self.folder, path, suffix)
        if self.origin.git:
            mend = f"`path` is relative to the clone of `{self.origin.git.url}`"
            mend = f"did you mean `{near}`? ({mend})" if near else mend
        elif near:
            mend = f"did you mean `{near}`?"
        elif not file.parent.is_dir():
            mend = f"there is no folder `{Path(path).parent}` beside the dataflow file"
        else:
            kind = self.report.kind_of_file("nodes", self.index, "path")
            mend = f"`path` is relative to the folder of the {kind} file"
        self._problem(f"{self.name}: the file `{path}` does not exist", mend)
        return False

    def _missing_program(self, path: str, bin_folder: Path) -> tuple[str, ...] | None:
        if self._may_be_built():
            return (str(bin_folder / path),)
        if (self.folder / path).is_dir():
            self._problem(f"{self.name}: `{path}` is a folder", "name the file in it")
            return None
        near = similar_file(self.folder, path, "") or suggest(path, _names(bin_folder))
        looked = "looked beside the dataflow file, beside the interpreter and on PATH"
        mend = f"did you mean `{near}`? ({looked})" if near else f"install it ({looked})"
        self._problem(f"{self.name}: there is no program `{path}`", mend)
        return None

    def _may_be_built(self) -> bool:
        return self.is_built and self.around.before_build

    def _bin_folder(self) -> Path:
        own = self.origin.interpreter
        return own.executable.parent if own else Path(sys.executable).parent

    def _problem(self, what: str, mend: str) -> None:
        self.report.problem(what, "nodes", self.index, "path", mend=mend)


def _bad_beginning(file: Path) -> tuple[str, str] | None:
    """What keeps a program from being run, and how to mend it."""
    try:
        with file.open("rb") as program:
            head = program.read(_HEAD_BYTES)
    except OSError:
        return None  # A program may be run without leave to read it.
    mend = "begin it with a line such as `#!/usr/bin/env python3`, or name it `.py`"
    if not head:
        return "is empty, and cannot be run", mend
    if not head.startswith(b"#!"):
        is_binary = b"\0" in head or head.startswith(b"\x7fELF")
        return None if is_binary else ("is a text that does not say what is to run it", mend)
    first, end, _ = head.partition(b"\n")
    if end and first.endswith(b"\r"):
        return "has Windows line ends, so its first line names no program", "save it with Unix ones"
    interpreter = os.fsdecode(b" ".join(first[2:].split()[:1]))
    if not interpreter:
        return "begins with a `#!` that names no program", mend
    if end and interpreter.startswith("/") and not os.path.exists(interpreter):
        return f"is to be run by `{interpreter}`, which does not exist", mend
    return None


def similar_file(working_dir: Path, path: str, suffix: str) -> str | None:
    """A file that `path` might have meant: one of like name beside it, or one a folder deeper."""
    folder = (working_dir / path).parent
    beside = {
        str(Path(path).parent / name): name for name in _names(folder) if name.endswith(suffix)
    }
    wanted = Path(path).name
    if suffix and (deeper := sorted(working_dir.glob(f"*/{glob.escape(wanted)}"))):
        return str(deeper[0].relative_to(working_dir))
    near = suggest(wanted, beside.values())
    return next((shown for shown, name in beside.items() if name == near), None)


def _names(folder: Path) -> Iterable[str]:
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if entry.is_file())

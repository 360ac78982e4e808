"""Which Python runs and builds a node: `python:`, `--uv`, or the one that runs dora.

Looks at which files exist and runs none, so it finds environments of conda without conda. Says
also which variables a program in such an environment finds set.

Called by `descriptor.origin`. Elsewhere: whether an interpreter is fit for nodes
(`building.fitness`), making managed environments (`building.environment`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dora.descriptor.plan import Interpreter
from dora.descriptor.words import node_name
from dora.ids import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dora.descriptor.model import NodeEntry
    from dora.descriptor.report import Report

_CONDA = "conda:"
_HOMES = ("miniforge3", "mambaforge", "miniconda3", "anaconda3", "micromamba", ".conda")


def find_interpreter(
    index: int,
    node: NodeEntry,
    working_dir: Path,
    environ: Mapping[str, str],
    report: Report,
    *,
    uv: bool = False,
) -> Interpreter | None:
    """The Python of a node's own environment; None if it runs under dora's, or is not found."""
    if node.python is None:
        managed = uv and node.build is not None and node.path != "dynamic"
        return managed_interpreter(working_dir, node.id) if managed else None
    name = node_name(report.source.value, index)
    if node.path == "dynamic":
        what = f"{name}: `python` means nothing with `path: dynamic`: somebody else starts the node"
        report.problem_with_key(what, "nodes", index, "python", mend="delete it")
        return None
    found = python_of(node.python, working_dir, environ)
    if isinstance(found, Interpreter):
        return found
    what, mend = found
    report.problem(f"`python` of {name}: {what}", "nodes", index, "python", mend=mend)
    return None


def conda_interpreter(
    name: str, working_dir: Path, environ: Mapping[str, str]
) -> Interpreter | tuple[str, str]:
    """The Python of a conda environment, or what is wrong with its name and how to mend it."""
    if "/" in name:
        return _in_folder(name, working_dir / Path(name).expanduser(), [])
    known = dict(reversed(list(_conda_environments(environ))))
    if name in known:
        return _in_folder(name, known[name], [])
    what = f"there is no conda environment `{name}`"
    make = f"make it: `conda create -n {name} python=3.12`"
    if not known:
        return what, make
    near = suggest(name, known)
    hint = f"did you mean `{_CONDA}{near}`? Else " if near else ""
    return what, f"{hint}{make} (environments: {', '.join(sorted(known))})"


def managed_interpreter(working_dir: Path, node_id: str) -> Interpreter:
    """The Python that `dora build --uv` makes for one node."""
    prefix = working_dir / ".dora" / "python-envs" / node_id
    return Interpreter(prefix / "bin" / "python", prefix, "managed")


def find_uv(environ: Mapping[str, str]) -> str | None:
    """The command `uv`: on PATH, else beside the interpreter that runs dora."""
    import shutil  # Costs 3 ms.

    beside = str(Path(sys.executable).parent)
    return shutil.which("uv", path=os.pathsep.join([environ.get("PATH", os.defpath), beside]))


def variables(interpreter: Interpreter, environ: Mapping[str, str]) -> dict[str, str]:
    """What is set in an environment, as its activation would: programs find their like."""
    if interpreter.kind == "bare":
        return {}
    key = "CONDA_PREFIX" if interpreter.kind == "conda" else "VIRTUAL_ENV"
    path = environ.get("PATH", os.defpath)
    return {
        key: str(interpreter.prefix),
        "PATH": os.pathsep.join([str(interpreter.prefix / "bin"), path]),
    }


def python_of(
    written: str, working_dir: Path, environ: Mapping[str, str]
) -> Interpreter | tuple[str, str]:
    """The interpreter that `python: …` means, or what is wrong with it and how to mend that."""
    if written.startswith(_CONDA) and len(written) > len(_CONDA):
        return conda_interpreter(written.removeprefix(_CONDA), working_dir, environ)
    home = environ.get("HOME")
    expanded = written.replace("~", home, 1) if home and written.startswith("~/") else written
    place = Path(os.path.abspath(working_dir / expanded))  # Links to interpreters stay links.
    if place.is_dir():
        return _in_folder(written, place, _beside(place.parent))
    if place.is_file():
        if os.access(place, os.X_OK):
            return _of_file(place)
        return f"`{written}` is not executable", "name an interpreter or a virtual environment"
    if "/" not in written:
        import shutil  # Costs 3 ms.

        if program := shutil.which(written, path=environ.get("PATH")):
            return _of_file(Path(program))
    return _absent(written, place)


def _in_folder(written: str, folder: Path, beside: Iterable[str]) -> Interpreter | tuple[str, str]:
    python = folder / "bin" / "python"
    if not python.exists():
        near = [name for name in beside if name != folder.name]
        hint = f"did you mean `{near[0]}`? Else make one" if near else "make one"
        what = f"the folder `{written}` is no environment: it has no `bin/python`"
        return what, f"{hint}: `python -m venv {written}`"
    return Interpreter(python, folder, _kind(folder) or "venv")


def _of_file(python: Path) -> Interpreter:
    folder = python.parent.parent
    return Interpreter(python, folder, _kind(folder) or "bare")


def _kind(folder: Path) -> Literal["venv", "conda"] | None:
    if (folder / "pyvenv.cfg").is_file():
        return "venv"
    return "conda" if (folder / "conda-meta").is_dir() else None


def _absent(written: str, place: Path) -> tuple[str, str]:
    near = suggest(place.name, _beside(place.parent))
    if near:
        mend = f"did you mean `{Path(written).parent / near}`?"
    elif "/" not in written and written.startswith("python"):
        mend = "install it, or name a virtual environment"
    else:
        mend = f"make it: `python -m venv {written}`, or name a conda environment: `conda:NAME`"
    return f"there is no `{written}`", mend


def _beside(folder: Path) -> list[str]:
    """The environments in a folder."""
    if not folder.is_dir():
        return []
    return sorted(path.parent.parent.name for path in folder.glob("*/bin/python"))


def _conda_environments(environ: Mapping[str, str]) -> Iterable[tuple[str, Path]]:
    """Name and folder of each conda environment, those first that conda would take first."""
    home = Path(environ.get("HOME", "/nonexistent"))
    roots = [Path(environ[key]) for key in ("MAMBA_ROOT_PREFIX",) if environ.get(key)]
    roots += [Path(environ["CONDA_EXE"]).parent.parent] if environ.get("CONDA_EXE") else []
    if active := environ.get("CONDA_PREFIX"):
        inside = Path(active).parent
        roots.append(inside.parent if inside.name == "envs" else Path(active))
    roots += [home / name for name in _HOMES] + [Path("/opt/conda")]
    folders = [Path(text) for text in environ.get("CONDA_ENVS_PATH", "").split(":") if text]
    folders += [root / "envs" for root in roots]
    for folder in folders:
        for meta in sorted(folder.glob("*/conda-meta")):
            yield meta.parent.name, meta.parent
    for root in roots:
        if (root / "conda-meta").is_dir():
            yield "base", root
    listed = home / ".conda" / "environments.txt"
    if listed.is_file():
        for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.strip() and (place := Path(line.strip())).is_dir():
                yield place.name, place

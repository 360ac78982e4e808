"""A new dataflow or node, from templates: which names will do, what is written, all of it or none.

Templates lie in `templates/`: texts with `$name`, `$module`, `$description`, `$version`. Those that
tools would take for modules or settings of dora itself end in `.txt`.

Elsewhere: the flags (`cli.new_command`).
"""

from __future__ import annotations

import keyword
import os
import re
import sys
import tempfile
from pathlib import Path
from string import Template

from dora.errors import DoraError
from dora.version import VERSION

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?")
_TAKEN = {"dora", "tests", "numpy", "pyarrow", "pytest", *sys.stdlib_module_names}
"""Modules that a node's package would hide, or that would hide it."""
_PACKAGE = {
    "README.md": "{role}/README.md",
    "pyproject.toml": "package/pyproject.toml.txt",
    "{module}/__init__.py": "package/__init__.py.txt",
    "{module}/__main__.py": "package/__main__.py.txt",
    "{module}/main.py": "{role}/main.py.txt",
    "tests/test_{module}.py": "{role}/test.py.txt",
}
"""The files of a node's package, and the template of each."""
_DATAFLOW = {
    "README.md": "dataflow/README.md",
    "pyproject.toml": "dataflow/pyproject.toml.txt",
    "dataflow.yml": "dataflow/dataflow.yml",
    "tests/test_dataflow.py": "dataflow/test_dataflow.py.txt",
}


def make_dataflow(name: str) -> list[str]:
    """Make a dataflow with its nodes in a new folder of this name; return what to tell.

    Raises:
        DoraError: the name will not do, the folder is there already or cannot be written.
    """
    _check_name(name, "dataflow")
    files = _filled(_DATAFLOW, name=name)
    for node, role, told in (
        ("talker-1", "talker", "Says hello ten times a second"),
        ("talker-2", "talker", "Says hello every two seconds"),
        ("listener-1", "listener", "Prints what it hears"),
    ):
        package = _package(node, role, told)
        files |= {f"{node}/{path}": text for path, text in package.items()}
    _write(name, files)
    return [
        f"Created new Python dataflow `{name}` at ./{name}",
        f"   cd {name}",
        "   dora run dataflow.yml   # build and run it; Ctrl-C ends it",
        "   pytest                  # test it (pip install pytest)",
    ]


def make_node(name: str) -> list[str]:
    """Make a node's package in a new folder of this name; return what to tell.

    Raises:
        DoraError: the name will not do, the folder is there already or cannot be written.
    """
    folder = name.replace(" ", "-")
    _check_name(folder, "node")
    module = _module(folder)
    if not module.isidentifier() or keyword.iskeyword(module):
        raise DoraError(
            f"`{name}` cannot be the name of a node: its Python package would be `{module}`, "
            "which Python cannot import; begin with a letter, and take no word of the language"
        )
    if module in _TAKEN:
        raise DoraError(
            f"`{name}` cannot be the name of a node: its Python package `{module}` would stand in "
            f"the way of another `{module}`; say `{folder}-node`, for example"
        )
    _write(folder, _package(folder, "node", f"{name}, a node for dora"))
    return [
        f"Created new Python node `{name}` at ./{folder}",
        f"   cd {folder}",
        f"   python {module}/main.py   # try it by hand",
        "   pytest   # test it (pip install pytest)",
    ]


def _check_name(name: str, kind: str) -> None:
    if _NAME.fullmatch(name):
        return
    elsewhere = "; to make it in another folder, go there first" if "/" in name else ""
    raise DoraError(
        f"`{name}` cannot be the name of a {kind}: letters (a-z), digits, `-` and `_` will do, "
        f"and it begins and ends with a letter or a digit{elsewhere}"
    )


def _module(name: str) -> str:
    """The Python package of a node of this name."""
    return name.lower().replace("-", "_")


def _package(name: str, role: str, description: str) -> dict[str, str]:
    """The files of a node's package, by their paths."""
    module = _module(name)
    return _filled(_PACKAGE, role=role, name=name, module=module, description=description)


def _filled(templates: dict[str, str], **facts: str) -> dict[str, str]:
    return {
        path.format(**facts): Template(
            (_TEMPLATES / template.format(**facts)).read_text(encoding="utf-8")
        ).substitute(facts, version=VERSION)
        for path, template in templates.items()
    }


def _write(folder: str, files: dict[str, str]) -> None:
    """Write files into a new folder, which appears when all of them are there."""
    if os.path.lexists(folder):
        raise DoraError(f"`{folder}` is there already; take another name, or remove it")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder}-", dir=".") as unfinished:
            root = Path(unfinished, folder)
            for path, text in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text, encoding="utf-8")
            os.rename(root, folder)
    except OSError as exc:
        raise DoraError(f"`{folder}` cannot be made here: {exc.strerror}") from exc

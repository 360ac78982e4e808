"""Where code may stand and what it may import: the rules of the architecture, held by a machine.

The layers are those of `docs/architecture.md`. Imports inside functions count; those that only a
type checker sees do not.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "src" / "dora"

LAYERS = {
    "errors": 0,
    "ids": 0,
    "version": 0,
    "wire": 1,
    "descriptor": 2,
    "transport": 2,
    "client": 3,
    "node": 3,
    "daemon": 3,
    "building": 3,
    "running": 4,
    "simulation": 4,
    "monitor": 4,
    "background": 4,
    "recording": 5,
    "web": 6,
    "cli": 7,
    "testing": 7,
    "builder": 7,
    "pytest_plugin": 8,
    "__init__": 8,
    "__main__": 8,
}
"""Folders, and modules directly under `src/dora/`."""

EVERYWHERE = {"numpy", "pyarrow", "msgspec"}
MODULE_LINES = 400
FUNCTION_LINES = 50

MODULES = sorted(ROOT.rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in MODULES]
each_module = pytest.mark.parametrize("path", MODULES, ids=IDS)


@each_module
def test_imports_go_only_down_the_layers_or_into_the_own_folder(path: Path) -> None:
    unit = unit_of(path)
    wrong = [
        name
        for name in imports(path)
        if (target := unit_named(name)) is not None
        and target != unit
        and not (LAYERS[target] < LAYERS[unit] or LAYERS[target] == LAYERS[unit] == 0)
    ]
    assert not wrong, f"`{unit}` is layer {LAYERS[unit]} and may not import {wrong}"


@each_module
def test_nothing_inside_imports_the_facade(path: Path) -> None:
    if unit_of(path) == "__init__":
        return
    assert "dora" not in imports(path)


IN_A_FOLDER = {"click": "cli"}
"""Libraries that all modules of one folder may import."""

SHARED = {"PIL": {"node/image_files.py", "web/pictures.py"}}
"""Libraries that these modules may import: Pillow reads files for nodes, writes for browsers."""


def test_a_third_party_library_is_imported_by_one_module_only() -> None:
    importers: dict[str, set[str]] = defaultdict(set)
    for path, name in zip(MODULES, IDS, strict=True):
        for imported in imports(path):
            library = imported.partition(".")[0]
            if library not in sys.stdlib_module_names and library not in {"dora", *EVERYWHERE}:
                in_folder = IN_A_FOLDER.get(library) == unit_of(path)
                importers[library].add(unit_of(path) if in_folder else name)
    many = {lib: names for lib, names in importers.items() if len(names) > 1}
    assert {lib: names for lib, names in many.items() if names != SHARED.get(lib)} == {}


@each_module
def test_every_module_belongs_to_a_layer_and_folders_are_one_deep(path: Path) -> None:
    assert unit_of(path) in LAYERS
    assert len(path.relative_to(ROOT).parts) <= 2
    assert not {"utils", "helpers", "common"} & {path.stem, path.parent.name}


@each_module
def test_modules_and_functions_are_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MODULE_LINES, "too long: what second thing does it decide?"
    long = {
        node.name: length
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := code_lines(node)) > FUNCTION_LINES
    }
    assert not long


@each_module
def test_every_public_name_has_a_docstring(path: Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree), "the module has none"
    assert [name for name, node in public(tree) if not ast.get_docstring(node)] == []


def test_the_rules_see_imports_inside_functions_but_not_those_of_type_checkers(
    tmp_path: Path,
) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import unseen\n"
        "def late():\n    from dora.wire import ticket\n    import rich.table\n"
    )
    assert imports(module) == {"typing", "dora.wire", "dora.wire.ticket", "rich.table"}


def unit_of(path: Path) -> str:
    """The folder of a module, or the module itself where it stands directly under the package."""
    first, *rest = path.relative_to(ROOT).parts
    return first if rest else path.stem


def unit_named(imported: str) -> str | None:
    """The unit that a dotted name of ours belongs to."""
    parts = imported.split(".")
    return parts[1] if parts[0] == "dora" and len(parts) > 1 and parts[1] in LAYERS else None


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names that a module imports at run time; `from a import b` gives `a` and `a.b`."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree_of(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write imports in full"
            module = node.module or ""
            # `from dora import wire` takes a folder, not the facade.
            if module != "dora" or any(alias.name not in LAYERS for alias in node.names):
                found.add(module)
            if module.partition(".")[0] == "dora":
                found.update(f"{module}.{alias.name}" for alias in node.names)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return frozenset(found)


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(scope: ast.Module | ast.ClassDef) -> list[tuple[str, Documented]]:
    """Public classes and functions of a module, and public methods of its public classes."""
    found: list[tuple[str, Documented]] = []
    for node in scope.body:
        if isinstance(node, Documented) and not node.name.startswith("_") and not _inherits(node):
            found.append((node.name, node))
            if isinstance(node, ast.ClassDef):
                found += [(f"{node.name}.{name}", inner) for name, inner in public(node)]
    return found


def _inherits(node: Documented) -> bool:
    """Whether the docstring stands elsewhere: an override, an overload, a property's setter."""
    marks = ("override", "overload", ".setter")
    return any(ast.unparse(mark).endswith(marks) for mark in node.decorator_list)

"""What a user sees of the package: its names, its types, and what it costs to import it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import files, metadata
from pathlib import Path

import dora

ROOT = Path(__file__).resolve().parent.parent

HEAVY = {"numpy", "pyarrow", "pydantic", "ruamel", "click", "asyncio", "rich"}
"""Too slow to load for a program that only says `import dora`."""


def test_every_public_name_is_there_and_nothing_else_is() -> None:
    assert "Node" in dora.__all__
    assert [name for name in dora.__all__ if getattr(dora, name, None) is None] == []
    assert len(set(dora.__all__)) == len(dora.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(dora, "no_such_name")


def test_import_dora_loads_no_heavy_library() -> None:
    code = "import sys, dora; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert HEAVY & set(loaded) == set()


def test_the_node_class_loads_no_parser_no_server_and_no_command() -> None:
    code = "import sys; from dora import Node; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    inside = {name for name in loaded if name.startswith("dora.")}
    assert not {name for name in inside if name.split(".")[1] in {"descriptor", "daemon", "cli"}}
    assert HEAVY & {name.partition(".")[0] for name in loaded} == set()


def test_the_version_is_that_of_the_distribution() -> None:
    assert dora.__version__ == metadata("dora-py")["Version"]


def test_types_are_shipped() -> None:
    assert (Path(dora.__file__).parent / "py.typed").is_file()


def test_the_command_is_installed() -> None:
    assert any(str(file).endswith("bin/dora") for file in files("dora-py") or ())

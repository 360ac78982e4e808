"""`docs/dataflow.md` names every key that a file may have."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from dora.descriptor.model import (
    Dataflow,
    InputEntry,
    ModuleFile,
    ModuleHeader,
    NodeEntry,
    OperatorEntry,
)

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "dataflow.md").read_text()
NAMED = set(re.findall(r"[\w-]+", PAGE))
NOT_HERE = {"shared-library", "wasm"}
"""Keys that are known only to be refused."""


@pytest.mark.parametrize(
    "struct", [Dataflow, NodeEntry, InputEntry, OperatorEntry, ModuleFile, ModuleHeader]
)
def test_the_page_names_every_key(struct: type[msgspec.Struct]) -> None:
    keys = {field.encode_name for field in msgspec.structs.fields(struct)}
    assert keys - NOT_HERE <= NAMED, keys - NOT_HERE - NAMED

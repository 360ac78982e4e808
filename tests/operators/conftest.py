from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest

from .operator_rig import Operators

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What importing an operator changes in this process is undone."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "exit", sys.exit)
    monkeypatch.setattr(logging, "basicConfig", logging.basicConfig)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if not name.startswith(("dora", "pyarrow", "numpy")):
            del sys.modules[name]


@pytest.fixture
def operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untouched: None
) -> Iterator[Operators]:
    """A runtime in this process, with operators given as source text."""
    made = Operators(tmp_path, monkeypatch)
    yield made
    made.close()

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from .flows import Flow
from .rig import Rigs, rigs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rigs]:
    """Makes nodes inside this process, wired by hand."""
    monkeypatch.setattr(logging, "basicConfig", logging.basicConfig)  # `Node()` wraps it
    yield from rigs(monkeypatch)


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    """A dataflow to be filled with nodes and run for real."""
    return Flow(tmp_path)

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .tapped import TappedDaemon

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Iterator[TappedDaemon]:
    """A dataflow with a node that the test plays."""
    made = TappedDaemon(monkeypatch)
    yield made
    made.close()

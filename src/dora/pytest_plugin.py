"""The pytest plugin: fixtures `run_node` and `run_dataflow`, there once dora is installed.

    def test_every_frame_gives_boxes(run_node):
        ran = run_node("detector.py", [("image", np.zeros((480, 640, 3), np.uint8))])
        assert ran.outputs["boxes"][0].shape == (0, 4)

Paths count from the test's file. Whoever does not use the fixtures pays nothing for them.
Elsewhere: what they do (`dora.testing`).
"""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def run_node(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """`dora.testing.run_node`: run a node file in virtual time; its path counts from the test's."""
    from dora.testing import run_node as run

    with _NothingOpen():
        yield _beside(request.path.parent, run)


@pytest.fixture
def run_dataflow(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """`dora.testing.run_dataflow`: the same for a whole dataflow."""
    from dora.testing import run_dataflow as run

    with _NothingOpen():
        yield _beside(request.path.parent, run)


def _beside(folder: Path, run: Callable[..., Any]) -> Callable[..., Any]:
    """`run`, whose path counts from a folder, as does that of a recording."""
    from dora.errors import DoraError

    @wraps(run)
    def run_there(path: str | Path, inputs: Any = (), **options: Any) -> Any:
        __tracebackhide__ = True
        if isinstance(inputs, Path):
            inputs = folder / inputs
        try:
            return run(folder / path, inputs, **options)
        except (DoraError, FileNotFoundError) as exc:
            # The message says all; where in dora it was raised would only bury it.
            raise exc.with_traceback(None) from None

    return run_there


class _NothingOpen:
    """Fails a test that leaves shared memory of nodes open: a `MockNode` that was not closed."""

    def __enter__(self) -> None:
        self._before = _memories()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or not _memories() - self._before:
            return
        gc.collect()
        left = _memories() - self._before
        if left:
            pytest.fail(f"{len(left)} nodes of this test are still open; close them, or use `with`")


def _memories() -> set[str]:
    """Shared memory of nodes that this process holds open, by number and inode."""
    found = set()
    for entry in os.scandir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(entry.path).startswith("/memfd:dora"):
                found.add(f"{entry.name}:{os.stat(entry.path).st_ino}")
    return found

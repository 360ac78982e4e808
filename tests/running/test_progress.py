"""The line that is shown while nodes load."""

from __future__ import annotations

import fcntl
import io
import os
import select
import struct
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.running.progress import Progress, progress_text

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def terminal(columns: int = 60) -> Iterator[tuple[Progress, int]]:
    """A line on a terminal, and where to read what the terminal gets."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    try:
        with open(slave, "w") as stream:
            yield Progress(stream), master
    finally:
        os.close(master)


@pytest.fixture(autouse=True)
def _terminal_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_it_says_who_is_there_who_is_not_and_since_when() -> None:
    assert progress_text(2, 4, ["detector", "plot"], 3.4, 100) == (
        "starting: 2 of 4 nodes are there, waiting for detector, plot (3 s)"
    )
    assert progress_text(1, 2, ["plot"], 0.2, 100) == (
        "starting: 1 of 2 nodes is there, waiting for plot (0 s)"
    )


def test_names_that_find_no_room_are_counted() -> None:
    assert progress_text(0, 9, [f"node{k}" for k in range(9)], 12, 80) == (
        "starting: 0 of 9 nodes are there, waiting for node0, node1 and 7 more (12 s)"
    )
    assert progress_text(0, 1, ["n" * 50], 12, 60) == "starting: 0 of 1 nodes are there (12 s)"


@given(
    st.integers(0, 300),
    st.lists(st.text("abc_", min_size=1, max_size=40), max_size=30),
    st.floats(0, 1e6),
    st.integers(0, 300),
)
def test_it_never_fills_the_line(joined: int, names: list[str], seconds: float, width: int) -> None:
    text = progress_text(joined, joined + len(names), names, seconds, width)
    assert len(text) < max(width, 1)


def test_a_shorter_text_covers_the_longer_one_and_clear_leaves_nothing() -> None:
    with terminal(60) as (progress, screen):
        assert progress.width == 60
        progress.show("waiting for plot")
        progress.show("waiting")
        progress.show("waiting")  # nothing new
        progress.clear()
        progress.clear()
        wanted = b"\rwaiting for plot" + b"\rwaiting         " + b"\r       \r"
        seen = b""
        while len(seen) < len(wanted):  # a terminal hands it over piece by piece
            assert select.select([screen], [], [], 40.0)[0]
            seen += os.read(screen, 1000)
        assert seen == wanted


def test_a_pipe_a_file_and_no_stream_at_all_get_nothing() -> None:
    text = io.StringIO()
    for stream in (text, None):
        progress = Progress(stream)
        progress.show("waiting")
        progress.clear()
        assert progress.width == 0
    assert text.getvalue() == ""


def test_a_terminal_without_a_cursor_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with terminal() as (progress, _screen):
        assert progress.width == 0


def test_a_terminal_that_is_stopped_or_gone_is_not_waited_for() -> None:
    with terminal() as (progress, screen):
        termios.tcflow(progress._fd, termios.TCOOFF)
        progress.show("waiting")
        assert progress._shown == ""
        termios.tcflow(progress._fd, termios.TCOON)
        progress.show("waiting")
        assert os.read(screen, 1000) == b"\rwaiting"
    master, slave = os.openpty()
    with open(slave, "w") as stream:
        progress = Progress(stream)
        progress.show("waiting")
        os.close(master)
        progress.show("waiting longer")
        progress.clear()
        assert progress.width == 0

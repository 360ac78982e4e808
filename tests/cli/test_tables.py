"""Tables of the commands that list things."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from dora.cli import tables
from dora.cli.tables import table

if TYPE_CHECKING:
    import pytest


def test_columns_are_as_wide_as_their_widest_cell_and_numbers_stand_on_the_right() -> None:
    assert table(
        ["NODE", "PID", "NOTE"], [["camera", "7", "x"], ["b", "1234", ""]], right={"PID"}
    ) == ("NODE     PID  NOTE\ncamera     7  x\nb       1234")


def test_a_table_without_rows_is_its_headers() -> None:
    assert table(["NODE", "STATUS"], []) == "NODE  STATUS"


def test_wide_characters_count_twice_and_control_characters_do_no_harm() -> None:
    assert table(["NAME", "N"], [["相机", "1"], ["a\x1b[2Jb", "2"]]) == (
        "NAME    N\n相机    1\na?[2Jb  2"
    )


def test_nobody_watches_an_output_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert table(["A"], [["x" * 500]]) == "A\n" + "x" * 500


def test_a_terminal_gets_lines_no_wider_than_it_is_and_a_pipe_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [["a" * 30, "b" * 30]]
    assert len(table(["A", "B"], rows).splitlines()[1]) == 62
    monkeypatch.setattr(tables.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(tables.shutil, "get_terminal_size", lambda: os.terminal_size((20, 5)))
    assert table(["A", "B"], rows).splitlines() == ["A" + " " * 18 + "…", "a" * 19 + "…"]

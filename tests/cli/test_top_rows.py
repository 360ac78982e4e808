"""Rows of `dora top`: their order, their names, which dataflow they are of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.monitor.states import EDGE, FLOW, LATER, START

from dora.cli.top_choice import LOOKING, NONE, Choice
from dora.cli.top_rows import (
    EDGE_COLUMNS,
    NODE_COLUMNS,
    Column,
    Order,
    arranged,
    edge_rows,
    node_rows,
    shortened,
)
from dora.monitor.figures import Figures, figures

FIGURES = figures(START, LATER)
VALUE = Column[Any]("V", str, lambda row: row)


def named(name: str, number: int) -> Figures:
    return figures(None, replace(START, dataflow=replace(FLOW, id=f"019{number}", name=name)))


@given(st.lists(st.none() | st.floats(allow_nan=False)), st.booleans())
def test_known_values_are_in_order_and_unknown_ones_behind_them(
    values: list[float | None], falling: bool
) -> None:
    known = [value for value in values if value is not None]
    expected = [*sorted(known, reverse=falling), *[None] * (len(values) - len(known))]
    assert arranged(values, [VALUE], Order("V", falling)) == expected
    assert arranged(values, [VALUE], Order()) == values


@pytest.mark.parametrize("falling", [True, False])
def test_every_column_can_be_sorted_by(falling: bool) -> None:
    for column in NODE_COLUMNS:
        assert len(arranged(node_rows(FIGURES), NODE_COLUMNS, Order(column.title, falling))) == 3
    for edge_column in EDGE_COLUMNS:
        order = Order(edge_column.title, falling)
        assert len(arranged(edge_rows(FIGURES), EDGE_COLUMNS, order)) == 2


def test_a_wire_that_was_laid_again_has_a_row_of_its_own() -> None:
    again = replace(LATER, edges=[replace(EDGE, open=False), replace(EDGE, number=1)])
    rows = edge_rows(figures(None, again))
    assert [row.target for row in rows] == ["plot/image", "plot/image", "-"]
    assert len({row.name for row in rows}) == 3


@given(st.text(max_size=40), st.integers(3, 40))
def test_a_name_that_is_too_long_keeps_both_ends(name: str, most: int) -> None:
    short = shortened(name, most)
    assert len(short) <= most
    if len(name) <= most:
        assert short == name
    else:
        start, end = short.split("…", 1) if "…" not in name else (short[:1], short[-1:])
        assert name.startswith(start)
        assert name.endswith(end)


def test_the_first_dataflow_is_shown_and_kept_until_one_looks_away() -> None:
    choice = Choice()
    assert choice.told() == LOOKING
    choice.take([])
    choice.move(1)
    assert choice.told() == NONE
    one, two = named("one", 1), named("two", 2)
    choice.take([one])
    choice.take([two, one])
    assert choice.told("cam") == "1/2  one  running  0191  only `cam`"
    choice.take([two])
    assert choice.told() == "1/2  one  ended  0191"
    assert not choice.runs("0191")
    choice.move(-1)
    assert choice.told() == "two  running  0192"
    choice.take([])
    assert choice.told() == "two  ended  0192"
    three = named("three", 3)
    choice.take([three])
    choice.move(1)
    assert choice.flow == three


def test_trouble_is_told_until_the_next_look() -> None:
    choice = Choice()
    choice.trouble = "not now"
    assert choice.told() == "not now"
    choice.take([named("one", 1)])
    assert choice.told() == "one  running  0191"

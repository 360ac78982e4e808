from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.monitor.message_text import data_text, json_line, table_line
from dora.node.stage import input_event
from dora.wire.payload import encode

SENT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def event(data: Any, **facts: Any) -> Any:
    return input_event("cam/image", encode(data), facts, SENT)


def test_a_line_of_json_is_dora_rss() -> None:
    assert json_line(event(pa.array([1, 2]))) == (
        f'{{"timestamp":{round(SENT.timestamp() * 1000)},"name":"cam/image",'
        '"data":[1,2],"metadata":null}'
    )
    told = json.loads(json_line(event({"x": 1.5}, frame_id="map", stamps=[1, 2])))
    assert told["data"] == [{"x": 1.5}]
    assert told["metadata"] == {"frame_id": "map", "stamps": [1, 2]}


@given(st.integers(0, 30), st.integers(1, 30))
def test_arrays_are_whole_in_json_and_cut_with_a_note_in_the_table(rows: int, columns: int) -> None:
    array = np.arange(rows * columns, dtype="i4").reshape(rows, columns)
    assert json.loads(json_line(event(array)))["data"] == array.tolist()
    text = data_text(array)
    if array.size <= 32:
        assert json.loads(text) == array.tolist()
    else:
        assert f"… {array.size - 8} more] min=0 max={array.max():g} mean=" in text
        assert text.startswith("[0,1,2,3,4,5,6,7, …")


def test_an_image_shows_type_shape_and_what_its_values_span() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[1, 2, 0] = 200
    name, parts = table_line(event(image, encoding="rgb8"))
    assert name == "cam/image"
    (_, kind), (_, data), (label, metadata) = parts
    assert kind == "uint8[480, 640, 3]"
    assert " min=0 max=200 mean=" in data
    assert "… 921592 more]" in data
    assert (label, metadata) == ("metadata", '{"encoding":"rgb8"}')


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (pa.array(["a", "b"]), '["a","b"]'),
        (pa.array([True, None]), "[true,null]"),
        (pa.array(range(100)), "[0,1,2,3,4,5,6,7, … 92 more]"),
        (np.array(2.5, "f4"), "2.5"),
        (np.zeros(100, bool), "[false,false,false,false,false,false,false,false, … 92 more]"),
        (pa.nulls(0), "[]"),
    ],
)
def test_values_of_every_kind_are_readable(value: Any, shown: str) -> None:
    assert data_text(value).startswith(shown)


def test_long_text_is_cut_for_people_and_whole_for_programs() -> None:
    sent = event("x" * 5000)
    _, [(_, shown)] = table_line(sent)
    assert len(shown) < 500
    assert "more characters" in shown
    assert json.loads(json_line(sent))["data"] == ["x" * 5000]

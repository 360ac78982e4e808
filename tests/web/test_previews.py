"""Every message has a preview, small and of the right kind."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dora.web.previews import MOST_POINTS, preview_of

SENT = datetime(2026, 11, 25, tzinfo=UTC)


def told(value: Any, metadata: dict[str, Any] | None = None, declared: str = "") -> dict[str, Any]:
    """What browsers are told of a value, after a trip through JSON."""
    facts = {"timestamp": SENT, "type_info": "T"} | (metadata or {})
    event: Any = {"type": "INPUT", "id": "a/x", "value": value, "metadata": facts}
    preview = preview_of(event, declared)
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(preview.told))
    return plain


def test_what_was_said_about_a_message_comes_with_it() -> None:
    plain = told(np.zeros((20, 20, 3), np.uint8), {"frame": 7, "note": "<b>"})
    assert plain["kind"] == "image"
    assert (plain["type"], plain["sent_ms"]) == ("T", SENT.timestamp() * 1000)
    assert plain["metadata"] == {"frame": "7", "note": "<b>"}


@pytest.mark.parametrize(
    ("value", "values"),
    [
        (pa.array([2.5]), [2.5]),
        (np.array(3), [3]),
        (np.array([True, False]), [1, 0]),
        (np.array([1.0, math.nan, math.inf]), [1.0, None, None]),
        (pa.array([1, 2, 3]), [1, 2, 3]),
    ],
)
def test_a_few_numbers_are_drawn_over_time(value: Any, values: list[Any]) -> None:
    assert told(value) == told(value) | {"kind": "series", "values": values}


def test_many_numbers_are_one_curve_which_keeps_its_peaks() -> None:
    numbers = np.zeros(100_000)
    numbers[77_777] = 9.0
    numbers[12_345] = -4.0
    plain = told(numbers)
    assert (plain["kind"], plain["size"]) == ("curve", 100_000)
    assert len(plain["points"]) <= MOST_POINTS
    assert (max(plain["points"]), min(plain["points"])) == (9.0, -4.0)


def test_sound_is_a_level() -> None:
    sine = np.sin(np.arange(1600) * 2 * math.pi / 160) * 0.5
    for samples in (sine.astype("f4"), (sine * 32767).astype("i2"), np.stack([sine, sine], 1)):
        plain = told(samples, {"sample_rate": 16000})
        assert (plain["kind"], plain["sample_rate"], plain["samples"]) == ("audio", 16000, 1600)
        assert plain["peak_db"] == pytest.approx(-6.0, abs=0.1)
        assert plain["rms_db"] == pytest.approx(-9.0, abs=0.1)
    assert told(np.zeros(100, "f4"), declared="AudioFrame[float32, (N,)]")["peak_db"] == -120


def test_structs_are_tables() -> None:
    one = told(pa.array([{"label": "cup", "box": [1, 2], "score": None}]))
    assert one["columns"] == ["field", "value"]
    assert one["rows"] == [["label", "cup"], ["box", "[1,2]"], ["score", None]]
    many = told(pa.array([{"label": "cup", "x": 1.5}] * 70 + [None]))
    assert (many["columns"], many["rows"][0], many["total"]) == (["label", "x"], ["cup", 1.5], 71)
    assert len(many["rows"]) == 50
    boxes = told(np.zeros((3, 6), np.float32))
    assert (boxes["kind"], len(boxes["columns"]), boxes["total"]) == ("table", 6, 3)


def test_text_is_text_and_not_endless() -> None:
    assert told(pa.array(["<b>hello</b>", None]))["text"] == "<b>hello</b>\n"
    assert len(told(pa.array(["x" * 10**6]))["text"]) < 5000
    assert told(pa.array(["x"] * 1000))["text"].endswith("… 950 more")


def test_anything_else_is_its_first_values_and_what_cannot_be_shown_says_so() -> None:
    assert told(pa.array([[1, 2], [3]])) | {"kind": "value", "text": "[[1,2],[3]]"} == told(
        pa.array([[1, 2], [3]])
    )
    assert told(np.zeros(4, np.complex64))["kind"] == "value"
    assert told(pa.nulls(0))["kind"] == "value"
    wrong = told(np.zeros(7, np.uint8), {"encoding": "rgb8", "width": 5, "height": 5})
    assert wrong["kind"] == "value"
    assert "75 numbers" in wrong["note"]


ARRAYS = npst.arrays(
    st.one_of(
        npst.boolean_dtypes(),
        npst.integer_dtypes(endianness="="),
        npst.unsigned_integer_dtypes(endianness="="),
        npst.floating_dtypes(endianness="="),
    ),
    npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=24),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats() | st.text(),
    lambda inner: st.dictionaries(st.text(min_size=1), inner, min_size=1, max_size=3),
    max_leaves=6,
)


@given(ARRAYS, st.dictionaries(st.text(), st.integers() | st.text(), max_size=4))
def test_every_array_has_a_preview(array: Any, metadata: dict[str, Any]) -> None:
    assert told(array, metadata)["kind"]


@given(st.lists(JSON, max_size=4))
def test_every_arrow_value_has_a_preview(items: list[Any]) -> None:
    try:
        value = pa.array(items)
    except (pa.ArrowException, OverflowError, ValueError):
        return
    assert told(value)["kind"]

"""Values and metadata survive the way through JSON, and bad JSON is told."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dora.errors import InputFormatError
from dora.node.json_metadata import plain_metadata, read_metadata, write_metadata
from dora.node.json_types import describe_type, read_type
from dora.node.json_values import from_json, to_json, to_line

FIELD = {"nullable": True, "dict_id": 0, "dict_is_ordered": False, "metadata": {}}


def listed(name: str, data_type: Any) -> dict[str, Any]:
    return {"name": name, "data_type": data_type, **FIELD}


ARROW = [
    (pa.array([1, 2, None]), [1, 2, None], "Int64"),
    (pa.array([1], pa.uint8()), [1], "UInt8"),
    (pa.array([2**63], pa.uint64()), [2**63], "UInt64"),
    (pa.array([1.5, None, float("inf")]), [1.5, None, "Infinity"], "Float64"),
    (pa.array([-float("inf")], pa.float32()), ["-Infinity"], "Float32"),
    (pa.array([True, None]), [True, None], "Boolean"),
    (pa.array(["é\n", None]), ["é\n", None], "Utf8"),
    (pa.array([b"ab"]), ["6162"], "Binary"),
    (pa.array([b"abc"], pa.binary(3)), ["616263"], {"FixedSizeBinary": 3}),
    (pa.nulls(2), [None, None], "Null"),
    (pa.array([[1, 2], None, []]), [[1, 2], None, []], {"List": listed("item", "Int64")}),
    (
        pa.array([{"x": 1, "y": "s"}, {"x": None, "y": "t"}, None]),
        [{"x": 1, "y": "s"}, {"y": "t"}, None],
        {
            "Struct": [
                listed("x", "Int64"),
                listed("y", "Utf8"),
            ]
        },
    ),
    (
        pa.FixedSizeListArray.from_arrays(pa.array([1, 2, 3, 4]), 2),
        [[1, 2], [3, 4]],
        {"FixedSizeList": [listed("item", "Int64"), 2]},
    ),
    (
        pa.array(["a", "b", "a"]).dictionary_encode(),
        ["a", "b", "a"],
        {"Dictionary": ["Int32", "Utf8"]},
    ),
    (pa.array([dt.date(2020, 1, 2)]), ["2020-01-02"], "Date32"),
    (pa.array([dt.date(2020, 1, 2)], pa.date64()), ["2020-01-02T00:00:00"], "Date64"),
    (pa.array([dt.time(1, 2, 3)], pa.time32("s")), ["01:02:03"], {"Time32": "Second"}),
    (pa.array([dt.time(1, 2, 3, 500_000)]), ["01:02:03.500"], {"Time64": "Microsecond"}),
    (
        pa.array([dt.datetime(2020, 1, 1)]),
        ["2020-01-01T00:00:00"],
        {"Timestamp": ["Microsecond", None]},
    ),
    (
        pa.array([1_577_840_523_000_000_007], pa.timestamp("ns", "+00:00")),
        ["2020-01-01T01:02:03.000000007Z"],
        {"Timestamp": ["Nanosecond", "+00:00"]},
    ),
    (
        pa.array([-1], pa.timestamp("ms")),
        ["1969-12-31T23:59:59.999"],
        {"Timestamp": ["Millisecond", None]},
    ),
    (
        pa.array([86_402_000_005], pa.duration("us")),
        ["PT86402.000005S"],
        {"Duration": "Microsecond"},
    ),
    (pa.array([-1_500], pa.duration("ms")), ["-PT1.5S"], {"Duration": "Millisecond"}),
    (pa.array([Decimal("1.25")], pa.decimal128(10, 2)), [1.25], {"Decimal128": [10, 2]}),
    (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), [{"a": 1}], None),
    (
        pa.array([[{"t": dt.datetime(2020, 1, 1), "b": b"x"}]]),
        [[{"t": "2020-01-01T00:00:00", "b": "78"}]],
        None,
    ),
]


@pytest.mark.parametrize(("array", "data", "data_type"), ARROW, ids=lambda a: str(a)[:30])
def test_arrow_values_are_written_as_dora_rs_writes_them_and_read_back(
    array: pa.Array, data: list[Any], data_type: Any
) -> None:
    written = json.loads(to_line(to_json(array)))
    assert written["data"] == data
    if data_type is not None:
        assert written["data_type"] == data_type
    back = from_json(**written)
    assert back.type == array.type
    assert back.equals(array)


def test_a_part_of_an_array_is_written_alone() -> None:
    whole = pa.array([{"x": [1]}, {"x": [2, 3]}, {"x": None}, {"x": [4]}])
    assert to_json(whole[1:3])["data"] == [{"x": [2, 3]}, {}]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([1, 2, 3], pa.array([1, 2, 3])),
        ([1.5, 2, None], pa.array([1.5, 2.0, None])),
        ("text", pa.array(["text"])),
        (5, pa.array([5])),
        (5.5, pa.array([5.5])),
        (True, pa.array([True])),
        (None, pa.nulls(1)),
        ([], pa.nulls(0)),
        ({"x": 1, "y": "s"}, pa.array([{"x": 1, "y": "s"}])),
        ([{"x": 1}, {"y": "a"}], pa.array([{"x": 1}, {"y": "a"}])),
        ([[1, 2], [3]], pa.array([[1, 2], [3]])),
        ([[], []], pa.array([[], []])),
    ],
)
def test_the_type_of_bare_data_is_inferred(data: Any, expected: pa.Array) -> None:
    assert from_json(data).equals(expected)


def test_absent_data_is_a_null_array_of_nothing() -> None:
    assert from_json().equals(pa.nulls(0))
    assert from_json(data_type="Int8").equals(pa.array([], pa.int8()))
    of_times = from_json(data_type={"Dictionary": ["Int8", {"Time32": "Second"}]})
    assert (len(of_times), of_times.type) == (0, pa.dictionary(pa.int8(), pa.time32("s")))


dtypes = st.one_of(
    hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(sizes=(16, 32, 64)),
    hnp.boolean_dtypes(), hnp.complex_number_dtypes(), hnp.datetime64_dtypes(),
    hnp.timedelta64_dtypes(), hnp.byte_string_dtypes(min_len=1),
    st.just(np.dtype([("x", "<f4"), ("n", "u1", (2,))])),
)  # fmt: skip


@settings(max_examples=60)
@given(hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)), st.booleans())
def test_numpy_values_keep_dtype_and_shape(array: np.ndarray[Any, Any], flat: bool) -> None:
    back = from_json(**json.loads(to_line(to_json(array, flat=flat))))
    assert isinstance(back, np.ndarray)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes() or np.array_equal(back, array, equal_nan=True)


def test_a_flat_numpy_value_is_an_arrow_array_to_dora_rs() -> None:
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert to_json(image, flat=True) == {
        "data": [0, 1, 2, 3, 4, 5],
        "data_type": "UInt8",
        "dtype": "uint8",
        "shape": [2, 3],
    }
    assert to_json(image)["data"] == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("given_json", "words"),
    [
        ({"data": [1, "a"]}, "elements of one type"),
        ({"data": [1, [2]]}, "elements of one type"),
        ({"data": ["x"], "data_type": "Int8"}, "of type `Int8`"),
        ({"data": [300], "data_type": "UInt8"}, "of type `UInt8`"),
        ({"data": [1], "data_type": "Int46"}, "did you mean `Int64`"),
        ({"data": [1], "data_type": {"Lisst": {}}}, "no type that can be read"),
        ({"data": [1], "data_type": {"Timestamp": ["Week", None]}}, "`Timestamp`"),
        ({"data": ["zz"], "data_type": "Binary"}, "of type `Binary`"),
        ({"data": ["1h"], "data_type": {"Duration": "Second"}}, "PT1.5S"),
        ({"data": [300], "dtype": "uint8"}, "do not fit"),
        ({"data": [1.5], "dtype": "uint8"}, "no whole number"),
        ({"data": [1], "dtype": "uint9"}, "NumPy does not know"),
        ({"data": [1, 2, 3], "dtype": "uint8", "shape": [2, 2]}, "shape [2, 2]"),
        ({"data": [[1, 2], [3]], "dtype": "uint8"}, "dtype `uint8`"),
        ({"data": [1], "shape": "ab"}, "shape ab"),
    ],
)
def test_what_does_not_fit_is_told(given_json: dict[str, Any], words: str) -> None:
    with pytest.raises(InputFormatError) as caught:
        from_json(**given_json)
    assert words in str(caught.value)


@pytest.mark.parametrize("arrow_type", [array.type for array, _, _ in ARROW], ids=str)
def test_types_survive(arrow_type: pa.DataType) -> None:
    assert read_type(json.loads(json.dumps(describe_type(arrow_type)))) == arrow_type


def test_arrows_own_names_of_types_are_understood() -> None:
    assert read_type("uint8") == pa.uint8()


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.sampled_from([dt.UTC, None, dt.timezone(dt.timedelta(hours=2))])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=30)
@given(st.dictionaries(st.text(), values))
def test_metadata_survives(metadata: dict[str, Any]) -> None:
    metadata = {k: v for k, v in metadata.items() if k not in {"timestamp", "type_info"}}
    written = json.loads(to_line(write_metadata(metadata)))
    assert read_metadata(*written.values()) == metadata
    to_line(plain_metadata(metadata))


def test_metadata_is_tagged_as_dora_rs_does_it_and_the_rest_stands_apart() -> None:
    written = write_metadata(
        {"n": 1, "l": ["a"], "b": b"\1", "t": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}
    )
    assert written == {
        "metadata": {
            "n": {"Integer": 1},
            "l": {"ListString": ["a"]},
            "t": {"Timestamp": "2026-01-01T00:00:00Z"},
        },
        "more_metadata": {"b": {"Bytes": "01"}},
    }
    assert read_metadata({"plain": 5, "nested": {"a": 1, "b": 2}}) == {
        "plain": 5,
        "nested": {"a": 1, "b": 2},
    }


@pytest.mark.parametrize("given_json", [5, {"k": {"Timestamp": "noon"}}, {"k": {"Float": "x"}}])
def test_bad_metadata_is_told(given_json: Any) -> None:
    with pytest.raises(InputFormatError, match="metadata"):
        read_metadata(given_json)

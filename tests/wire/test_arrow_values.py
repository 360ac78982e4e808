from __future__ import annotations

import datetime
import decimal
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dora.errors import PayloadTypeError
from dora.wire import values

from .trips import trip, type_info, written

if TYPE_CHECKING:
    from collections.abc import Callable

UTC = datetime.UTC
DAY = datetime.date(2026, 11, 22)
NOON = datetime.datetime(2026, 11, 22, 12, 0, 0, 123456)

int_types = [pa.int8(), pa.int16(), pa.int32(), pa.int64()]
uint_types = [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
units = ["s", "ms", "us", "ns"]

LEAVES: list[tuple[pa.DataType, list[Any]]] = [
    (pa.null(), [None]),
    (pa.bool_(), [True, False]),
    *((kind, [0, 1, -(2 ** (kind.bit_width - 1))]) for kind in int_types),
    *((kind, [0, 1, 2**kind.bit_width - 1]) for kind in uint_types),
    *((kind, [0.0, -1.5, float("inf")]) for kind in (pa.float16(), pa.float32(), pa.float64())),
    (pa.decimal32(5, 2), [decimal.Decimal("-123.45")]),
    (pa.decimal64(17, 3), [decimal.Decimal("12345.678")]),
    (pa.decimal128(38, 10), [decimal.Decimal("-1234567890.0123456789")]),
    (pa.decimal256(76, -2), [decimal.Decimal("1234500")]),
    (pa.date32(), [DAY]),
    (pa.date64(), [DAY]),
    *((pa.time32(unit), [datetime.time(3, 4, 5)]) for unit in units[:2]),
    *((pa.time64(unit), [datetime.time(3, 4, 5, 6)]) for unit in units[2:]),
    *((pa.timestamp(unit), [NOON.replace(microsecond=0)]) for unit in units),
    (pa.timestamp("us", "Europe/Berlin"), [NOON.replace(tzinfo=UTC)]),
    (pa.timestamp("ms", "+05:30"), [NOON.replace(microsecond=0, tzinfo=UTC)]),
    *((pa.duration(unit), [datetime.timedelta(days=-1, seconds=3)]) for unit in units),
    (pa.month_day_nano_interval(), [pa.MonthDayNano([1, -2, 3])]),
    (pa.binary(), [b"", b"raw\0", b"x" * 40]),
    (pa.large_binary(), [b"", b"raw\0"]),
    (pa.binary_view(), [b"", b"short", b"long enough to lie apart"]),
    (pa.binary(3), [b"abc", b"\0\0\0"]),
    (pa.string(), ["", "grüße", "x" * 40]),
    (pa.large_string(), ["", "grüße"]),
    (pa.string_view(), ["", "kurz", "lang genug, um woanders zu liegen"]),
]

leaf_types = st.sampled_from([kind for kind, _ in LEAVES])
VALUES = dict(LEAVES)


@st.composite
def leaves(draw: st.DrawFn) -> pa.Array:
    kind = draw(leaf_types)
    values = draw(st.lists(st.sampled_from([*VALUES[kind], None]), max_size=6))
    return _cut(draw, pa.array(values, kind))


def _cut(draw: st.DrawFn, array: pa.Array) -> pa.Array:
    """The array, or a slice of it."""
    if not len(array) or draw(st.booleans()):
        return array
    start = draw(st.integers(0, len(array) - 1))
    return array.slice(start, draw(st.integers(0, len(array) - start)))


def _offsets(draw: st.DrawFn, end: int, count: int) -> list[int]:
    middle = draw(st.lists(st.integers(0, end), min_size=count, max_size=count))
    return [0, *sorted(middle), end]


def _lists(kind: Callable[..., pa.Array], offset_type: pa.DataType) -> Callable[..., pa.Array]:
    def make(draw: st.DrawFn, child: pa.Array) -> pa.Array:
        offsets = _offsets(draw, len(child), draw(st.integers(0, 3)))
        mask = draw(st.lists(st.booleans(), min_size=len(offsets) - 1, max_size=len(offsets) - 1))
        return kind(
            pa.array(offsets, offset_type),
            child,
            mask=pa.array(mask, pa.bool_()) if draw(st.booleans()) else None,
        )

    return make


def _views(kind: Callable[..., pa.Array], offset_type: pa.DataType) -> Callable[..., pa.Array]:
    def make(draw: st.DrawFn, child: pa.Array) -> pa.Array:
        pairs = []
        for _ in range(draw(st.integers(0, 4))):
            start = draw(st.integers(0, len(child)))
            pairs.append((start, draw(st.integers(0, len(child) - start))))
        starts = pa.array([start for start, _ in pairs], offset_type)
        sizes = pa.array([size for _, size in pairs], offset_type)
        return kind(starts, sizes, child)

    return make


def _fixed(draw: st.DrawFn, child: pa.Array) -> pa.Array:
    width = draw(st.integers(1, 3))
    whole = child.slice(0, len(child) // width * width)
    return pa.FixedSizeListArray.from_arrays(whole, width)


def _struct(draw: st.DrawFn, child: pa.Array) -> pa.Array:
    other = pa.array(range(len(child)), pa.int16())
    mask = draw(st.lists(st.booleans(), min_size=len(child), max_size=len(child)))
    fields = [
        pa.field("child", child.type, metadata={"unit": "mm"}),
        pa.field("", pa.int16(), nullable=False),
    ]
    return pa.StructArray.from_arrays(
        [child, other],
        fields=fields,
        mask=pa.array(mask, pa.bool_()) if draw(st.booleans()) else None,
    )


def _map(draw: st.DrawFn, child: pa.Array) -> pa.Array:
    keys = pa.array([f"k{number}" for number in range(len(child))])
    offsets = _offsets(draw, len(child), draw(st.integers(0, 3)))
    return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), keys, child)


def _dictionary(draw: st.DrawFn, child: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(child.type) or isinstance(child.type, pa.BaseExtensionType):
        return child  # refused, see below
    places = st.none() if not len(child) else st.none() | st.integers(0, len(child) - 1)
    indices = draw(st.lists(places, max_size=6))
    kind = draw(st.sampled_from([pa.int8(), pa.uint16(), pa.int64()]))
    return pa.DictionaryArray.from_arrays(
        pa.array(indices, kind), child, ordered=draw(st.booleans())
    )


def _runs(draw: st.DrawFn, child: pa.Array) -> pa.Array:
    lengths = draw(st.lists(st.integers(1, 3), min_size=len(child), max_size=len(child)))
    ends = [sum(lengths[: number + 1]) for number in range(len(lengths))]
    kind = draw(st.sampled_from([pa.int16(), pa.int32(), pa.int64()]))
    return pa.RunEndEncodedArray.from_arrays(pa.array(ends, kind), child)


def _sparse(draw: st.DrawFn, child: pa.Array) -> pa.Array:
    other = pa.array([float(number) for number in range(len(child))])
    kinds = draw(st.lists(st.integers(0, 1), min_size=len(child), max_size=len(child)))
    return pa.UnionArray.from_sparse(pa.array(kinds, pa.int8()), [child, other], ["a", "b"])


def _dense(draw: st.DrawFn, child: pa.Array) -> pa.Array:
    other = pa.array([1.0, 2.0])
    kinds = draw(st.lists(st.integers(0, 1) if len(child) else st.just(1), max_size=6))
    lengths = (len(child), 2)
    offsets, at = [], [0, 0]
    for kind in kinds:
        offsets.append(min(at[kind], lengths[kind] - 1))
        at[kind] += 1
    return pa.UnionArray.from_dense(
        pa.array(kinds, pa.int8()), pa.array(offsets, pa.int32()), [child, other]
    )


def _extension(draw: st.DrawFn, child: pa.Array) -> pa.Array:
    if isinstance(child.type, pa.BaseExtensionType):
        return child  # refused, see below
    return pa.ExtensionArray.from_storage(Tagged(child.type, draw(st.sampled_from("xy"))), child)


class Tagged(pa.ExtensionType):
    """An extension type of the user's, with a parameter and any storage."""

    def __init__(self, storage: pa.DataType, tag: str) -> None:
        self.tag = tag
        super().__init__(storage, "tests.tagged")

    def __arrow_ext_serialize__(self) -> bytes:
        return self.tag.encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> Tagged:
        return cls(storage, serialized.decode())


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Any:
    pa.register_extension_type(Tagged(pa.null(), ""))
    yield
    pa.unregister_extension_type("tests.tagged")


NESTINGS: list[Callable[[st.DrawFn, pa.Array], pa.Array]] = [
    _lists(pa.ListArray.from_arrays, pa.int32()),
    _lists(pa.LargeListArray.from_arrays, pa.int64()),
    _views(pa.ListViewArray.from_arrays, pa.int32()),
    _views(pa.LargeListViewArray.from_arrays, pa.int64()),
    _fixed,
    _struct,
    _map,
    _dictionary,
    _runs,
    _sparse,
    _dense,
    _extension,
]


@st.composite
def nested(draw: st.DrawFn) -> pa.Array:
    """Arrays of any type: a leaf inside up to three others, each perhaps sliced."""
    array = draw(leaves())
    for make in draw(st.lists(st.sampled_from(NESTINGS), max_size=3)):
        try:
            array = make(draw, array)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
            continue  # this one cannot hold that one
        array = _cut(draw, array)
    return array


def assert_same(got: pa.Array, sent: pa.Array) -> None:
    got.validate(full=True)
    assert type(got) is type(sent)
    assert got.type.equals(sent.type, check_metadata=True)
    assert len(got) == len(sent)
    assert got.null_count == sent.null_count
    assert got.to_pylist() == sent.to_pylist()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(nested())
def test_an_array_of_any_type_arrives_as_it_was_sent(array: pa.Array) -> None:
    assert_same(trip(array), array)


@pytest.mark.parametrize("kind", [kind for kind, _ in LEAVES], ids=str)
def test_every_plain_type_arrives_with_its_nulls_slices_and_empty(kind: pa.DataType) -> None:
    whole = pa.array([*VALUES[kind], None, *VALUES[kind] * 9], kind)
    full = pa.array(VALUES[kind] * 5, kind)
    for array in (whole, full, whole[1:], full[2:4], whole[3:3], whole[:0], whole[-2:]):
        assert_same(trip(array), array)


@pytest.mark.parametrize("count", [0, 1, 7, 100_000])
@pytest.mark.parametrize("kind", [pa.uint8(), pa.int32(), pa.float16(), pa.float64()], ids=str)
def test_plain_numbers_travel_as_nothing_but_their_values(kind: pa.DataType, count: int) -> None:
    values = pa.array([number % 100 for number in range(count)], pa.int32()).cast(kind)
    header, raw = written(values)
    assert len(raw) == count * kind.bit_width // 8
    assert header == b"p" + {pa.float64(): b"float64"}.get(kind, _name(kind))
    assert trip(values).equals(values)
    part = values.slice(count // 3, count // 2)
    assert len(written(part)[1]) == len(part) * kind.bit_width // 8
    assert trip(part).equals(part)


def _name(kind: pa.DataType) -> bytes:
    return {pa.float16(): b"float16"}.get(kind, str(kind).encode())


def test_numbers_with_a_mask_that_hides_nothing_arrive_equal() -> None:
    array = pa.array([1, None, 3])[2:]
    assert array.null_count == 0
    assert_same(trip(array), array)


def test_not_a_number_keeps_its_bits() -> None:
    raw = b"\x01\x00\x00\x00\x00\x00\xf8\x7f\x02\x00\x00\x00\x00\x00\xf8\xff"
    array = pa.Array.from_buffers(pa.float64(), 2, [None, pa.py_buffer(raw)])
    assert trip(array).buffers()[1].to_pybytes() == raw


@pytest.mark.parametrize(
    "array",
    [
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(24, dtype="f4").reshape(2, 3, 4)),
        pa.ExtensionArray.from_storage(
            pa.uuid(), pa.array([uuid.UUID(int=5).bytes], pa.binary(16))
        ),
        pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', None])),
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([0, 1, None], pa.int8())),
        pa.ExtensionArray.from_storage(
            pa.opaque(pa.binary(), "geometry", "postgis"), pa.array([b"x"])
        ),
    ],
    ids=lambda array: type(array).__name__,
)
def test_extension_types_that_arrow_brings_arrive_as_themselves(array: pa.Array) -> None:
    for part in (array, array[1:], array[:0]):
        got = trip(part)
        assert_same(got, part)
        assert got.storage.equals(part.storage)


def test_an_extension_type_that_the_receiver_does_not_know_arrives_as_its_storage() -> None:
    array = pa.ExtensionArray.from_storage(Tagged(pa.int32(), "x"), pa.array([1, 2], pa.int32()))
    header, raw = written(array)
    pa.unregister_extension_type("tests.tagged")
    try:
        got = values.reader_of(header)[0](raw)
        assert got.type == pa.int32()
        assert got.to_pylist() == [1, 2]
    finally:
        pa.register_extension_type(Tagged(pa.null(), ""))


def test_a_record_batch_arrives_as_a_struct_array() -> None:
    batch = pa.RecordBatch.from_pylist([{"x": 1.0, "y": [1, 2]}, {"x": None, "y": None}])
    got = trip(batch)
    assert got.type == pa.struct(batch.schema)
    assert got.to_pylist() == batch.to_pylist()
    assert trip(batch.slice(1)).to_pylist() == batch.slice(1).to_pylist()
    assert trip(batch[:0]).to_pylist() == []


def test_boxes_of_the_specification_arrive_as_a_struct_array() -> None:
    boxes = [{"x1": 1.0, "y1": 2.0, "x2": 3.5, "y2": 4.0, "confidence": 0.9, "class": 2}]
    got = trip(pa.array(boxes))
    assert got.to_pylist() == boxes
    assert got.field("class").to_pylist() == [2]


def test_a_dictionary_inside_a_dictionary_arrives() -> None:
    inner = pa.DictionaryArray.from_arrays(pa.array([1, 0, None]), ["a", "b"])
    rows = pa.ListArray.from_arrays([0, 2, 3], inner)
    outer = pa.DictionaryArray.from_arrays(pa.array([1, 1, 0, None], pa.int8()), rows)
    assert_same(trip(outer), outer)
    assert_same(trip(outer[1:3]), outer[1:3])


def test_a_long_array_of_many_columns_arrives() -> None:
    rows = [{f"column {number}": number + row for number in range(200)} for row in range(50)]
    assert trip(pa.array(rows)).to_pylist() == rows


def test_a_slice_of_a_large_array_sends_only_itself() -> None:
    words = pa.array([f"word {number}" for number in range(100_000)])
    assert len(written(words[10:20])[1]) < 2000


def test_received_buffers_cannot_be_written() -> None:
    for array in (pa.array([1.0, 2.0]), pa.array(["a"]), pa.array([1, None])):
        buffers = [buffer for buffer in trip(array).buffers() if buffer is not None]
        assert not any(buffer.is_mutable for buffer in buffers)


def test_accessors_that_programs_use_work_on_received_values() -> None:
    got = trip(pa.array([1, 2, 3], pa.uint8()))
    assert got.to_pylist() == [1, 2, 3]
    assert got[0].as_py() == 1
    assert got.to_numpy().tolist() == [1, 2, 3]
    assert got.to_numpy(zero_copy_only=False).tobytes() == b"\1\2\3"
    assert bytes(got.to_numpy()) == b"\1\2\3"
    assert len(got) == 3
    assert not got.to_numpy().flags.writeable


def test_type_info_is_the_arrow_type_as_text() -> None:
    assert type_info(pa.array([1.5])) == "double"
    assert type_info(pa.array(["a"])) == "string"
    assert type_info(pa.array([[1]])) == "list<item: int64>"
    assert type_info(pa.array([{"x": 1}])) == "struct<x: int64>"
    assert type_info(pa.nulls(2)) == "null"


def test_what_a_stream_would_flatten_silently_is_refused() -> None:
    inner = pa.DictionaryArray.from_arrays(pa.array([0, 1]), ["a", "b"])
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1]), inner)
    with pytest.raises(PayloadTypeError, match="dictionary_decode"):
        trip(twice)
    with pytest.raises(PayloadTypeError, match="directly inside"):
        trip(pa.ListArray.from_arrays([0, 2], pa.StructArray.from_arrays([twice], ["deep"])))
    once = pa.ExtensionArray.from_storage(Tagged(pa.int8(), "x"), pa.array([1], pa.int8()))
    with pytest.raises(PayloadTypeError, match=r"value\.storage"):
        trip(pa.ExtensionArray.from_storage(Tagged(once.type, "y"), once))
    with pytest.raises(PayloadTypeError, match="dictionary_decode"):
        trip(pa.DictionaryArray.from_arrays(pa.array([0]), once))


def test_a_type_nested_too_deep_for_arrow_is_refused() -> None:
    kind = pa.int8()
    for _ in range(100):
        kind = pa.list_(kind)
    with pytest.raises(PayloadTypeError, match="Arrow cannot write"):
        trip(pa.nulls(1, kind))

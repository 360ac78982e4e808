from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dora.errors import PayloadTypeError

from .trips import same_array, trip, type_info, written

Array = np.ndarray[Any, Any]
ORDERS = ("<", ">")

scalar_dtypes = st.one_of(
    hnp.boolean_dtypes(),
    *(
        strategy
        for order in ORDERS
        for strategy in (
            hnp.integer_dtypes(endianness=order),
            hnp.unsigned_integer_dtypes(endianness=order),
            hnp.floating_dtypes(endianness=order, sizes=(16, 32, 64)),
            hnp.complex_number_dtypes(endianness=order, sizes=(64, 128)),
            hnp.datetime64_dtypes(endianness=order),
            hnp.timedelta64_dtypes(endianness=order),
            hnp.unicode_string_dtypes(endianness=order, max_len=9),
        )
    ),
    hnp.byte_string_dtypes(max_len=9),
    st.sampled_from([np.dtype("M8"), np.dtype("m8[25s]"), np.dtype("M8[3D]"), np.dtype("V7")]),
    st.sampled_from([np.dtype(np.longdouble), np.dtype(np.clongdouble)]),
)


@st.composite
def spaced_dtypes(draw: st.DrawFn) -> np.dtype[Any]:
    """Structures with gaps between and behind their fields, in any order, some aligned."""
    formats = draw(st.lists(scalar_dtypes, min_size=1, max_size=4))
    names = draw(
        st.lists(
            st.text(min_size=1, max_size=5),
            min_size=len(formats),
            max_size=len(formats),
            unique=True,
        )
    )
    if draw(st.booleans()):
        return np.dtype(list(zip(names, formats, strict=True)), align=True)
    offsets, at = [], 0
    for kind in formats:
        at += draw(st.integers(0, 9))
        offsets.append(at)
        at += kind.itemsize
    return np.dtype(
        {
            "names": names,
            "formats": formats,
            "offsets": offsets,
            "itemsize": at + draw(st.integers(0, 9)),
        }
    )


dtypes = st.one_of(
    scalar_dtypes,
    spaced_dtypes(),
    hnp.nested_dtypes(st.one_of(scalar_dtypes, spaced_dtypes()), max_leaves=6, max_itemsize=2000),
)
shapes = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    """Arrays of any dtype, filled with any bytes that their dtype can hold."""
    dtype, shape = draw(dtypes), draw(shapes)
    holder = np.zeros(shape, dtype)
    seed = draw(st.integers(0, 2**32 - 1))
    _fill(holder, np.random.default_rng(seed))
    return holder


def _fill(array: Array, chance: np.random.Generator) -> None:
    kind = array.dtype
    if kind.names is not None:
        for name in kind.names:
            _fill(array[name], chance)
    elif kind.kind == "U":
        array[...] = chance.integers(0, 0xD800, array.shape).astype(np.uint32).astype(kind)
    elif kind.kind == "b":
        array[...] = chance.integers(0, 2, array.shape)
    elif array.size and kind.itemsize:
        raw = np.frombuffer(chance.bytes(array.nbytes), np.dtype(f"V{kind.itemsize}"))
        array[...] = raw.view(kind).reshape(array.shape)


@st.composite
def layouts(draw: st.DrawFn) -> Array:
    """Arrays as programs hand them over: sliced, turned, Fortran-ordered, broadcast, unaligned."""
    array = draw(arrays())
    for change in draw(st.lists(st.sampled_from(CHANGES), max_size=3)):
        array = change(array)
    return array


def _unaligned(array: Array) -> Array:
    raw = bytearray(array.nbytes + 1)
    moved: Array = np.ndarray(array.shape, array.dtype, buffer=raw, offset=1)
    moved[...] = array
    return moved


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


CHANGES = [
    lambda a: a.T,
    lambda a: a[::-1] if a.ndim else a,
    lambda a: a[..., ::2] if a.ndim else a,
    lambda a: a[1:] if a.ndim else a,
    lambda a: a[:, ::-2] if a.ndim > 1 else a,
    lambda a: np.asfortranarray(a) if a.ndim else a,
    lambda a: np.broadcast_to(a, (2, *a.shape)),
    lambda a: a[None] if a.ndim < 6 else a,
    lambda a: a.swapaxes(0, -1) if a.ndim else a,
    _unaligned,
    _read_only,
]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layouts())
def test_an_array_arrives_with_its_dtype_shape_and_elements(array: Array) -> None:
    got = trip(array)
    assert type(got) is np.ndarray
    assert same_array(got, array)
    assert not got.flags.writeable
    assert got.flags.c_contiguous


@pytest.mark.parametrize("code", np.typecodes["All"].replace("O", ""))
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3), (70_000,)])
def test_every_kind_of_number_that_numpy_knows_can_be_sent(
    code: str, order: str, shape: tuple[int, ...]
) -> None:
    kind = np.dtype({"M": "M8[us]", "m": "m8[ns]", "S": "S3", "U": "U2", "V": "V5"}.get(code, code))
    array = np.ones(shape, "u1").astype(np.dtype(f"V{kind.itemsize}")).view(kind)
    array = array.view(kind.newbyteorder(order))
    got = trip(array)
    assert same_array(got, array)
    assert got.dtype.str == array.dtype.str


@pytest.mark.parametrize("unit", ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "as"])
def test_dates_and_durations_keep_their_unit_and_not_a_time(unit: str) -> None:
    for kind in ("M8", "m8"):
        array = np.array([0, 1, "NaT"], f"{kind}[{unit}]")
        assert same_array(trip(array), array)


@pytest.mark.parametrize(
    "dtype",
    [
        [("a", "S0"), ("b", "i4")],
        [],
        [("outer", [("inner", "f2", (2, 2)), ("text", "U3")], 2), ("flag", "?")],
        {"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 2]},
        {"names": ["b", "a"], "formats": ["i4", "i8"], "offsets": [8, 0], "itemsize": 40},
        {"names": ["a"], "formats": ["i4"], "titles": ["the title"]},
        [(f"field {number}", "f4") for number in range(300)],
    ],
    ids=["no-width", "no-fields", "nested", "overlapping", "backwards", "titled", "many"],
)
@pytest.mark.parametrize("count", [0, 1, 5, 9000])
def test_structures_of_every_make_arrive_whole(dtype: Any, count: int) -> None:
    array: Array = np.zeros(count, dtype)
    for name in array.dtype.names or ():
        if array.dtype[name].kind in "if":
            array[name] = 7
    got = trip(array)
    assert got.dtype == array.dtype
    assert same_array(got, array)


@pytest.mark.parametrize("name", ["V0", "S0", "U0"])
def test_elements_without_width_keep_their_shape(name: str) -> None:
    array = np.zeros((2, 3), [("empty", name), ("full", "u1")])["empty"]
    assert same_array(trip(array), array)


@given(hnp.arrays(np.float16, (3,)) | hnp.arrays(np.float64, (3,)) | hnp.arrays(np.complex64, (3,)))
def test_not_a_number_infinity_and_minus_zero_keep_their_bits(array: Array) -> None:
    assert trip(array).tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "scalar",
    [np.float32(1.5), np.int64(-3), np.bool_(True), np.str_("ä"), np.bytes_(b"x"), np.void(b"raw"),
     np.datetime64("2026-01-02T03:04", "m"), np.complex128(1 - 2j), np.longdouble(1) / 3],
    ids=lambda scalar: type(scalar).__name__,
)  # fmt: skip
def test_a_numpy_scalar_arrives_as_an_array_without_dimensions(scalar: Any) -> None:
    got = trip(scalar)
    assert got.shape == ()
    assert got.dtype == scalar.dtype
    assert got[()] == scalar


@pytest.mark.parametrize("rows", [3, 300])
def test_subclasses_of_array_arrive_as_plain_arrays(rows: int) -> None:
    for array in (
        np.arange(rows * rows).reshape(rows, rows).view(np.matrix),
        np.zeros(rows * rows, [("a", "i4"), ("b", "f4")]).view(np.recarray),
    ):
        got = trip(array)
        assert type(got) is np.ndarray
        assert got.shape == array.shape
        assert got.tobytes() == array.tobytes()


def test_a_large_array_is_copied_in_every_layout() -> None:
    image = np.random.default_rng(1).integers(0, 255, (300, 400, 3), np.uint8)
    for array in (image, image.T, image[::-1, ::-1], image[5:, :, 1], np.asfortranarray(image)):
        assert np.array_equal(trip(array), array)


def test_the_value_may_change_once_it_was_written() -> None:
    array = np.arange(100_000)
    got = trip(array)
    array[:] = 0
    assert got[-1] == 99_999


def test_a_received_array_keeps_its_bytes_alive() -> None:
    got = trip(np.arange(5000))[10:20]
    assert got.tolist() == list(range(10, 20))


def test_type_info_names_dtype_and_shape() -> None:
    assert type_info(np.zeros((480, 640, 3), np.uint8)) == "uint8[480, 640, 3]"
    assert type_info(np.float64(1)) == "float64[]"
    assert type_info(np.zeros(3, ">f4")) == ">f4[3]"
    assert type_info(np.zeros(2, "M8[ms]")) == "datetime64[ms][2]"


def test_equal_shapes_and_dtypes_share_one_header() -> None:
    first, _ = written(np.zeros((2, 3), "f4"))
    second, _ = written(np.ones((2, 3), "=f4"))
    assert first == second
    assert written(np.zeros((3, 2), "f4"))[0] != first
    assert written(np.zeros((2, 3), ">f4"))[0] != first


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.array([object()]), "pa.array"),
        (np.array(["a", None]), "pa.array"),
        (np.zeros(2, [("x", "i4"), ("y", "O")]), "pa.array"),
        (np.zeros(2, [("x", [("y", "O", 3)])]), "pa.array"),
        (np.array(["text"], np.dtypes.StringDType()), "astype('U20')"),
        (np.ma.array([1, 2], mask=[0, 1]), "filled"),
    ],
    ids=["object", "mixed", "field", "deep", "StringDType", "masked"],
)
def test_arrays_without_a_fixed_size_are_refused_with_the_conversion(
    array: Array, hint: str
) -> None:
    with pytest.raises(PayloadTypeError, match=hint.replace("(", r"\(").replace(")", r"\)")):
        trip(array)


def test_a_dtype_of_another_library_is_refused_rather_than_sent_as_void() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with pytest.raises(PayloadTypeError, match="bfloat16"):
        trip(np.zeros(3, ml_dtypes.bfloat16))


def test_an_arrow_tensor_arrives_as_an_array() -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(trip(pa.Tensor.from_numpy(array)), array)

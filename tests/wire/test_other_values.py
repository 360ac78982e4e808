from __future__ import annotations

import array as stdlib_array
import datetime
import decimal
import enum
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.errors import DoraError, PayloadTypeError

from .trips import trip, type_info


@given(st.binary(max_size=600))
def test_bytes_arrive_as_uint8(raw: bytes) -> None:
    for data in (raw, bytearray(raw), memoryview(raw)):
        got = trip(data)
        assert got.type == pa.uint8()
        assert bytes(got.to_numpy()) == raw


@pytest.mark.parametrize(
    "view",
    [
        memoryview(np.arange(6.0)),
        memoryview(np.arange(6.0).reshape(2, 3)),
        memoryview(np.asfortranarray(np.arange(6.0).reshape(2, 3))),
        memoryview(np.arange(12, dtype="i2"))[::-3],
        memoryview(np.array(3.5)),
        memoryview(np.zeros((0, 3))),
        memoryview(b"")[:0],
        memoryview(stdlib_array.array("d", [1.0, 2.0])),
    ],
    ids=["doubles", "2d", "fortran", "strided", "0d", "empty-2d", "empty", "array"],
)
def test_a_memoryview_of_any_form_arrives_as_its_bytes(view: memoryview) -> None:
    assert trip(view).to_numpy().tobytes() == view.tobytes()


def test_large_bytes_arrive() -> None:
    raw = bytes(range(256)) * 1000
    assert bytes(trip(raw).to_numpy()) == raw
    assert bytes(trip(memoryview(raw)[3:]).to_numpy()) == raw[3:]


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_text_arrives_as_one_string(text: str) -> None:
    got = trip(text)
    assert got.type == pa.string()
    assert got.to_pylist() == [text]


def test_long_text_arrives() -> None:
    text = "ß" * 1_000_000
    assert trip(text).to_pylist() == [text]
    assert type_info(text) == "string"


@given(st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False))
def test_a_number_arrives_as_one_element(number: float) -> None:
    got = trip(number)
    assert got.equals(pa.array([number]))


numbers = st.lists(st.integers(-(2**63), 2**63 - 1) | st.none())
rows = st.dictionaries(
    st.sampled_from("abc"),
    st.none() | st.lists(st.floats(allow_nan=False, width=32) | st.none(), max_size=3),
)


@given(
    st.one_of(
        numbers,
        st.lists(st.text(st.characters(codec="utf-8"))),
        st.lists(st.binary()),
        st.lists(numbers),
        st.lists(rows),
        rows,
    )
)
def test_a_list_or_dict_arrives_as_arrow_reads_it(data: Any) -> None:
    wanted = pa.array(data if isinstance(data, list) else [data])
    got = trip(data)
    assert got.type == wanted.type
    assert got.to_pylist() == wanted.to_pylist()


def test_empty_collections_can_be_sent() -> None:
    assert trip([]).equals(pa.nulls(0))
    assert trip({}).to_pylist() == [{}]
    assert trip("").to_pylist() == [""]
    assert len(trip(b"")) == 0


def test_enums_arrive_as_what_they_extend() -> None:
    colour = enum.StrEnum("colour", ["RED"])
    number = enum.IntEnum("number", ["ONE"])
    assert trip(colour.RED).to_pylist() == ["red"]
    assert trip(number.ONE).to_pylist() == [1]


class Own:
    """A type of the user's."""


REFUSED: list[tuple[Any, str, str]] = [
    (None, "NoneType", "pa.nulls"),
    ((1, 2), "tuple", "list(value)"),
    ({1, 2}, "set", "list(value)"),
    (frozenset(), "frozenset", "list(value)"),
    (range(3), "range", "np.asarray"),
    ((item for item in [1]), "generator", "list(value)"),
    (1j, "complex", "np.array(value)"),
    (Own(), "Own", "np.asarray"),
    (Own, "type", "np.asarray"),
    (np.ndarray, "type", "np.asarray"),
    (datetime.datetime(2026, 1, 1), "datetime.datetime", "[value]"),
    (datetime.timedelta(1), "datetime.timedelta", "[value]"),
    (decimal.Decimal("1.5"), "decimal.Decimal", "[value]"),
    (stdlib_array.array("d", [1.0]), "array.array", "np.asarray"),
    (pa.chunked_array([[1], [2]]), "ChunkedArray", "combine_chunks"),
    (pa.table({"a": [1]}), "Table", "combine_chunks"),
    (pa.scalar(1), "Int64Scalar", "as_py"),
    (pa.schema([]), "Schema", "pa.array"),
    ([1, "a"], "list", "pa.array"),
    ([object()], "list", "pa.array"),
    ([np.zeros((2, 2))], "list", "pa.array"),
    ({1: 2}, "dict", "pa.array"),
    ({"a": object()}, "dict", "pa.array"),
    (2**64, "int", "64 bits"),
    (-(2**63) - 1, "int", "64 bits"),
    ([1, 2**70], "list", "64 bits"),
    ({"a": 2**70}, "dict", "64 bits"),
    ("\ud800", "text", "Unicode"),
    (["\ud800"], "list", "Unicode"),
    ({"a": "\ud800"}, "dict", "Unicode"),
    ({"\ud800": 1}, "dict", "Unicode"),
]


@pytest.mark.parametrize(("data", "name", "hint"), REFUSED, ids=lambda part: str(part)[:12])
def test_anything_else_is_refused_by_name_with_the_conversion(
    data: Any, name: str, hint: str
) -> None:
    with pytest.raises(PayloadTypeError) as caught:
        trip(data)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, DoraError)
    assert name in str(caught.value)
    assert hint in str(caught.value)
    assert len(str(caught.value)) < 500


class Tensor:
    """What another library's tensor looks like: nothing but DLPack."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


@pytest.mark.parametrize("shape", [(), (0,), (3, 4), (200, 300)])
def test_a_tensor_of_another_library_arrives_as_an_array(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype("f4")
    for sent in (array, array.T):
        got = trip(Tensor(sent))
        assert type(got) is np.ndarray
        assert got.dtype == np.float32
        assert np.array_equal(got, sent)


class OnAnotherDevice(Tensor):
    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, **_options: Any) -> Any:
        raise BufferError("the memory lies on device cuda:0")


def test_a_tensor_on_another_device_is_refused_with_the_way_to_the_cpu() -> None:
    with pytest.raises(PayloadTypeError, match=r"\.cpu\(\)"):
        trip(OnAnotherDevice(np.zeros(3)))


def test_tensors_of_torch_arrive_as_arrays() -> None:
    torch = pytest.importorskip("torch")
    image = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4)
    for tensor in (
        image,
        image.permute(2, 0, 1),
        image[:, ::2],
        torch.tensor(3.5),
        torch.zeros(0, 3),
        torch.tensor([True, False]),
        torch.zeros(2, dtype=torch.float16),
        torch.zeros(300, 300, dtype=torch.complex64),
    ):
        got = trip(tensor)
        assert np.array_equal(got, tensor.numpy())
        assert got.dtype == tensor.numpy().dtype
        assert got.shape == tuple(tensor.shape)


def test_tensors_of_torch_that_numpy_cannot_read_are_refused_with_the_conversion() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(PayloadTypeError, match="detach"):
        trip(torch.zeros(3, requires_grad=True))
    with pytest.raises(PayloadTypeError, match="float"):
        trip(torch.zeros(3, dtype=torch.bfloat16))

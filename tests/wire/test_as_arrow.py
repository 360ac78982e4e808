"""What a NumPy array is to a node that expects Arrow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dora.wire.values import as_arrow

NUMBERS = (
    hnp.integer_dtypes(endianness="?")
    | hnp.unsigned_integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?", sizes=(32, 64))
    | hnp.boolean_dtypes()
)


@given(hnp.arrays(NUMBERS, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))
def test_the_elements_are_there_in_c_order(array: np.ndarray[Any, Any]) -> None:
    arrow = as_arrow(array)
    assert isinstance(arrow, pa.Array)
    found = arrow.to_numpy(zero_copy_only=False)
    np.testing.assert_array_equal(found, array.ravel())
    assert found.dtype == array.dtype.newbyteorder("=")


@given(st.sampled_from(["uint8", "float32", "int64"]), st.integers(1, 50))
def test_numbers_are_not_copied(dtype: str, count: int) -> None:
    array = np.zeros((count, 2), dtype)
    assert as_arrow(array).buffers()[1].address == array.__array_interface__["data"][0]


def test_a_structured_array_becomes_a_struct_array() -> None:
    boxes = np.array([(1.5, "car"), (2.5, "bus")], dtype=[("x", "<f4"), ("label", "U3")])
    arrow = as_arrow(boxes)
    assert arrow.to_pylist() == [{"x": 1.5, "label": "car"}, {"x": 2.5, "label": "bus"}]


def test_arrow_stays_as_it_is() -> None:
    array = pa.array([1, None])
    assert as_arrow(array) is array


def test_a_dtype_that_arrow_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="no type for NumPy's `complex64`"):
        as_arrow(np.zeros(2, "complex64"))

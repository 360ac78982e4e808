"""Values against layouts: what is taken is exactly what the layout says."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.wire.layouts import (
    ANYTHING,
    FREE,
    Anything,
    Array,
    Items,
    Layout,
    NodeTypes,
    Plain,
    PortType,
    Record,
    misfit,
    pack,
    shape_misfit,
    unpack,
)

SIZES = st.integers(0, 3)
DIMENSIONS = SIZES | st.sampled_from(["H", "W", FREE])


@st.composite
def declared_shapes(draw: st.DrawFn) -> tuple[int | str, ...]:
    shape: list[int | str] = draw(st.lists(DIMENSIONS, max_size=4))
    if draw(st.booleans()):
        shape.insert(draw(st.integers(0, len(shape))), ANYTHING)
    return tuple(shape)


def fits_by_trying(declared: tuple[int | str, ...], came: tuple[int, ...]) -> bool:
    """Whether some choice of sizes for all that is open gives exactly the shape that came."""
    free = len(came) - len(declared) + 1
    open_shape = [
        dimension
        for part in declared
        for dimension in ([FREE] * free if part == ANYTHING else [part])
    ]
    if len(open_shape) != len(came):
        return False
    names = sorted({part for part in open_shape if isinstance(part, str) and part != FREE})
    for sizes in itertools.product(range(4), repeat=len(names)):
        chosen = dict(zip(names, sizes, strict=True))
        if all(
            part == FREE or chosen.get(part, part) == size  # type: ignore[call-overload]
            for part, size in zip(open_shape, came, strict=True)
        ):
            return True
    return False


@given(declared_shapes(), st.lists(SIZES, max_size=5).map(tuple))
def test_a_shape_is_taken_exactly_when_its_open_sizes_can_be_chosen(
    declared: tuple[int | str, ...], came: tuple[int, ...]
) -> None:
    assert (shape_misfit(declared, came) is None) == fits_by_trying(declared, came)


XYZ = Record((("x", Plain("float64")), ("y", Plain("float64"))))
IMAGE = Array(("uint8",), ("H", "W", 3))


@pytest.mark.parametrize(
    ("declared", "came"),
    [
        (Anything(), XYZ),
        (Plain("float32"), Plain("float32", 4)),
        (Plain("float32"), Plain("float32")),
        (Plain("float32"), Array(("float32",), (2, 3))),
        (Plain("binary"), Plain("uint8", 9)),
        (Plain("binary"), Array(("uint8",), (9,))),
        (Plain("binary"), Plain("binary")),
        (Array(), Array(("complex64",), (1, 2, 3))),
        (Array(("uint8",), ("N",)), Plain("uint8", 9)),
        (IMAGE, Array(("uint8",), (480, 640, 3))),
        (XYZ, Record((("z", Plain("int8")), ("y", Plain("float64")), ("x", Plain("float64"))))),
        (Items(XYZ), Items(XYZ)),
    ],
)
def test_a_value_of_the_declared_type_is_taken(declared: Layout, came: Layout) -> None:
    assert misfit((declared,), came) is None


@pytest.mark.parametrize(
    ("declared", "came", "why"),
    [
        (Plain("float32"), Plain("float64", 4), "it is float64, not float32"),
        (Plain("float32"), Array(("float64",), (4,)), "its dtype is float64, not float32"),
        (Plain("binary"), Array(("uint8",), (3, 3)), "its dtype is uint8, not binary"),
        (Plain("binary"), Plain("uint8"), "it is uint8, not binary"),
        (Array(("uint8",)), Plain("uint8"), "it is uint8, not a NumPy array"),
        (IMAGE, Array(("uint8",), (480, 640, 4)), "dimension 3 is 4, not 3"),
        (IMAGE, Array(("uint8",), (480, 640)), "it has 2 dimensions, not 3"),
        (Array((), (ANYTHING, 3)), Array(("uint8",), ()), "it has 0 dimensions, not 1 or more"),
        (Array((), ("N", "N")), Array(("uint8",), (3, 4)), "`N` is 3 and 4 at once"),
        (XYZ, Record((("x", Plain("float64")),)), "field `y` is missing"),
        (XYZ, Plain("string"), "it is string, not an Arrow struct"),
        (
            Record((("at", Items(XYZ)),)),
            Record((("at", Items(Record((("x", Plain("int64")),)))),)),
            "`at[].x` is int64, not float64",
        ),
        (Items(Plain("int8")), Items(Plain("string")), "an item is string, not int8"),
    ],
)
def test_another_value_is_told_what_is_wrong_with_it(
    declared: Layout, came: Layout, why: str
) -> None:
    assert misfit((declared,), came) == why


def test_of_several_layouts_the_nearest_gives_the_reason() -> None:
    came = Array(("uint8",), (480, 640, 4))
    assert misfit((XYZ, IMAGE, Array((), ("N",))), came) == "dimension 3 is 4, not 3"
    assert misfit((XYZ, IMAGE), XYZ) is None


def test_types_of_a_node_travel_as_plain_values() -> None:
    image = PortType("Image", (IMAGE, Items(XYZ), Anything()), ("request_id",), {"encoding": "x"})
    types = NodeTypes(outputs={"image": image}, inputs={"f": PortType("F", (Plain("float32"),))})
    assert unpack(pack(types)) == types
    assert unpack({}) == NodeTypes()

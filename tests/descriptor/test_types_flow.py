"""Which type may flow into which."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.descriptor.types_flow import MAX_STEPS, Compatibility, shapes_meet
from dora.descriptor.types_library import Library
from dora.descriptor.types_standard import STANDARD, Definition
from dora.descriptor.types_text import TypeRef, parse_type
from dora.wire.layouts import ANYTHING, FREE, shape_misfit

USER = {f"u/{letter}": Definition("Struct") for letter in "ABCDEF"}


def mismatch(source: str, target: str, *rules: tuple[str, str]) -> str | None:
    library = Library(USER)
    resolved = [tuple(library.resolve(parse_type(side)) for side in rule) for rule in rules]
    flows = Compatibility(library, resolved)  # type: ignore[arg-type]
    return flows.mismatch(*(library.resolve(parse_type(side)) for side in (source, target)))


@pytest.mark.parametrize("name", sorted(STANDARD))
def test_every_type_flows_into_itself_and_into_bytes(name: str) -> None:
    assert mismatch(name, name) is None
    assert mismatch(name, "std/core/v1/Bytes") is None


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("UInt8", "UInt32"),
        ("UInt8", "UInt64"),
        ("UInt32", "UInt64"),
        ("Int32", "Int64"),
        ("Float32", "Float64"),
        ("AudioFrame[sample_type=f32]", "AudioFrame"),
        ("AudioFrame", "AudioFrame[sample_type=f32]"),
        ("Image[a=1]", "Image[b=2]"),
        ("Image[uint8, (480, 640, 3)]", "Image[uint8, (H, W, 3)]"),
        ("Image[uint8, (H, W, 3)]", "Image[uint8, (480, 640, 3)]"),
        ("Image[uint8, (H, W, 3)]", "Image"),
        ("Image[encoding=rgb8]", "Image[uint8, (H, W, 3)]"),
        ("Array[float32, (N, 4)]", "Float32"),
        ("Float32", "Array[float32, (N,)]"),
        ("Array[uint8, (H, W, 3)]", "Image[encoding=rgb8]"),
        ("Array[float64, (4, 4)]", "Transform"),
        ("List<UInt8>", "List<UInt64>"),
    ],
)
def test_it_flows(source: str, target: str) -> None:
    assert mismatch(source, target) is None


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        ("UInt64", "UInt8", ""),
        ("UInt8", "Int32", ""),
        ("UInt8", "Float32", ""),
        ("Bytes", "UInt8", ""),
        ("Array[uint8]", "UInt32", "as arrays they have nothing in common"),
        ("Array[uint8, (H, W, 3)]", "Twist", "as arrays they have nothing in common"),
        ("Image[encoding=rgb8]", "Image[encoding=bgr8]", "`encoding` is rgb8 there, bgr8 here"),
        ("Image[uint8, (4, 3)]", "Image[uint8, (N, N)]", "no array has both shapes"),
        ("Image[uint8]", "Image[float32]", "the dtype is uint8 there, float32 here"),
        ("Image[encoding=mono8]", "Image[float32]", "as arrays they have nothing in common"),
        ("Vector3", "Quaternion", "field `w` is missing"),
        ("Detection", "BoundingBox", "field `x` is missing"),
        ("List<Vector3>", "List<Quaternion>", "of the items: field `w` is missing"),
        ("List<UInt8>", "UInt8", ""),
    ],
)
def test_it_does_not_flow_and_why(source: str, target: str, why: str) -> None:
    assert mismatch(source, target) == why


def test_rules_lead_three_steps_far_and_no_further() -> None:
    rules = [("u/A", "u/B"), ("u/B", "u/C"), ("u/C", "u/D"), ("u/D", "u/E")]
    assert mismatch("u/A", "u/D", *rules) is None
    assert mismatch("u/A", "u/E", *rules) == ""
    assert mismatch("u/B", "u/A", *rules) == ""


def test_a_rule_with_a_parameter_is_for_that_parameter_only() -> None:
    rule = ("Image[encoding=jpeg]", "CompressedImage")
    assert mismatch("Image[encoding=jpeg]", "CompressedImage", rule) is None
    assert mismatch("Image[encoding=rgb8]", "CompressedImage", rule) is not None


EDGES = st.lists(st.tuples(st.sampled_from("ABCDEF"), st.sampled_from("ABCDEF")), max_size=8)


@given(EDGES)
def test_widening_reaches_what_a_walk_of_three_steps_reaches(edges: list[tuple[str, str]]) -> None:
    library = Library(USER)
    rules = [(TypeRef(f"u/{a}"), TypeRef(f"u/{b}")) for a, b in edges]
    flows = Compatibility(library, rules)
    for start, end in itertools.product("ABCDEF", repeat=2):
        walked = {start}
        for _ in range(MAX_STEPS):
            walked |= {b for a, b in edges if a in walked}
        source, target = TypeRef(f"u/{start}"), TypeRef(f"u/{end}")
        flows_there = flows.mismatch(source, target) is None
        assert flows_there == (end in walked)
        assert flows_there == (start == end or source in flows.sources_of(target))


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int | str, ...]:
    sizes: list[int | str] = draw(
        st.lists(st.integers(0, 2) | st.sampled_from(["M", "N", FREE]), max_size=3)
    )
    if draw(st.booleans()):
        sizes.insert(draw(st.integers(0, len(sizes))), ANYTHING)
    return tuple(sizes)


ARRAYS = [shape for rank in range(7) for shape in itertools.product(range(3), repeat=rank)]


@given(shapes(), shapes())
def test_shapes_meet_exactly_when_an_array_has_both(
    a: tuple[int | str, ...], b: tuple[int | str, ...]
) -> None:
    both = any(
        shape_misfit(a, array) is None and shape_misfit(b, array) is None for array in ARRAYS
    )
    assert shapes_meet(a, b) == both
    assert shapes_meet(b, a) == both

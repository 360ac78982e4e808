"""How types are written: what is printed is read back; what is no type is told why."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.descriptor.model import TYPE_PATTERN
from dora.descriptor.types_text import MAX_DEPTH, ArraySpec, TypeRef, parse_array, parse_type
from dora.wire.layouts import ANYTHING, DTYPES, FREE

NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_.-]{0,6}(/[A-Za-z0-9_.-]{1,6}){0,3}\Z").filter(
    lambda name: name != "List"
)
WORDS = st.from_regex(r"\A[a-zA-Z0-9_.+-]{1,8}\Z")
SIZES = st.integers(0, 10**17) | st.from_regex(r"\A[A-Za-z][A-Za-z0-9_]{0,3}\Z") | st.just(FREE)


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int | str, ...]:
    sizes = draw(st.lists(SIZES, max_size=4))
    if draw(st.booleans()):
        sizes.insert(draw(st.integers(0, len(sizes))), ANYTHING)
    return tuple(sizes)


ARRAYS = st.builds(ArraySpec, st.none() | st.sampled_from(sorted(DTYPES)), st.none() | shapes())
PARAMS = st.dictionaries(WORDS, WORDS, max_size=3).map(lambda given: tuple(sorted(given.items())))
PLAIN = st.builds(TypeRef, NAMES, PARAMS, st.none() | ARRAYS)
TYPES = st.recursive(
    PLAIN, lambda inner: inner.map(lambda ref: TypeRef("List", item=ref)), max_leaves=4
)


@given(TYPES)
def test_what_is_printed_is_read_back(ref: TypeRef) -> None:
    assert parse_type(str(ref)) == ref


@given(TYPES)
def test_editors_take_for_a_type_whatever_is_one(ref: TypeRef) -> None:
    assert re.search(TYPE_PATTERN, str(ref))


@given(st.text(alphabet="aHN_1.,=()[]<> /List", max_size=30))
def test_a_text_is_a_type_or_told_why_not(text: str) -> None:
    told = ""
    try:
        assert parse_type(str(ref := parse_type(text))) == ref
    except ValueError as exc:
        told = str(exc)
    assert not told or "; " in told  # what follows is how to mend it


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("std/media/v1/Image", TypeRef("std/media/v1/Image")),
        ("  Image ", TypeRef("Image")),
        ("Image[encoding=rgb8]", TypeRef("Image", (("encoding", "rgb8"),))),
        ("A[b=2,a=1]", TypeRef("A", (("a", "1"), ("b", "2")))),
        ("Array[uint8,(H,W,3)]", TypeRef("Array", (), ArraySpec("uint8", ("H", "W", 3)))),
        ("Array[_, (N,)]", TypeRef("Array", (), ArraySpec(None, ("N",)))),
        ("Array[float64]", TypeRef("Array", (), ArraySpec("float64"))),
        ("Array[()]", TypeRef("Array", (), ArraySpec(None, ()))),
        ("Array[(...)]", TypeRef("Array", (), ArraySpec(None, ("...",)))),
        (
            "Image[uint8, (_, _), encoding=mono8]",
            TypeRef("Image", (("encoding", "mono8"),), ArraySpec("uint8", ("_", "_"))),
        ),
        ("List< List<Float32> >", TypeRef("List", item=TypeRef("List", item=TypeRef("Float32")))),
    ],
)
def test_a_type_is_read(text: str, expected: TypeRef) -> None:
    assert parse_type(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "an empty text is no type"),
        ("[a=1]", "`[a=1]` is no type"),
        ("Image[", "`Image[` lacks a `]`"),
        ("Image[]", "`[]` cannot be read"),
        ("Image[=rgb8]", "`[=rgb8]` cannot be read"),
        ("Image[uint8,]", "`[uint8,]` cannot be read"),
        ("Image]", "`Image]` is no type"),
        ("List<Image", "lacks a `>`"),
        ("Array[flaot32]", "did you mean `float32`?"),
        ("Array[uint8, int8]", "the dtype stands once"),
        ("Array[(3), (4)]", "two shapes"),
        ("Array[(3 4)]", "`(3 4)` in `Array[(3 4)]` is no shape"),
        ("Array[(..., ...)]", "`...` twice"),
        ("List<" * (MAX_DEPTH + 1) + "A" + ">" * (MAX_DEPTH + 1), "deeper than"),
        ("A" * 2000, "2000 characters"),
    ],
)
def test_what_is_no_type_is_told_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        parse_type(text)


def test_an_array_alone_is_read_without_a_name() -> None:
    assert parse_array("uint8, (H, W)") == ArraySpec("uint8", ("H", "W"))
    with pytest.raises(ValueError, match="is no dtype and shape"):
        parse_array("encoding=rgb8")

"""Which type may flow into which: the same type, a wider one, or what the dataflow's rules allow.

Two types with one name go together unless no value could be of both: a parameter that both give
differs, or their dtypes or shapes exclude each other. Names of sizes are free across an edge, but
one name is one size: `(N, N)` does not take `(3, 4)`. Widening and `type_rules` lead further, in at
most three steps. Nobody converts a value on its way.

Used by `descriptor.types_check`. Elsewhere: names of types (`descriptor.types_library`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.descriptor.types_standard import ARRAY, BYTES
from dora.descriptor.types_text import TypeRef
from dora.wire.layouts import ANYTHING, FREE, Anything, Array, Items, Plain, Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.descriptor.types_library import Library
    from dora.wire.layouts import Layout, Shape

MAX_STEPS = 3

WIDENING = tuple(
    (TypeRef(f"std/core/v1/{narrow}"), TypeRef(f"std/core/v1/{wide}"))
    for narrow, wide in (
        ("UInt8", "UInt32"),
        ("UInt32", "UInt64"),
        ("Int32", "Int64"),
        ("Float32", "Float64"),
    )
)


class Compatibility:
    """What may flow into what.

    Args:
        library: Knows every type in `rules`.
        rules: From which type to which, resolved; beyond the widening of numbers.
    """

    def __init__(self, library: Library, rules: Iterable[tuple[TypeRef, TypeRef]] = ()) -> None:
        self._library = library
        self._rules = (*WIDENING, *rules)

    def mismatch(self, source: TypeRef, target: TypeRef) -> str | None:
        """Why a source may not flow into a target, empty when they just differ; None if it may."""
        if target.name == BYTES:
            return None
        why = self._differ(source, target, arrays_have_no_name=True)
        if why is None:
            return None
        reached = [source]
        for _ in range(MAX_STEPS):
            reached = [wide for narrow, wide in self._rules if self._any_is(reached, narrow)]
            if self._any_is(reached, target):
                return None
        return why

    def sources_of(self, target: TypeRef) -> list[TypeRef]:
        """The types beside `target` itself that widening and rules lead into it."""
        found: list[TypeRef] = []
        reached = [target]
        for _ in range(MAX_STEPS):
            reached = [narrow for narrow, wide in self._rules if self._any_is([wide], *reached)]
            found += [ref for ref in reached if ref not in found]
        return found

    def _any_is(self, refs: list[TypeRef], *targets: TypeRef) -> bool:
        return any(self._differ(ref, target) is None for ref in refs for target in targets)

    def _differ(
        self, source: TypeRef, target: TypeRef, *, arrays_have_no_name: bool = False
    ) -> str | None:
        """Why no value is of both types, empty when they are of different names."""
        if source.item is not None or target.item is not None:
            if source.item is None or target.item is None:
                return ""
            why = self.mismatch(source.item, target.item)
            return None if why is None else f"of the items: {why}" if why else ""
        unnamed = arrays_have_no_name and ARRAY in {source.name, target.name}
        if source.name != target.name and not unnamed:
            return self._lacking(source, target)
        given = dict(source.params)
        for key, value in target.params:
            if given.get(key, value) != value:
                return f"`{key}` is {given[key]} there, {value} here"
        return self._exclude(source, target)

    def _exclude(self, source: TypeRef, target: TypeRef) -> str | None:
        """Why no value looks like both."""
        here = self._library.port_type(target).layouts
        there = self._library.port_type(source).layouts
        if not here or not there or any(_meet(a, b) for a in there for b in here):
            return None
        if source.array is None or target.array is None:
            return "as arrays they have nothing in common"
        if None not in {source.array.dtype, target.array.dtype} and (
            source.array.dtype != target.array.dtype
        ):
            return f"the dtype is {source.array.dtype} there, {target.array.dtype} here"
        return "no array has both shapes"

    def _lacking(self, source: TypeRef, target: TypeRef) -> str:
        """What a struct lacks to be the other."""
        here, there = self._library.definition(target), self._library.definition(source)
        if not here.fields or not there.fields:
            return ""
        present = dict(there.fields)
        for name, kind in here.fields:
            if name not in present:
                return f"field `{name}` is missing"
            if present[name] != kind:
                return f"field `{name}` is {present[name]} there, {kind} here"
        return ""


def _meet(a: Layout, b: Layout) -> bool:
    """Whether some value could look like both."""
    match a, b:
        case (Anything(), _) | (_, Anything()):
            return True
        case Plain(), Plain():
            return a.kind == b.kind
        case (Array() as array, Plain() as plain) | (Plain() as plain, Array() as array):
            return not array.dtypes or plain.kind in array.dtypes
        case Array(), Array():
            if a.dtypes and b.dtypes and not set(a.dtypes) & set(b.dtypes):
                return False
            return shapes_meet(a.shape, b.shape)
        case (Record(), Record()) | (Items(), Items()):
            return True  # of types with one name
    return False


def shapes_meet(a: Shape, b: Shape) -> bool:
    """Whether some array has both shapes; the names of one mean nothing to the other."""
    pairs = _pairs(a, b)
    return pairs is not None and _can_be_equal(pairs)


_Size = int | tuple[int, str]
"""A size, or the name of one and whose name it is."""


def _pairs(a: Shape, b: Shape) -> list[tuple[_Size, _Size]] | None:
    """Dimensions that must be of one size; None when the numbers of dimensions differ."""
    (a_head, a_tail), (b_head, b_tail) = _split(a), _split(b)
    if a_tail is None and b_tail is None:
        if len(a) != len(b):
            return None
        aligned = list(zip(a, b, strict=True))
    elif a_tail is not None and b_tail is not None:
        aligned = list(zip(a_head, b_head, strict=False))
        aligned += zip(reversed(a_tail), reversed(b_tail), strict=False)
    elif a_tail is None:
        turned = _pairs(b, a)
        return None if turned is None else [(_turned(y), _turned(x)) for x, y in turned]
    else:
        if len(b) < len(a_head) + len(a_tail):
            return None
        aligned = list(zip(a_head, b, strict=False))
        aligned += zip(reversed(a_tail), reversed(b), strict=False)
    return [
        (x if isinstance(x, int) else (0, x), y if isinstance(y, int) else (1, y))
        for x, y in aligned
        if FREE not in (x, y)
    ]


def _turned(size: _Size) -> _Size:
    return size if isinstance(size, int) else (1 - size[0], size[1])


def _split(shape: Shape) -> tuple[Shape, Shape | None]:
    """What stands before and after `...`; None after when there is none."""
    if ANYTHING not in shape:
        return shape, None
    at = shape.index(ANYTHING)
    return shape[:at], shape[at + 1 :]


def _can_be_equal(pairs: list[tuple[_Size, _Size]]) -> bool:
    """Whether every name can be given one size so that all pairs are equal."""
    groups: list[set[_Size]] = []
    for pair in pairs:
        merged: set[_Size] = set(pair)
        apart = []
        for group in groups:
            if group & merged:
                merged |= group
            else:
                apart.append(group)
        groups = [*apart, merged]
    return all(sum(isinstance(size, int) for size in group) <= 1 for group in groups)

"""What a value of a declared type may look like, and whether one does.

A declared type is a list of layouts, of which a value fits at least one: `std/math/v1/Vector3` is
an Arrow struct of three floats, or a NumPy array of three. What came is described in the same
words, so that comparing is one pure function; it needs neither NumPy nor pyarrow.

Made from type texts by `descriptor.types_library`, carried in `wire.messages.Welcome` as plain
values, compared by `node.typecheck`. Elsewhere: the grammar of types (`descriptor.types_text`).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

NUMBERS = frozenset(
    f"{kind}{bits}"
    for kind, sizes in (("int", "8 16 32 64"), ("uint", "8 16 32 64"), ("float", "16 32 64"))
    for bits in sizes.split()
)
DTYPES = NUMBERS | {"bool", "complex64", "complex128"}
"""Dtypes that a type may name."""

ANYTHING = "..."
"""In a shape: any number of dimensions, at most once."""
FREE = "_"
"""In a shape: one dimension of any size; as dtype: any."""

Shape: TypeAlias = tuple[int | str, ...]
"""Sizes, names of sizes, `_` and `...`."""


class Anything(msgspec.Struct, frozen=True, tag="anything"):
    """Every value."""


class Plain(msgspec.Struct, frozen=True, tag="plain"):
    """Arrow values of one kind: a number's dtype, `bool`, `string` or `binary`; else Arrow's name.

    As a declaration it takes NumPy arrays of that dtype too, and `binary` any flat run of bytes.
    """

    kind: str
    length: int | None = None
    """Only of a value that came: how many, when they are numbers without nulls."""


class Array(msgspec.Struct, frozen=True, tag="array"):
    """A NumPy array; as a declaration also Arrow numbers without nulls, as one dimension."""

    dtypes: tuple[str, ...] = ()
    """Any of these; empty: any at all."""
    shape: Shape = (ANYTHING,)


class Record(msgspec.Struct, frozen=True, tag="record"):
    """An Arrow struct with at least these fields, in any order."""

    fields: tuple[tuple[str, Layout], ...]


class Items(msgspec.Struct, frozen=True, tag="items"):
    """An Arrow array of lists, of any of Arrow's list types."""

    item: Layout


Layout: TypeAlias = Anything | Plain | Array | Record | Items


class PortType(msgspec.Struct, frozen=True):
    """What is declared of one port."""

    text: str = ""
    """The type as the dataflow file has it; empty when only metadata is declared."""
    layouts: tuple[Layout, ...] = ()
    """Empty when any value will do."""
    metadata: tuple[str, ...] = ()
    """Keys that the metadata of each message must have."""
    facts: dict[str, str] = {}
    """Values of metadata keys that the type fixes: `Image[encoding=rgb8]`."""


class NodeTypes(msgspec.Struct, frozen=True):
    """What is declared of a node's ports; those of which nothing is declared are left out."""

    outputs: dict[str, PortType] = {}
    inputs: dict[str, PortType] = {}


def pack(types: NodeTypes) -> dict[str, Any]:
    """The types as plain values, which a control message can carry."""
    plain: dict[str, Any] = msgspec.to_builtins(types)
    return plain


def unpack(plain: dict[str, Any]) -> NodeTypes:
    """What `pack` made plain."""
    return msgspec.convert(plain, NodeTypes)


def misfit(declared: tuple[Layout, ...], came: Layout) -> str | None:
    """Why a value that looks like `came` is not of a declared type; None when it is.

    The reason is told for the layout that comes nearest: an array is compared with an array.
    """
    nearest: tuple[int, str] | None = None
    for layout in declared:
        reason = _misfit(layout, came, "")
        if reason is None:
            return None
        distance = _distance(layout, came)
        if nearest is None or distance < nearest[0]:
            nearest = (distance, reason)
    return nearest[1] if nearest else None


def shape_misfit(declared: Shape, came: tuple[int, ...]) -> str | None:
    """Why an array's shape is not the declared one; None when it is."""
    fixed = [size for size in declared if size != ANYTHING]
    if len(came) < len(fixed) or (len(came) > len(fixed) and ANYTHING not in declared):
        more = " or more" if ANYTHING in declared else ""
        return f"it has {_dimensions(len(came))}, not {len(fixed)}{more}"
    bound: dict[str, int] = {}
    for position, size, expected in _aligned(declared, came):
        if isinstance(expected, int):
            if size != expected:
                return f"dimension {position} is {size}, not {expected}"
        elif expected != FREE and bound.setdefault(expected, size) != size:
            return f"`{expected}` is {bound[expected]} and {size} at once"
    return None


def _aligned(declared: Shape, came: tuple[int, ...]) -> list[tuple[int, int, int | str]]:
    """Position (from 1), size and declaration of each dimension that a declaration speaks of."""
    head = declared.index(ANYTHING) if ANYTHING in declared else len(declared)
    tail = len(declared) - head - 1
    pairs = list(enumerate(zip(came, declared[:head], strict=False), 1))
    if tail > 0:
        start = len(came) - tail
        pairs += enumerate(zip(came[start:], declared[head + 1 :], strict=True), start + 1)
    return [(position, size, expected) for position, (size, expected) in pairs]


def _misfit(declared: Layout, came: Layout, at: str) -> str | None:
    """As `misfit`, for one layout; `at` is the path of fields that led to it."""
    it = {"": "it", "[]": "an item"}.get(at, f"`{at}`")
    match declared, came:
        case Anything(), _:
            return None
        case Plain(), Plain():
            if declared.kind == came.kind or (declared.kind == "binary" and _is_bytes(came)):
                return None
        case Plain(), Array():
            if came.dtypes == (declared.kind,) or (declared.kind == "binary" and _is_bytes(came)):
                return None
            return f"its dtype is {'/'.join(came.dtypes)}, not {declared.kind}"
        case Array(), Plain(length=int(length)):
            return _array_misfit(declared, came.kind, (length,))
        case Array(), Array():
            sizes = tuple(size for size in came.shape if isinstance(size, int))
            return _array_misfit(declared, "/".join(came.dtypes), sizes)
        case Record(), Record():
            return _record_misfit(declared, came, at)
        case Items(), Items():
            return _misfit(declared.item, came.item, f"{at}[]")
    return f"{it} is {_called(came)}, not {_called(declared)}"


def _array_misfit(declared: Array, dtype: str, sizes: tuple[int, ...]) -> str | None:
    if declared.dtypes and dtype not in declared.dtypes:
        return f"its dtype is {dtype}, not {' or '.join(declared.dtypes)}"
    return shape_misfit(declared.shape, sizes)


def _record_misfit(declared: Record, came: Record, at: str) -> str | None:
    present = dict(came.fields)
    for name, layout in declared.fields:
        path = f"{at}.{name}" if at else name
        if name not in present:
            return f"field `{path}` is missing"
        reason = _misfit(layout, present[name], path)
        if reason is not None:
            return reason
    return None


def _is_bytes(came: Plain | Array) -> bool:
    """Whether a value is a flat run of bytes, as `bytes` arrive."""
    if isinstance(came, Plain):
        return came.kind == "uint8" and came.length is not None
    return came.dtypes == ("uint8",) and len(came.shape) == 1


def _distance(declared: Layout, came: Layout) -> int:
    """0 when both are of one sort, so that the reason is the one a user wants to read."""
    if type(declared) is type(came):
        return 0
    flat = isinstance(came, Plain) and came.length is not None
    return 1 if isinstance(declared, Array) and flat else 2


def _called(layout: Layout) -> str:
    match layout:
        case Plain():
            return layout.kind
        case Array():
            return "a NumPy array"
        case Record():
            return "an Arrow struct"
        case Items():
            return "an Arrow list"
    return "anything"


def _dimensions(count: int) -> str:
    return "1 dimension" if count == 1 else f"{count} dimensions"

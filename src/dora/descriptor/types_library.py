"""Which types there are, and what a value of each looks like: the standard library, and the user's.

Asked by `descriptor.types_check`. Elsewhere: the standard types themselves
(`descriptor.types_standard`), the user's files (`descriptor.types_user`), which type may flow into
which (`descriptor.types_flow`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dora.descriptor.types_standard import ARROW_KINDS, BYTES, OPAQUE, STANDARD, STRUCT, Definition
from dora.descriptor.types_text import ArraySpec, TypeRef
from dora.ids import suggest
from dora.wire.layouts import (
    ANYTHING,
    Anything,
    Array,
    Items,
    Layout,
    Plain,
    PortType,
    Record,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_DEPTH = 8


class Library:
    """The types that a dataflow may name."""

    def __init__(self, user: dict[str, Definition] | None = None) -> None:
        self._types = {**STANDARD, **(user or {})}
        self._short: dict[str, list[str]] = {}
        for urn in self._types:
            self._short.setdefault(urn.rpartition("/")[2], []).append(urn)

    def resolve(self, ref: TypeRef) -> TypeRef:
        """The type with its full name.

        Raises:
            ValueError: there is no such type, or several; after `; ` how to mend it.
        """
        if ref.item is not None:
            return TypeRef(ref.name, item=self.resolve(ref.item))
        if ref.name in self._types:
            return ref
        found = self._short.get(ref.name, [])
        if len(found) == 1:
            return msgspec.structs.replace(ref, name=found[0])
        if found:
            named = " or ".join(f"`{urn}`" for urn in found)
            raise ValueError(f"`{ref.name}` could be {named}; write it out")
        raise ValueError(f"there is no type `{ref.name}`; {self._hint(ref.name)}")

    def definition(self, ref: TypeRef) -> Definition:
        """What a resolved type is."""
        return self._types[ref.name]

    def port_type(self, ref: TypeRef, also: Iterable[TypeRef] = ()) -> PortType:
        """What a value of a resolved type looks like.

        Args:
            ref: The type.
            also: Resolved types whose values are taken as well.
        """
        layouts = [layout for each in (ref, *also) for layout in self._layouts(each, 0)]
        if ref.item is not None:
            return PortType(str(ref), tuple(dict.fromkeys(layouts)))
        known = {key for key, _ in self.definition(ref).by_param}
        facts = {key: value for key, value in ref.params if key in known}
        return PortType(
            text=str(ref),
            layouts=tuple(dict.fromkeys(layouts)),
            metadata=self.definition(ref).metadata,
            facts=facts,
        )

    def _layouts(self, ref: TypeRef, depth: int) -> list[Layout]:
        """As what a value of this type may travel; empty when a type is nested within itself."""
        if depth > _MAX_DEPTH:
            return []
        if ref.item is not None:
            return self._nested(ref, depth)
        if ref.array is not None:
            return [_array(ref.array)]
        known = self.definition(ref)
        if ref.name == BYTES:
            return [Anything()]
        found: list[Layout] = []
        if known.arrow in OPAQUE or (known.arrow == STRUCT and not known.fields):
            return [Anything()]
        if known.arrow == STRUCT:
            fields = [(name, self._nested(kind, depth + 1)) for name, kind in known.fields]
            if all(layouts for _, layouts in fields):
                found.append(Record(tuple((name, layouts[0]) for name, layouts in fields)))
        elif known.arrow is not None:
            found.append(Plain(ARROW_KINDS[known.arrow]))
        arrays = known.arrays
        for param in ref.params:
            arrays = known.by_param.get(param, arrays)
        return [*found, *map(_array, arrays)]

    def _nested(self, ref: TypeRef, depth: int) -> list[Layout]:
        """As what a value may stand in a struct or list: as Arrow only."""
        if ref.item is not None:
            items = self._nested(ref.item, depth + 1)
            return [Items(layout) for layout in items]
        if ref.name in ARROW_KINDS:
            return [Plain(ARROW_KINDS[ref.name])]
        for layout in self._layouts(self.resolve(ref), depth):
            if not isinstance(layout, Array):
                return [layout]
        return []

    def _hint(self, name: str) -> str:
        folder, _, short = name.rpartition("/")
        lowered = {name.lower(): name for name in self._short}
        near = suggest(short.lower(), lowered)
        if near is None:
            return "types: " + ", ".join(sorted(self._short))
        urns = self._short[lowered[near]]
        same = [urn for urn in urns if urn.rpartition("/")[0] == folder]
        return f"did you mean `{(same or urns)[0]}`?"


def _array(spec: ArraySpec) -> Array:
    dtypes = () if spec.dtype is None else (spec.dtype,)
    return Array(dtypes, (ANYTHING,) if spec.shape is None else spec.shape)

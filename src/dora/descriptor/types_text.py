"""Types as they are written: text → `TypeRef` → text. Pure; the grammar stands in `docs/types.md`.

    std/media/v1/Image                    a type of the library, or of the user
    Image[encoding=rgb8]                  with a parameter; a short name, when it is the only one
    Image[uint8, (H, W, 3)]               as a NumPy array of this dtype and shape
    List<std/vision/v1/BoundingBox>       lists of another type

Elsewhere: which names there are (`descriptor.types_library`), what may flow into what
(`descriptor.types_flow`).
"""

from __future__ import annotations

import re

import msgspec

from dora.ids import suggest
from dora.wire.layouts import ANYTHING, DTYPES, FREE, Shape

LIST = "List"
MAX_DEPTH = 8
"""So deep may lists be nested."""
MAX_LENGTH = 1000

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*(?:/[A-Za-z0-9_.\-]+)*")
_ARGUMENT = re.compile(
    r"\s*(?:\(([^()\[\]]*)\)|([^,()\[\]=\s]+)\s*=\s*([^,()\[\]=\s]+)|([^,()=\[\]\s]+))\s*(,|$)"
)
_DIMENSION = re.compile(r"[0-9]{1,18}|[A-Za-z_][A-Za-z0-9_]*|\.\.\.")
_GRAMMAR = "write `name`, `name[key=value]`, `name[uint8, (H, W, 3)]` or `List<name>`"


class ArraySpec(msgspec.Struct, frozen=True):
    """Dtype and shape of a NumPy array; None where any will do."""

    dtype: str | None = None
    shape: Shape | None = None

    def __str__(self) -> str:
        parts = [] if self.dtype is None else [self.dtype]
        if self.shape is not None:
            inside = ", ".join(map(str, self.shape))
            parts.append(f"({inside},)" if len(self.shape) == 1 else f"({inside})")
        return ", ".join(parts) or FREE


class TypeRef(msgspec.Struct, frozen=True):
    """A type as it is written, read."""

    name: str
    """`List` when `item` is given."""
    params: tuple[tuple[str, str], ...] = ()
    """In the order of the keys."""
    array: ArraySpec | None = None
    item: TypeRef | None = None

    def __str__(self) -> str:
        if self.item is not None:
            return f"{self.name}<{self.item}>"
        parts = [] if self.array is None else [str(self.array)]
        parts += [f"{key}={value}" for key, value in self.params]
        return f"{self.name}[{', '.join(parts)}]" if parts else self.name


def parse_type(text: str) -> TypeRef:
    """Read a type.

    Raises:
        ValueError: it is no type; the message says why, and after `; ` how to mend it.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a type of {len(text)} characters; at most {MAX_LENGTH} are read")
    return _parse(text, text, 0)


def parse_array(text: str) -> ArraySpec:
    """Read what stands between the brackets of an array's type: `uint8, (H, W, 3)`.

    Raises:
        ValueError: it is no dtype and no shape.
    """
    array, params = _arguments(text, text)
    if array is None or params:
        raise ValueError(f"`{text}` is no dtype and shape; write e.g. `uint8, (H, W, 3)`")
    return array


def _parse(text: str, whole: str, depth: int) -> TypeRef:
    text = text.strip()
    name = _NAME.match(text)
    if name is None:
        what = f"`{whole}`" if whole.strip() else "an empty text"
        raise ValueError(f"{what} is no type; {_GRAMMAR}")
    rest = text[name.end() :].strip()
    if name[0] == LIST and rest[:1] == "<":
        if not rest.endswith(">"):
            raise ValueError(f"`{whole}` lacks a `>`; {_GRAMMAR}")
        if depth >= MAX_DEPTH:
            raise ValueError(f"`{whole}` nests lists deeper than {MAX_DEPTH}; {_GRAMMAR}")
        return TypeRef(LIST, item=_parse(rest[1:-1], whole, depth + 1))
    if name[0] == LIST:
        raise ValueError(f"`{whole}` does not say of what; write e.g. `List<Float32>`")
    if not rest:
        return TypeRef(name[0])
    if rest[0] != "[" or rest[-1] != "]":
        missing = "lacks a `]`" if rest[0] == "[" else "is no type"
        raise ValueError(f"`{whole}` {missing}; {_GRAMMAR}")
    array, params = _arguments(rest[1:-1], whole)
    return TypeRef(name[0], tuple(sorted(params.items())), array)


def _arguments(text: str, whole: str) -> tuple[ArraySpec | None, dict[str, str]]:
    """What stands between brackets: dtype and shape, parameters."""
    dtype: str | None = None
    shape: Shape | None = None
    params: dict[str, str] = {}
    is_array = False
    position = 0
    while True:
        match = _ARGUMENT.match(text, position)
        if match is None:
            raise ValueError(f"`{whole}`: `[{text}]` cannot be read; {_GRAMMAR}")
        dimensions, key, value, word, separator = match.groups()
        if key is not None:
            if key in params:
                raise ValueError(f"`{whole}` gives `{key}` twice; keep one of them")
            params[key] = value
        elif dimensions is not None:
            if shape is not None:
                raise ValueError(f"`{whole}` has two shapes; keep one of them")
            is_array, shape = True, _shape(dimensions, whole)
        else:
            if is_array:
                raise ValueError(f"`{whole}`: the dtype stands once, before the shape; {_GRAMMAR}")
            is_array, dtype = True, _dtype(word, whole)
        if not separator:
            break
        position = match.end()
    return (ArraySpec(dtype, shape) if is_array else None), params


def _dtype(word: str, whole: str) -> str | None:
    if word == FREE:
        return None
    if word not in DTYPES:
        known = sorted(DTYPES)
        near = suggest(word, known)
        hint = f"did you mean `{near}`?" if near else f"dtypes: {', '.join(known)}"
        raise ValueError(f"`{word}` in `{whole}` is no dtype; {hint}")
    return word


def _shape(text: str, whole: str) -> Shape:
    parts = [part.strip() for part in text.split(",")]
    if parts[-1] == "":
        parts.pop()
    sizes: list[int | str] = []
    for part in parts:
        if not _DIMENSION.fullmatch(part):
            raise ValueError(
                f"`({text})` in `{whole}` is no shape; a dimension is a number, a name, `_` for "
                "any size, or `...` for any number of dimensions"
            )
        sizes.append(int(part) if part.isdigit() else part)
    if sizes.count(ANYTHING) > 1:
        raise ValueError(f"`({text})` in `{whole}` has `...` twice; keep one of them")
    return tuple(sizes)

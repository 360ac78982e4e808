"""The user's own types: `types/<path>/v1.yml` beside the dataflow file.

    types:
      Reading:
        arrow: Struct
        fields:
          - {name: celsius, type: Float32}
      Patch:
        arrays: ["uint8, (H, W, 3)"]      # an addition to dora-rs: it travels as a NumPy array

What is wrong in a file is a warning about types, for dora-rs would run the dataflow all the same;
only a file that cannot be read at all, or claims `std/`, is a mistake. A type's full name is the
file's path under `types/` without its suffix, `/`, and its key. Files are read through
`descriptor.source`, so that all have their places.
Elsewhere: the standard types (`descriptor.types_standard`), what all of them mean
(`descriptor.types_library`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dora.descriptor.source import load
from dora.descriptor.types_library import Library
from dora.descriptor.types_standard import ARROW_KINDS, OPAQUE, STRUCT, Definition
from dora.descriptor.types_text import TypeRef, parse_array, parse_type
from dora.descriptor.words import found
from dora.errors import DescriptorError, Problem
from dora.ids import suggest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dora.descriptor.source import PathStep, Source

FOLDER = "types"
RESERVED = "std"
_SUFFIXES = {".yml", ".yaml"}
_MAX_DEPTH = 8
_KEYS = ("arrow", "description", "fields", "arrays", "params", "metadata")
_FIELD_KEYS = ("name", "type", "nullable")


class _Files:
    """Reads the files one after the other and gathers what is wrong with them."""

    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._places: dict[str, tuple[Source, str]] = {}
        self._source: Source

    def read(self, path: Path, prefix: str) -> None:
        try:
            self._source = source = load(path)
        except DescriptorError as exc:
            self.problems += exc.problems
            return
        self.problems += source.problems
        if prefix.split("/")[0] == RESERVED:
            what = f"the folder `{RESERVED}` is dora's own: types of yours cannot lie in it"
            mend = f"move the file into another folder of `{FOLDER}/`"
            self.problems.append(Problem(what, source.locate(), mend))
            return
        types = source.value.get("types") if isinstance(source.value, dict) else None
        if not isinstance(types, dict):
            self._wrong("a file of types begins with `types:`, then one key a type")
            return
        for name, value in types.items():
            if not isinstance(value, dict):
                self._wrong(f"a type is a mapping, not {found(value)}", "types", name)
                continue
            urn = f"{prefix}/{name}"
            self._places[urn] = (source, name)
            self.definitions[urn] = self._definition(name, value)

    def check_fields(self) -> None:
        """Every type of a field exists, and no type holds itself."""
        library = Library(self.definitions)
        for urn, (source, name) in self._places.items():
            self._source = source
            definition = self.definitions[urn]
            for position, (field, ref) in enumerate(definition.fields):
                at = ("types", name, "fields", position, "type")
                try:
                    below = _names_in(library, ref)
                except ValueError as exc:
                    self._wrong(f"field `{field}`: {exc}", *at)
                    self.definitions[urn] = Definition(STRUCT)
                    break
                if urn in below:
                    self._wrong(f"field `{field}` makes `{name}` hold itself", *at)
                    self.definitions[urn] = Definition(STRUCT)
                    break

    def _definition(self, name: str, value: dict[str, Any]) -> Definition:
        at = ("types", name)
        self._check_keys(value, _KEYS, *at)
        arrow = value.get("arrow")
        kinds = [STRUCT, *ARROW_KINDS, *sorted(OPAQUE)]
        if arrow is not None and arrow not in kinds:
            near = suggest(str(arrow), kinds)
            hint = f"did you mean `{near}`?" if near else f"one of {', '.join(kinds)}"
            self._wrong(f"{found(arrow)} is no Arrow type that dora has; {hint}", *at, "arrow")
            arrow = STRUCT
        if arrow is None and not value.get("arrays"):
            hint = f"add `arrow: {STRUCT}`, or `arrays:` if it travels as a NumPy array"
            self._wrong(f"type `{name}` has no `arrow`; {hint}", *at)
        arrays = self._each(value, "arrays", name, lambda item, _: parse_array(_text(item)))
        return Definition(
            arrow=arrow,
            fields=tuple(self._each(value, "fields", name, self._field)),
            arrays=tuple(arrays),
            metadata=tuple(self._each(value, "metadata", name, _named("key"))),
        )

    def _field(self, item: Any, at: tuple[PathStep, ...]) -> tuple[str, TypeRef]:
        if not isinstance(item, dict) or not {"name", "type"} <= item.keys():
            raise ValueError("a field is `{name: …, type: …}`")
        self._check_keys(item, _FIELD_KEYS, *at)
        return _text(item["name"]), parse_type(_text(item["type"]))

    def _each(
        self,
        value: dict[str, Any],
        key: str,
        name: str,
        read: Callable[[Any, tuple[PathStep, ...]], Any],
    ) -> list[Any]:
        """What `read` makes of each item of a list; those it cannot read are told, left out."""
        items = value.get(key) or []
        if not isinstance(items, list):
            self._wrong(
                f"`{key}` of type `{name}` is a list, not {found(items)}", "types", name, key
            )
            return []
        done = []
        for position, item in enumerate(items):
            at = ("types", name, key, position)
            try:
                done.append(read(item, at))
            except ValueError as exc:
                self._wrong(f"`{key}` of type `{name}`: {exc}", *at)
        return done

    def _check_keys(self, value: dict[str, Any], known: tuple[str, ...], *at: PathStep) -> None:
        for key in value:
            if key not in known:
                near = suggest(key, known)
                hint = f"did you mean `{near}`?" if near else f"known keys: {', '.join(known)}"
                place = self._source.locate_key(*at, key)
                self.warnings.append(Problem(f"unknown key `{key}` in a type", place, hint))

    def _wrong(self, told: str, *at: PathStep) -> None:
        what, _, mend = told.partition("; ")
        self.warnings.append(Problem(what, self._source.locate(*at), mend or None))


def load_user_types(folder: Path) -> tuple[dict[str, Definition], list[Problem], list[Problem]]:
    """The types under `folder`, by full name; mistakes, and warnings, in their files."""
    files = _Files()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix in _SUFFIXES and path.is_file() and len(inside.parts) <= _MAX_DEPTH:
            files.read(path, inside.with_suffix("").as_posix())
    files.check_fields()
    return files.definitions, files.problems, files.warnings


def _names_in(library: Library, ref: TypeRef, depth: int = 0) -> set[str]:
    """Full names of all types that a field of this type holds.

    Raises:
        ValueError: there is no such type.
    """
    if ref.item is not None:
        return _names_in(library, ref.item, depth)
    if ref.name in ARROW_KINDS:
        return set()
    resolved = library.resolve(ref)
    names = {resolved.name}
    if depth < _MAX_DEPTH:
        for _, below in library.definition(resolved).fields:
            names |= _names_in(library, below, depth + 1)
    return names


def _named(key: str) -> Callable[[Any, tuple[PathStep, ...]], str]:
    def read(item: Any, _at: tuple[PathStep, ...]) -> str:
        if not isinstance(item, dict) or not isinstance(item.get(key), str):
            raise ValueError(f"an item is `{{{key}: …}}`")
        return str(item[key])

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{found(value)} is no text")
    return value

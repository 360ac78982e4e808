"""The values of a file against the model: unknown keys, missing keys, wrong types, all at once.

Fills the model even from a file with mistakes, so that the later checks can tell theirs in the
same go: whatever is wrong is reported, marked as damaged and left out or empty.

Reads `descriptor.source`, knows `descriptor.model` through msgspec's own view of it.
Elsewhere: what the values mean together (`descriptor.wiring`, `environment`, `command`).
"""

from __future__ import annotations

import contextlib
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import inspect

from dora.descriptor.model import (
    Dataflow,
    InputEntry,
    ModuleFile,
    ModuleHeader,
    NodeEntry,
    OperatorEntry,
)
from dora.descriptor.words import found, listed, subject
from dora.ids import suggest

if TYPE_CHECKING:
    from dora.descriptor.report import Report
    from dora.descriptor.source import PathStep

_EXAMPLE = (
    "a dataflow begins with `nodes:`, then for each node `- id: camera` and `path: camera.py`"
)
_MODULE_EXAMPLE = (
    "a module file begins with `module: {name: my_module, inputs: […], outputs: […]}`, then "
    "`nodes:` as in a dataflow"
)
_Top = TypeVar("_Top", Dataflow, ModuleFile)
_DROP = object()
"""A value that was reported; the model takes its default in place of it."""

REMOVED_KEYS = {
    "communication": "dora-rs removed it in 1.0: how data travels needs no settings; delete it",
    "custom": "dora-rs removed it: `path`, `args` and the others stand in the node itself",
    "_unstable_deploy": "dora-rs renamed it to `deploy` in 1.0",
    "_unstable_debug": "dora-rs renamed it to `debug` in 1.0",
    "publish_all_messages_to_zenoh": "dora-rs removed it in 1.0: looking into a dataflow needs no "
    "switch; delete it",
}
_TYPE_MENDS: dict[tuple[str, type], str] = {
    ("args", list): "write the words in one line: `args: --size 640`",
    ("build", list): "write one command a line under `build: |`",
    ("outputs", dict): "write a list: a `-` before each id, and nothing after it",
    ("inputs", list): "write `input: node/output` lines, without the `-`",
    ("nodes", dict): "write a list: each node starts with `- id: …`",
    (
        "operators",
        dict,
    ): "write a list: each starts with `- id: …`; or call it `operator:`",
    ("operator", list): "call it `operators:`; there may be several",
    ("operator", str): "write `operator:`, and in the next line, indented, `python: …`",
    ("env", list): "write `NAME: value` lines, without the `-`",
}


def read_model(report: Report) -> Dataflow:
    """Fill the model of a dataflow from its file, and report what does not fit it."""
    if report.source.value is None:
        report.problem("the file holds no dataflow", mend=_EXAMPLE)
        return Dataflow(nodes=[])
    return _with_nodes(_fill(report, Dataflow), report, "dataflow")


def read_module(report: Report) -> ModuleFile:
    """Fill the model of a module from its file, and report what does not fit it."""
    if report.source.value is None:
        report.problem("the file holds no module", mend=_MODULE_EXAMPLE)
        report.damage("module")
        return ModuleFile(module=ModuleHeader(name=""), nodes=[])
    return _with_nodes(_fill(report, ModuleFile), report, "module")


def _fill(report: Report, kind: type[_Top]) -> _Top:
    source = report.source
    if not source.problems:
        # Nearly every file is right: then msgspec alone, in C, is the whole check.
        with contextlib.suppress(msgspec.ValidationError):
            return msgspec.convert(source.value, kind)
    value = _Reader(report, kind).read((), source.value, _type_of(kind))
    if value is _DROP:
        value = _placeholder(_type_of(kind))
    return msgspec.convert(value, kind)


def _with_nodes(flow: _Top, report: Report, noun: str) -> _Top:
    if not flow.nodes and not report.is_damaged("nodes"):
        report.problem(f"the {noun} has no nodes", "nodes", mend="add one: `- id: camera`")
    return flow


@cache
def _type_of(kind: type[Dataflow] | type[ModuleFile]) -> inspect.Type:
    return inspect.type_info(kind)


class _Reader:
    def __init__(self, report: Report, kind: type[Dataflow] | type[ModuleFile]) -> None:
        self._report = report
        self._root = report.source.value
        self._is_module = kind is ModuleFile
        self._noun = "module" if self._is_module else "dataflow"

    def read(self, path: tuple[PathStep, ...], value: Any, expected: inspect.Type) -> Any:
        """The value cleaned of what does not fit, or `_DROP`."""
        expected = _branch(value, expected)
        match expected:
            case inspect.StructType() if isinstance(value, dict):
                return self._struct(path, value, expected)
            case inspect.DictType() if isinstance(value, dict):
                read = {k: self.read((*path, k), v, expected.value_type) for k, v in value.items()}
                return {key: item for key, item in read.items() if item is not _DROP}
            case inspect.ListType() if isinstance(value, list):
                return self._list(path, value, expected)
            case inspect.AnyType():
                return value
        if _fits(value, expected):
            return value
        self._wrong(path, value, expected)
        return _DROP

    def _list(
        self, path: tuple[PathStep, ...], value: list[Any], expected: inspect.ListType
    ) -> Any:
        read = [self.read((*path, i), item, expected.item_type) for i, item in enumerate(value)]
        # Items keep their positions: later checks find the place of an item by it.
        return [_placeholder(expected.item_type) if item is _DROP else item for item in read]

    def _struct(
        self, path: tuple[PathStep, ...], value: dict[str, Any], expected: inspect.StructType
    ) -> dict[str, Any]:
        known = {item.encode_name: item for item in expected.fields}
        cleaned: dict[str, Any] = {}
        for key, item in value.items():
            if key not in known:
                self._unknown(path, key, expected, set(value))
            elif item is None and not known[key].required:
                continue
            elif item is not None:
                read = self.read((*path, key), item, known[key].type)
                if read is not _DROP:
                    cleaned[key] = read
        for key, item in known.items():
            if item.required and key not in cleaned:
                if value.get(key) is None and not self._report.is_damaged(*path, key):
                    self._missing(path, key, value)
                cleaned[key] = _placeholder(item.type)
        return cleaned

    def _unknown(
        self,
        path: tuple[PathStep, ...],
        key: str,
        expected: inspect.StructType,
        present: set[str],
    ) -> None:
        known = [item.encode_name for item in expected.fields]
        near = suggest(key, known)
        if key in REMOVED_KEYS:
            mend = REMOVED_KEYS[key]
            self._report.damage(*path, "path")
        elif key == "module" and not path:
            mend = "this is a module file; a dataflow uses it: `- {id: my_part, module: FILE}`"
        elif key == "<<":
            mend = "merge keys are not part of YAML 1.2; write the keys out"
        elif near in present:
            mend = f"`{near}` is given already; delete this one"
        elif near:
            mend = f"did you mean `{near}`?"
            self._report.damage(*path, near)
        else:
            mend = _owner(key, expected) or f"known keys here: {listed(known)}"
        where = f"a {self._noun}" if not path else subject(path, self._root)
        self._report.problem_with_key(f"unknown key `{key}` in {where}", *path, key, mend=mend)

    def _missing(self, path: tuple[PathStep, ...], key: str, value: dict[str, Any]) -> None:
        if not path:
            what = f"the {self._noun} has no `{key}`"
            mend = _MODULE_EXAMPLE if self._is_module else _EXAMPLE
        else:
            what = f"{subject(path, self._root)} has no `{key}`"
            mend = f"add `{key}: …`"
        at = (*path, key) if key in value else path
        if key in value:
            self._report.problem_with_key(what, *at, mend=mend)
        else:
            self._report.problem(what, *at, mend=mend)
        self._report.damage(*path, key)

    def _wrong(self, path: tuple[PathStep, ...], value: Any, expected: inspect.Type) -> None:
        name = subject(path, self._root) if path else f"a {self._noun} file"
        what = f"{name} must be {_expected(expected)}, not {found(value)}"
        if value is None and path:
            self._report.problem_with_key(what, *path, mend=_mend(path, value, expected))
        else:
            self._report.problem(what, *path, mend=_mend(path, value, expected))
        self._report.damage(*path)


def _branch(value: Any, expected: inspect.Type) -> inspect.Type:
    """The branch of a union that `value` was meant for; None is taken out beforehand."""
    if isinstance(expected, inspect.Metadata):
        return _branch(value, expected.type)
    if not isinstance(expected, inspect.UnionType):
        return expected
    branches = [kind for kind in expected.types if not isinstance(kind, inspect.NoneType)]
    if len(branches) == 1:
        return _branch(value, branches[0])
    for kind in branches:
        if isinstance(value, dict) and isinstance(kind, inspect.StructType | inspect.DictType):
            return kind
    return inspect.UnionType(tuple(branches))


def _fits(value: Any, expected: inspect.Type) -> bool:
    match expected:
        case inspect.UnionType():
            return any(_fits(value, kind) for kind in expected.types)
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.LiteralType():
            return isinstance(value, str) and value in expected.values
        case inspect.IntType() | inspect.FloatType():
            kinds = int if isinstance(expected, inspect.IntType) else (int, float)
            if not isinstance(value, kinds) or isinstance(value, bool):
                return False
            return (
                (expected.gt is None or value > expected.gt)
                and (expected.ge is None or value >= expected.ge)
                and (expected.le is None or value <= expected.le)
            )
    return False


def _placeholder(expected: inspect.Type) -> Any:
    """An empty value of this type."""
    match expected:
        case inspect.Metadata():
            return _placeholder(expected.type)
        case inspect.StructType():
            return {
                item.encode_name: _placeholder(item.type)
                for item in expected.fields
                if item.required
            }
        case inspect.ListType():
            return []
        case inspect.IntType():
            return 0
    return ""


def _expected(expected: inspect.Type) -> str:
    """A type in the words of somebody who writes YAML."""
    match expected:
        case inspect.UnionType():
            kinds = {type(kind): _expected(kind).replace(" or ", "/") for kind in expected.types}
            if inspect.FloatType in kinds:
                kinds.pop(inspect.IntType, None)
            *names, last = sorted(kinds.values(), key=lambda name: (name[0] == "`", name))
            return f"{', '.join(names)} or {last}" if names else last
        case inspect.BoolType():
            return "`true` or `false`"
        case inspect.IntType() | inspect.FloatType():
            kind = "a whole number" if isinstance(expected, inspect.IntType) else "a number"
            if expected.le is not None:
                return f"{kind} from {expected.ge} to {expected.le}"
            if expected.gt is not None:
                return f"{kind} greater than {expected.gt:g}"
            return f"{kind}, 0 or more" if expected.ge is not None else kind
        case inspect.LiteralType():
            return "one of " + ", ".join(f"`{name}`" for name in expected.values)
        case inspect.ListType():
            return "a list"
        case inspect.StructType() | inspect.DictType():
            return "a mapping"
    return "text"


def _mend(path: tuple[PathStep, ...], value: Any, expected: inspect.Type) -> str | None:
    if not path:
        return "write `nodes:` above the list" if isinstance(value, list) else _EXAMPLE
    key = str(path[-1])
    if (key, type(value)) in _TYPE_MENDS:
        return _TYPE_MENDS[key, type(value)]
    match expected:
        case inspect.LiteralType() if isinstance(value, str):
            near = suggest(value, [str(name) for name in expected.values])
            return f"did you mean `{near}`?" if near else None
        case inspect.StrType() if isinstance(value, bool | int | float):
            return f'put it into quotes: `"{str(value).lower()}"`'
        case inspect.BoolType() if isinstance(value, str):
            return "write `true` or `false`; YAML 1.2 takes `yes` and `on` for text"
        case inspect.FloatType() if isinstance(value, str):
            return "write plain seconds, without a unit: `5.0`"
        case inspect.ListType() if isinstance(value, str):
            return f"write it as a list: `{key}: [{value}]`" if value.isprintable() else None
        case inspect.UnionType() if value is None and "env" in path:
            return 'write `""` for an empty text'
        case inspect.UnionType() if value is None and "inputs" in path:
            return f"say where it reads from: `{key}: node/output`"
    if isinstance(value, dict) and len(value) == 1 and "outputs" in path:
        return f"write only the id: `- {next(iter(value))}`"
    return None


def _owner(key: str, expected: inspect.StructType) -> str | None:
    """Where a key that is unknown here would be known."""
    for owner, name in (
        (InputEntry, "an input"),
        (NodeEntry, "a node"),
        (OperatorEntry, "an operator"),
        (Dataflow, "the top level"),
    ):
        if owner is not expected.cls and key in owner.__struct_fields__:
            example = ""
            if owner is InputEntry:
                example = f": `image: {{source: camera/image, {key}: …}}`"
            elif key == "params":
                example = ": the one that uses the module gives them, `params: {gain: 2}`"
            return f"`{key}` belongs to {name}{example}"
    return None

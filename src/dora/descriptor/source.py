"""The text of a dataflow file: read once, turned into plain values that know where they stand.

Owns the only reading of YAML files in this folder and the only import of ruamel.yaml. A file that
cannot be read, or is no YAML, ends in a `DescriptorError` in our own words; a key that stands
twice is noted in `Source.problems`, its first value counts, and reading goes on.

Used by every other module of `descriptor` through `Source.locate`.
Elsewhere: what the values must look like (`descriptor.shape`).
"""

from __future__ import annotations

import math
import re
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.representer import SafeRepresenter

from dora.errors import DescriptorError, Place, Problem
from dora.ids import suggest

PathStep = str | int

_MAX_DEPTH = 60
_MAX_VALUES = 100_000
_NEEDED_SUFFIXES = (".yml", ".yaml")
_WORD = re.compile(r"""(?:\$\{[^}\n]*\}|:(?=\S)|[^\s,{}\[\]'":])+""")
_UNREADABLE = re.compile("[\0\ud800-\udfff]")

# What the library says, what we say, how to mend it. First match counts.
_SYNTAX: tuple[tuple[str, str, str | None], ...] = (
    (r"'\\t' that cannot start", "a tab where YAML wants spaces", "indent with spaces"),
    (
        r"character '(.)' that cannot start",
        "text cannot start with `{0}`",
        "put the text into quotes",
    ),
    (
        "mapping values are not allowed",
        "a second `:` in one line, or a key that is indented too far",
        "put text that holds `: ` into quotes, and start the keys of a mapping in one column",
    ),
    (
        "could not find expected ':'",
        "the line above is no `key: value`",
        "write `key: value`; keys that belong together start in the same column",
    ),
    (
        "expected <block end>",
        "this does not line up with the lines above",
        "items of one list, and keys of one mapping, start in the same column",
    ),
    (
        r"undefined alias '(.*)'",
        "`*{0}` refers to an anchor `&{0}` that is not defined above",
        None,
    ),
    ("end of stream|document separator", "a quote that is not closed", "close the quote"),
    (r"expected ',' or '(.)'", "a bracket that is not closed", "add the missing `,` or `{0}`"),
    ("'<stream end>'.*flow", "a bracket that is not closed", "close the bracket"),
    (
        "expected alphabetic or numeric",
        "text cannot start with `*` or `&`",
        "put the text into quotes",
    ),
    (
        "chomping or indentation|comment or a line break",
        "text cannot start with `|` or `>`, which announce a block of lines",
        "put the text into quotes, or begin it on the next line",
    ),
    (
        "expected '<document start>'",
        "the file goes on where its only value has ended",
        "keys at the top start in the first column",
    ),
    (
        "expected the node content, but found '(.)'",
        "a value is missing before `{0}`",
        "put text that starts with `{0}` into quotes",
    ),
    ("URI|(scanning|parsing) an? tag", "text cannot start with `!`", "put it into quotes"),
    (
        "unknown escape",
        "an unknown `\\` sequence",
        r"write `\\` for a backslash, or use '…' quotes",
    ),
    ("depth", f"nested deeper than {_MAX_DEPTH} levels", None),
    ("another document", "a second document starts here", "a dataflow file holds one document"),
)


class Source(msgspec.Struct):
    """A dataflow file as plain values, with the place of each."""

    file: str
    """As the user wrote it; messages start with it."""
    value: Any
    """Plain dicts, lists, str, int, float, bool and None."""
    problems: list[Problem] = []
    _text: str = ""
    _root: Any = None

    def locate(self, *path: PathStep, part: str | None = None) -> Place:
        """Where the value at `path` stands; as far as `path` leads, if it leads nowhere.

        Args:
            path: Keys and list positions, from the top of the file.
            part: Text inside the value that is meant, when it is not all of it.
        """
        node = self._root
        for step in path:
            _, child = _child(node, step)
            if child is None:
                break
            node = child
        return self._place(node, part)

    def locate_key(self, *path: PathStep) -> Place:
        """Where the key of the value at `path` stands."""
        node = self._root
        for step in path[:-1]:
            _, node = _child(node, step)
        key, value = _child(node, path[-1])
        return self._place(key or value or node, None)

    def text(self, *path: PathStep) -> str:
        """The value at `path`, which must be a scalar, as it is written: `1.10` stays `1.10`."""
        node = self._root
        for step in path:
            _, node = _child(node, step)
        return str(node.value)

    def _place(self, node: Any, part: str | None) -> Place:
        if node is None:
            return Place(self.file, 1, 1)
        start, end = node.start_mark.index, node.end_mark.index
        if isinstance(node, MappingNode) and not node.flow_style and node.value:
            end = node.value[0][0].end_mark.index
        elif isinstance(node, SequenceNode):
            end = start + 1
        if part and (found := self._text.find(part, start, end)) >= 0:
            start, end = found, found + len(part)
        return place_at(self.file, self._text, start, end)


def place_at(file: str, text: str, start: int, end: int) -> Place:
    """The place of `text[start:end]`, cut off at the end of its first line."""
    start = min(start, len(text))
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.find("\n", start)
    line = text[line_start : line_end if line_end >= 0 else len(text)].rstrip("\r")
    width = min(end, line_start + len(line)) - start
    return Place(
        file=file,
        line=text.count("\n", 0, start) + 1,
        column=start - line_start + 1,
        text=line,
        width=max(1, width),
    )


def load(path: Path) -> Source:
    """Read a dataflow file.

    Raises:
        DescriptorError: there is no such file, it is no text, or it is no YAML.
    """
    if path.suffix == ".py" and path.is_file():
        what = f"`{path}` is a Python file, not a dataflow"
        mend = f"try a node by hand: `python {path}`; or name the YAML file that lists it"
        raise DescriptorError([Problem(what, mend=mend)])
    return parse(str(path), _read(path))


def parse(file: str, text: str) -> Source:
    """Turn the text of a dataflow file into values with places.

    Raises:
        DescriptorError: it is no YAML.
    """
    source = Source(file=file, value=None, _text=text)
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = _MAX_DEPTH
    yaml.composer.warn_double_anchors = False  # An anchor may be given anew.
    try:
        source._root = yaml.compose(text)
    except MarkedYAMLError as exc:
        raise DescriptorError([_syntax_problem(file, text, exc)]) from exc
    except ReaderError as exc:
        at = place_at(file, text, exc.position, exc.position + 1)
        what = f"the character U+{ord(text[exc.position]):04X} cannot stand in YAML"
        raise DescriptorError([Problem(what, at, "delete it")]) from exc
    except (YAMLError, ValueError) as exc:
        # ValueError: an escape like U+110000, which the library does not check itself.
        raise DescriptorError([Problem(f"`{file}` is not valid YAML: {exc}")]) from exc
    if source._root is not None:
        source.value = _Values(source).of(source._root)
    return source


def dump(value: Any) -> str:
    """Plain values as the text of a dataflow file: keys in their order, lines as they are."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    settings: dict[str, Any] = {"default_flow_style": False, "allow_unicode": True}
    settings |= {"sort_base_mapping_type_on_output": False, "width": 1 << 20}
    for name, setting in settings.items():  # The library's own annotations miss them.
        setattr(yaml, name, setting)
    text = StringIO()
    yaml.dump(value, text)
    return text.getvalue()


class _Representer(SafeRepresenter):
    """Writes a text of several lines as a block."""

    def represent_str(self, data: str) -> Any:
        is_plain = data.replace("\n", "").isprintable()
        style = '"' if not is_plain else "|" if "\n" in data.rstrip("\n") else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Representer.add_representer(str, _Representer.represent_str)


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DescriptorError([_missing(path)]) from None
    except IsADirectoryError:
        inside = sorted(p.name for p in path.iterdir() if p.suffix in _NEEDED_SUFFIXES)
        mend = f"name the file: `{path / inside[0]}`" if inside else "name a dataflow file"
        raise DescriptorError([Problem(f"`{path}` is a folder", mend=mend)]) from None
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise DescriptorError([Problem(f"`{path}` cannot be read: {reason}")]) from exc
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        what = f"`{path}` is not UTF-8 text: byte 0x{raw[exc.start]:02X} in line {line}"
        raise DescriptorError([Problem(what, mend="save the file as UTF-8")]) from exc


def _missing(path: Path) -> Problem:
    folder = path.parent
    if not folder.is_dir():
        return Problem(f"`{path}` does not exist", mend=f"there is no folder `{folder}`")
    near = sorted(p.name for p in folder.iterdir() if p.suffix in _NEEDED_SUFFIXES)
    stem = suggest(path.stem, [Path(name).stem for name in near])  # `.yml` makes all look alike
    guess = next((name for name in near if Path(name).stem == stem), None)
    mend = None
    if guess:
        mend = f"did you mean `{folder / guess}`?"
    elif near:
        mend = f"dataflow files there: {', '.join(near)}"
    return Problem(f"`{path}` does not exist", mend=mend)


def _syntax_problem(file: str, text: str, exc: MarkedYAMLError) -> Problem:
    said = f"{exc.problem or ''} {exc.context or ''}"
    mark = exc.problem_mark or exc.context_mark
    if mark is not None and (found := _variable_at(text, mark.index)):
        what = f"`{found[0]}` needs quotes inside `{{ }}` or `[ ]`"
        place = place_at(file, text, found.start(), found.end())
        return Problem(what, place, f'put it into quotes: `"{found[0]}"`')
    for pattern, what, mend in _SYNTAX:
        match = re.search(pattern, said)
        if match is None:
            continue
        if "closed" in what and exc.context_mark is not None:
            mark = exc.context_mark
        words = match.groups()
        at = place_at(file, text, mark.index, mark.index + 1) if mark else None
        return Problem(what.format(*words), at, mend.format(*words) if mend else None)
    at = place_at(file, text, mark.index, mark.index + 1) if mark else None
    return Problem(f"not valid YAML: {said.strip()}", at)


def _variable_at(text: str, index: int) -> re.Match[str] | None:
    """The word with a `${…}` in it whose `{` stands at `index`."""
    if text[max(0, index - 1) : index + 1] != "${":
        return None
    start = text.rfind("\n", 0, index) + 1
    words = _WORD.finditer(text, start)
    return next((word for word in words if word.start() < index < word.end()), None)


def _child(node: Any, step: PathStep) -> tuple[Any, Any]:
    """The key node and value node under `node` for one step; None where there is none."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and str(key.value) == step:
                return key, value
    elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        return None, node.value[step]
    return None, None


class _Values:
    """Makes plain values of YAML nodes and notes what cannot be one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._open: set[int] = set()
        self._count = 0

    def of(self, node: Any) -> Any:
        """The plain value of a node."""
        self._count += 1
        if self._count > _MAX_VALUES:
            what = f"more than {_MAX_VALUES} values, aliases included"
            raise DescriptorError([Problem(what, self._source._place(node, None))])
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            what = "an alias that refers to what it stands in"
            raise DescriptorError([Problem(what, self._source._place(node, None))])
        self._open.add(id(node))
        if isinstance(node, SequenceNode):
            value: Any = [self.of(item) for item in node.value]
        else:
            value = self._mapping(node)
        self._open.discard(id(node))
        return value

    def _mapping(self, node: Any) -> dict[str, Any]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            place = self._source._place(key_node, None)
            if not isinstance(key_node, ScalarNode):
                self._note(key_node, "a list or mapping cannot be a key")
                continue
            key = self._readable(key_node)
            if key in values:
                first = lines[key]
                where = "in this line" if first == place.line else f"in line {first}"
                self._note(
                    key_node,
                    f"the key `{key}` stands twice in one mapping: also {where}",
                    "keep one of them, or rename one",
                )
                continue
            lines[key] = place.line
            values[key] = self.of(value_node)
        return values

    def _scalar(self, node: Any) -> Any:
        text = self._readable(node)
        tag = str(node.tag or "").removeprefix("tag:yaml.org,2002:")
        if tag in {"str", "timestamp", "merge", "value"}:
            return text
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() in {"true", "yes", "on", "y"}
        if tag in {"int", "float"}:
            return _number(text, tag)
        self._note(node, f"the YAML tag `{node.tag}` is not known here", "delete the tag")
        return text

    def _readable(self, node: Any) -> str:
        text = str(node.value)
        if found := _UNREADABLE.search(text):
            code = ord(found[0])
            self._note(node, f"text cannot hold the character U+{code:04X}", "delete it")
            return _UNREADABLE.sub("", text)
        return text

    def _note(self, node: Any, what: str, mend: str | None = None) -> None:
        place = self._source._place(node, None)
        self._source.problems.append(Problem(what, place, mend))


def _number(text: str, tag: str) -> int | float | str:
    """A number that any key may take and any message carry; all else (`.inf`) stays text."""
    digits = text.replace("_", "")
    try:
        if tag == "float":
            rational = float(digits)
            return rational if math.isfinite(rational) else text
        # Base 0 reads 0x, 0o and 0b, but not 007, which YAML 1.2 takes as seven.
        whole = int(digits, 0 if re.match(r"[-+]?0[xob]", digits) else 10)
    except ValueError:
        return text
    return whole if -(2**63) <= whole < 2**64 else text

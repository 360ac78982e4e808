"""The commands of `build`: lines split into words, and what only a shell would have understood.

No shell reads these lines: dora-rs runs them as words, and so do we. What a shell would obey and
a program would take for an argument is reported, as it never does what was meant. Pure.

Called by `descriptor.planner`. Elsewhere: running them (`building.dataflow`).
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from dora.descriptor.words import node_name, shortened

if TYPE_CHECKING:
    from dora.descriptor.model import NodeEntry
    from dora.descriptor.report import Report

_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""")
_OPERATOR = re.compile(
    r"(?:^|(?<=\s))(?:&&|\|\|?|;|&|(?:\d|&)?(?:>>?|<<?<?)\S*)(?=\s|$)"  # As a word of its own.
    r"|[;&](?=\s|$)"  # At the end of a word: `cd src; make`.
    r"|\$\(|`"
)
_LONGEST = 60
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_OF_SHELLS = {
    "cd": "each command starts in the folder of the dataflow file; write `sh -c 'cd … && …'`",
    "export": "set the variable in the node's `env:`",
    "unset": "set the variable in the node's `env:`",
    "source": "`pip` and `python` are those of the interpreter that runs dora; delete it",
    ".": "`pip` and `python` are those of the interpreter that runs dora; delete it",
    "exit": "the build ends after its last line, and with the first that fails; delete it",
}
_COMPOUND = frozenset(
    ["alias", "eval", "exec", "set", "trap", "umask", "if", "for", "while", "until", "case", "{"]
)


def build_lines(index: int, node: NodeEntry, report: Report) -> tuple[tuple[str, ...], ...]:
    """The commands of `build`, split into words; no shell will read them."""
    commands: list[tuple[str, ...]] = []
    name = node_name(report.source.value, index)
    for line in map(str.strip, (node.build or "").splitlines()):
        if not line or line.startswith("#"):
            continue
        at = ("nodes", index, "build")
        try:
            words = tuple(shlex.split(line))
        except ValueError:
            what = f"`build` of {name}: a quote is not closed in `{shortened(line)}`"
            report.problem(what, *at, mend="close the quote", part=line)
            continue
        if trouble := _trouble(line, words):
            what, mend = trouble
            report.problem(f"`build` of {name}: {what}", *at, mend=mend, part=line)
        elif words:
            commands.append(words)
    return tuple(commands)


def _trouble(line: str, words: tuple[str, ...]) -> tuple[str, str] | None:
    """What in a line only a shell understands, and what to write."""
    plain = len(line) <= _LONGEST and not re.search("['`]", line)
    by_a_shell = f"`sh -c '{line}'`" if plain else "`sh -c '…'`"
    first = words[0] if words else ""
    if first in _OF_SHELLS or first in _COMPOUND or _ASSIGNMENT.match(first):
        hint = _OF_SHELLS.get("export" if _ASSIGNMENT.match(first) else first)
        what = f"no shell reads it, and `{first}` is no program"
        return what, hint or f"write {by_a_shell}"
    if found := _OPERATOR.search(_QUOTED.sub(_blank, line)):
        sign = "a backtick" if found[0] == "`" else f"`{found[0]}`"
        what = f"no shell reads it, so {sign} means nothing"
        return what, f"write one command a line, or {by_a_shell}"
    return None


def _blank(quoted: re.Match[str]) -> str:
    return "_" * len(quoted[0])

"""Parameters of modules: what a module node gives, and where a module says it wants it. Pure.

`$PARAM_GAIN`, `${PARAM_GAIN}` and `${_param.gain}` stand for the parameter `gain` in `args`, in
`env` and in `params` of the nodes inside; every node inside finds it in the variable `PARAM_GAIN`.

Used by `descriptor.expansion`. Elsewhere: variables of the environment (`descriptor.environment`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dora.descriptor.model import NodeEntry
    from dora.descriptor.source import Source
    from dora.descriptor.views import Path, Written

_REFERENCE = re.compile(
    r"\$\$|\$\{_param\.(?P<key>\w+)\}"
    r"|\$\{PARAM_(?P<braced>\w+)(?P<default>:-[^}]*)?\}|\$PARAM_(?P<plain>\w+)"
)


class Param(msgspec.Struct, frozen=True):
    """The value of a parameter, and where it was given."""

    text: str
    written: Written


def given_params(
    node: NodeEntry, at: Path, source: Source, around: Mapping[str, Param]
) -> dict[str, Param]:
    """The parameters that a module node gives, those from around it put in."""
    given: dict[str, Param] = {}
    for key, value in (node.params or {}).items():
        where = (*at, key)
        if isinstance(value, bool):
            text = str(value).lower()
        elif isinstance(value, str):
            text, _ = fill(value, around)
        else:
            text = source.text(*where)
        given[key] = Param(text, (source, where))
    return given


def variables(params: Mapping[str, Param]) -> dict[str, Param]:
    """The parameters under the names of their variables."""
    return {f"PARAM_{key.upper()}": param for key, param in params.items()}


def fill(text: str, params: Mapping[str, Param], *, escape: bool = False) -> tuple[str, list[str]]:
    """Put parameters into a text.

    Args:
        text: May refer to parameters.
        params: All there are.
        escape: Variables of the environment will be put in later: a `$` becomes `$$`.

    Returns:
        The text, and the references to parameters that are not there, which it keeps.
    """
    by_variable = variables(params)
    absent: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return match[0]
        name = match["braced"] or match["plain"]
        param = by_variable.get(f"PARAM_{name}") if name else params.get(match["key"])
        if param is None:
            absent.append(match[0])
            return match[0]
        return param.text.replace("$", "$$") if escape else param.text

    return _REFERENCE.sub(replace, text), absent

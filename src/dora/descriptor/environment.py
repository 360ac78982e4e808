"""The environment variables of nodes: expansion of `$VAR`, what is reserved, which of two wins.

Expansion looks at the environment of the command that reads the file, never at other entries of
`env`. Text stays the text it is: `"1.10"` is not turned into a number and back.

Called by `descriptor.planner`. Elsewhere: variables inside `path` (`descriptor.command`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dora.descriptor.words import subject
from dora.ids import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dora.descriptor.model import Dataflow, EnvValue
    from dora.descriptor.report import Report
    from dora.descriptor.source import PathStep

_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<braced>[^}]*)\}|(?P<plain>\w+))")
_BRACED = re.compile(r"(\w+)(?::-(.*))?", re.DOTALL)
_NAME = re.compile(r"[^\s=\d$][^\s=$]*")
_RESERVED = frozenset(
    {
        "DORA_NODE_CONFIG",
        "DORA_RUNTIME_CONFIG",
        "DORA_RUN_PARENT_PID",
        "DORA_AUTH_TOKEN",
        "DORA_ALLOW_SHELL_NODES",
        "ZENOH_CONFIG",
        "LD_PRELOAD",
        "LD_AUDIT",
        "LD_LIBRARY_PATH",
    }
)
_RESERVED_PREFIXES = ("DORA_ZENOH_", "DYLD_")


def is_env_name(name: str) -> bool:
    """Whether an environment variable may have this name."""
    return _NAME.fullmatch(name) is not None


def is_reserved(name: str) -> bool:
    """Whether dora keeps this variable for itself; a dataflow cannot set it."""
    return name in _RESERVED or name.startswith(_RESERVED_PREFIXES)


def read_environments(
    flow: Dataflow, report: Report, environ: Mapping[str, str], extra_env: Mapping[str, str]
) -> list[dict[str, str]]:
    """The variables of each node, in the order of the nodes.

    Args:
        flow: The filled model.
        report: Takes unset variables, bad names, and warnings about reserved ones.
        environ: What `$VAR` refers to.
        extra_env: From the command line; wins over the top level of the file, as it stands.
    """
    shared = _read(("env",), flow.env, report, environ)
    for name, value in extra_env.items():
        if is_reserved(name):
            report.warnings.append(f"`--env {name}`: dora keeps this variable for itself; dropped")
        else:
            shared[name] = value
    return [
        {**shared, **_read(("nodes", index, "env"), node.env, report, environ)}
        for index, node in enumerate(flow.nodes)
    ]


def _read(
    path: tuple[PathStep, ...],
    values: Mapping[str, EnvValue],
    report: Report,
    environ: Mapping[str, str],
) -> dict[str, str]:
    read: dict[str, str] = {}
    for name, value in values.items():
        at = (*path, name)
        if not is_env_name(name):
            what = f"`{name}` cannot be the name of an environment variable"
            report.problem_with_key(what, *at, mend="use letters, digits and `_`")
        elif is_reserved(name):
            report.warn(f"`{name}`: dora keeps this variable for itself; dropped", *at)
        elif isinstance(value, str):
            read[name] = _expand(at, value, report, environ)
        else:
            read[name] = _text(value, report.source.text(*at))
    return read


def _text(value: bool | int | float, written: str) -> str:
    """A value that is no text in YAML, as a node finds it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and re.match(r"[-+]?0[xob]", written):
        return str(value)
    return written


def _expand(
    path: tuple[PathStep, ...], text: str, report: Report, environ: Mapping[str, str]
) -> str:
    def replace(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        braced = _BRACED.fullmatch(
            match["braced"] if match["braced"] is not None else match["plain"]
        )
        if braced is None:
            report.problem(
                f"{subject(path, report.source.value)}: `{match[0]}` is no form of a variable",
                *path,
                mend="write `$VAR`, `${VAR}` or `${VAR:-default}`, and `$$` for a dollar sign",
                part=match[0],
            )
            return ""
        name, default = braced.groups()
        value = environ.get(name, default)
        if value is None:
            _unset(path, match[0], name, report, environ)
            return ""
        return value

    return _REFERENCE.sub(replace, text)


def _unset(
    path: tuple[PathStep, ...], written: str, name: str, report: Report, environ: Mapping[str, str]
) -> None:
    near = suggest(name, environ)
    mend = f"set it, or give a default: `${{{name}:-…}}`; `$$` is a dollar sign"
    if name.startswith("PARAM_"):
        param = name.removeprefix("PARAM_").lower()
        mend = f"give it where the module is used: `params: {{{param}: …}}`. Else {mend}"
    report.problem(
        f"{subject(path, report.source.value)}: the environment variable `{name}` is not set",
        *path,
        mend=f"did you mean `{near}`? Else {mend}" if near else mend,
        part=written,
    )

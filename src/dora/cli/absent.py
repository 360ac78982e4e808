"""What to say to a command that does not exist: of dora-rs but not yet here, misspelt, or a file.

Pure. Used by `cli.main`. Elsewhere: the commands there are (`cli.main`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.ids import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

_DAEMON = "`dora up` starts the background daemon, which needs no coordinator"

NOT_YET: dict[str, str] = {
    "coordinator": _DAEMON,
    "daemon": _DAEMON,
    "runtime": "`dora run` and `dora start` run operators themselves",
}
NOT_YET |= dict.fromkeys(["hub", "cluster", "self"], "")
"""Commands of dora-rs that are not there yet, and what helps meanwhile."""


def absent_command(name: str, known: Iterable[str]) -> str:
    """The message for a command that is none of the `known` ones."""
    if name in NOT_YET:
        hint = NOT_YET[name]
        return f"`dora {name}` is not in this release" + (f"; {hint}" if hint else "")
    if name.endswith((".yml", ".yaml")):
        return f"`{name}` is no command; to run that dataflow: `dora run {name}`"
    names = list(known)
    near = suggest(name, [*names, *NOT_YET])
    if near in NOT_YET:
        return f"there is no command `{name}`; `dora {near}` is not in this release"
    hint = f"did you mean `dora {near}`?" if near else f"commands: {', '.join(names)}"
    return f"there is no command `{name}`; {hint}"

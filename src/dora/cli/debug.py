"""`dora run --debug-node`: nodes that the user starts, in a terminal or a debugger.

Pure. Used by `cli.main` and `cli.run`. Elsewhere: waiting for them (`daemon.roster`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dora.errors import DoraError
from dora.ids import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dora.descriptor.plan import NodePlan, Plan


def leave_to_user(plan: Plan, node_ids: Iterable[str]) -> Plan:
    """The plan with some nodes left to the user to start.

    Raises:
        DoraError: the plan lacks one of them, or dora would not have started it.
    """
    wanted = set(node_ids)
    known = {node.id: node for node in plan.nodes}
    for name in sorted(wanted):
        _check(name, known)
    nodes = (
        msgspec.structs.replace(node, by_hand=True) if node.id in wanted else node
        for node in plan.nodes
    )
    return msgspec.structs.replace(plan, nodes=tuple(nodes))


def _check(name: str, known: Mapping[str, NodePlan]) -> None:
    if name not in known:
        near = suggest(name, known)
        hint = f"did you mean `{near}`?" if near else f"nodes: {', '.join(known)}"
        raise DoraError(f"`--debug-node {name}`: the dataflow has no such node; {hint}")
    if known[name].command is None:
        raise DoraError(
            f"`--debug-node {name}`: the node has `path: dynamic`, so it is yours to start anyway: "
            f"`Node({name!r})` in any program joins"
        )


def told(command_lines: Mapping[str, str]) -> str:
    """What to tell the user, who has to start these nodes: node id to command line."""
    parts = [
        f"node `{node}` waits for you; type this in another terminal (`-u -m pdb` in place of `-u` "
        f"steps through it), or start it with this environment in your debugger:\n\n{line}\n"
        for node, line in command_lines.items()
    ]
    return "\n".join(parts)

"""Who plays what in a replay: recorded outputs → nodes that replay them in place of the originals.

A replaced node keeps its id and its outputs, so that whoever reads them, the edges and the queues
stay as they are; only what it runs is another. Pure: nodes, topics and wishes in, a `Cast` out,
and a dataflow's plain values in which the cast plays.

Used by `recording.replay`. Elsewhere: what a replaced node runs (`recording.replay_node`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from dora.errors import ReplayError
from dora.ids import OutputRef, parse_source, suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

_KEPT = (
    "id",
    "name",
    "description",
    "outputs",
    "output_types",
    "output_metadata",
    "output_framing",
)
"""What stays of a node that is replaced: what others see of it."""

_OPERATORS = ("operator", "operators")


class Role(msgspec.Struct, frozen=True):
    """A node of the dataflow, as far as a replay must know it."""

    node: str
    outputs: tuple[str, ...]
    reads: tuple[str, ...] = ()
    """The outputs of other nodes that it reads: `node/output`."""


class Cast(msgspec.Struct, frozen=True):
    """Who plays what."""

    parts: dict[str, dict[str, str]]
    """Each replaced node: recorded topic to the output that it is sent on."""
    live: tuple[str, ...]
    """Nodes without inputs of others that run themselves: nothing of theirs was recorded."""
    silent: tuple[str, ...]
    """Outputs of replaced nodes that somebody reads and that nothing is recorded of."""
    idle: tuple[str, ...]
    """Nodes that only replaced nodes read from: they are not started."""
    unplayed: tuple[str, ...]
    """Recorded topics of nodes or outputs that the dataflow does not have."""

    @property
    def topics(self) -> dict[str, tuple[str, str]]:
        """Recorded topic → node and output."""
        return {
            topic: (node, output)
            for node, plays in self.parts.items()
            for topic, output in plays.items()
        }


def cast(
    roles: Sequence[Role],
    topics: Collection[str],
    remap: Mapping[str, str] | None = None,
    replace: Iterable[str] | None = None,
) -> Cast:
    """Choose the nodes to replace.

    Args:
        roles: The nodes of the dataflow.
        topics: What was recorded, `node/output`.
        remap: Recorded topics that are played as another output.
        replace: The nodes to replace; None: those that read from no other node, or that `remap`
            names, as far as something is recorded of them.

    Raises:
        ReplayError: a wish cannot be met, or there is nothing to replay.
    """
    by_id = {role.node: role for role in roles}
    remap = dict(remap or {})
    for topic in remap:
        _check_known(f"`--remap {topic}=...`: ", "recorded", topic, topics)
    available: dict[str, dict[str, str]] = {}
    unplayed = []
    played_by: dict[str, str] = {}
    for topic in topics:
        target = remap.get(topic, topic)
        node, _, output = target.partition("/")
        role = by_id.get(node)
        if role is None or output not in role.outputs:
            if topic in remap:
                every = [f"{one.node}/{port}" for one in roles for port in one.outputs]
                _check_known(f"`--remap {topic}={target}`: ", "an output", target, every)
            unplayed.append(topic)
            continue
        if target in played_by:
            raise ReplayError(
                f"`{topic}` and `{played_by[target]}` would both be played as `{target}`; give one "
                "of them another output by `--remap`"
            )
        played_by[target] = topic
        available.setdefault(node, {})[topic] = output
    chosen = _chosen(by_id, available, remap, replace)
    parts = {node: available[node] for node in by_id if node in chosen}
    if not parts:
        raise ReplayError(_nothing(topics, available))
    idle = _idle(roles, parts)
    gone = {*parts, *idle}
    read = {source for role in roles if role.node not in gone for source in role.reads}
    return Cast(
        parts=parts,
        live=tuple(role.node for role in roles if not role.reads and role.node not in gone),
        idle=tuple(role.node for role in roles if role.node in idle),
        silent=tuple(
            f"{node}/{output}"
            for node, plays in parts.items()
            for output in by_id[node].outputs
            if output not in plays.values() and f"{node}/{output}" in read
        ),
        unplayed=tuple(unplayed),
    )


def _idle(roles: Sequence[Role], parts: Collection[str]) -> set[str]:
    """Nodes whose readers are all replaced, or idle themselves."""
    readers: dict[str, set[str]] = {}
    for role in roles:
        for source in role.reads:
            readers.setdefault(source.partition("/")[0], set()).add(role.node)
    idle: set[str] = set()
    while True:
        more = {
            node
            for node, reading in readers.items()
            if node not in parts and node not in idle and reading - {node} <= {*parts, *idle}
        }
        if not more:
            return idle
        idle |= more


def _chosen(
    by_id: Mapping[str, Role],
    available: Mapping[str, Mapping[str, str]],
    remap: Mapping[str, str],
    replace: Iterable[str] | None,
) -> set[str]:
    """The nodes to replace."""
    if replace is None:
        aimed_at = {target.partition("/")[0] for target in remap.values()}
        return {node for node in available if not by_id[node].reads or node in aimed_at}
    chosen = set()
    for node in replace:
        _check_known("`--replace`: ", "a node of the dataflow", node, by_id)
        if node not in available:
            recorded = ", ".join(f"`{one}`" for one in available) or "none"
            raise ReplayError(
                f"`--replace`: nothing is recorded of node `{node}`; nodes with recorded outputs: "
                f"{recorded}"
            )
        chosen.add(node)
    return chosen


def _nothing(topics: Collection[str], available: Collection[str]) -> str:
    """Why there is nothing to replay."""
    if available:
        named = ", ".join(f"`{node}`" for node in available)
        return (
            "no node that reads from no other was recorded, so there is nothing to replay by "
            f"itself; name the nodes to replace: `--replace`; recorded: {named}"
        )
    recorded = ", ".join(f"`{topic}`" for topic in topics) or "nothing"
    return (
        f"no output of the dataflow is in the recording, which holds {recorded}; name another "
        "dataflow by `--dataflow`, or the outputs they are to be by `--remap recorded=node/output`"
    )


def _check_known(whose: str, what: str, given: str, known: Iterable[str]) -> None:
    names = list(known)
    if given in names:
        return
    near = suggest(given, names)
    there = ", ".join(f"`{name}`" for name in names) or "none"
    hint = f"did you mean `{near}`?" if near else f"there are: {there}"
    raise ReplayError(f"{whose}`{given}` is not {what}; {hint}")


# ---- the dataflow in which the cast plays ----


def with_replays(
    flow: Mapping[str, Any],
    cast: Cast,
    roles: Sequence[Role],
    command: Callable[[str], dict[str, str]],
    *,
    lossless: bool,
) -> dict[str, Any]:
    """A dataflow file's values with the replaced nodes in it.

    Args:
        flow: The file's values, flat (without modules).
        cast: Who plays what.
        roles: The nodes, with their outputs' whole names.
        command: `path` and `args` of a replaced node.
        lossless: Have replaced nodes wait for whoever reads them, unless the file wants the
            reader's oldest message dropped.
    """
    outputs = {role.node: role.outputs for role in roles}
    nodes = []
    for node in flow["nodes"]:
        name = node.get("id") if isinstance(node, dict) else None
        if name in cast.parts:
            kept = {key: node[key] for key in _KEPT if key in node}
            nodes.append({**kept, "outputs": list(outputs[name]), **command(name)})
        elif name in cast.idle:
            continue
        elif name is not None:
            nodes.append(_rewired(node, cast, outputs, lossless=lossless))
        else:
            nodes.append(node)  # a mistake, told when the plan is made
    return {**flow, "nodes": nodes}


def _rewired(
    node: Mapping[str, Any],
    cast: Cast,
    outputs: Mapping[str, tuple[str, ...]],
    *,
    lossless: bool,
) -> dict[str, Any]:
    """A node that reads from replaced ones by their whole names."""
    changed = dict(node)
    if isinstance(node.get("inputs"), dict):
        changed["inputs"] = {
            port: _input(given, cast, outputs, lossless=lossless)
            for port, given in node["inputs"].items()
        }
    for key in _OPERATORS:
        entry = node.get(key)
        if isinstance(entry, dict):
            changed[key] = _rewired(entry, cast, outputs, lossless=lossless)
        elif isinstance(entry, list):
            changed[key] = [_rewired(one, cast, outputs, lossless=lossless) for one in entry]
    return changed


def _input(
    given: Any, cast: Cast, outputs: Mapping[str, tuple[str, ...]], *, lossless: bool
) -> Any:
    """An input; one of a replaced node may need more words."""
    long = {"source": given} if isinstance(given, str) else dict(given)
    try:
        source = parse_source(long["source"])
    except ValueError:
        return given  # a mistake, told when the plan is made
    if not isinstance(source, OutputRef) or source.node not in cast.parts:
        return given
    known = outputs[source.node]
    if source.output not in known:  # an operator's, which the file may leave out if it is alone
        whole = [output for output in known if output.endswith(f"/{source.output}")]
        long["source"] = f"{source.node}/{whole[0]}" if len(whole) == 1 else long["source"]
    if lossless and long.get("queue_policy") is None:
        long["queue_policy"] = "backpressure"
    return long["source"] if list(long) == ["source"] else long

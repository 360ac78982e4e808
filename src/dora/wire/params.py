"""The table of parameters: values that a running node is told of, by node and key; pure.

A value is JSON of any kind, kept without spaces. One table for each dataflow, in its daemon.

Elsewhere: who asks and is told (`daemon.params`), how questions travel (`wire.visits`), how a node
learns of a change (`wire.messages`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dora.errors import DoraError
from dora.ids import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_KEY_BYTES = 256
MOST_VALUE_BYTES = 64 << 10
MOST_NODE_BYTES = 8 << 20
"""Of all keys and values of a node: they are listed in one control message."""
MOST_LEVELS = 100
"""Lists and objects within each other; every JSON parser reads so many."""


class Params:
    """See the module. Which nodes there are is not known here."""

    def __init__(self) -> None:
        self._nodes: dict[str, dict[str, bytes]] = {}

    def all_of(self, node: str) -> dict[str, bytes]:
        """The parameters of a node, sorted by key."""
        return dict(sorted(self._nodes.get(node, {}).items()))

    def get(self, node: str, key: str) -> bytes:
        """The value of a parameter.

        Raises:
            DoraError: the node has no such parameter.
        """
        values = self._nodes.get(node, {})
        if key not in values:
            raise DoraError(_no_param(node, key, values))
        return values[key]

    def check(self, node: str, key: str, value: bytes) -> bytes:
        """A value as `put` takes it.

        Raises:
            DoraError: key or value cannot be; the message says why.
        """
        check_key(key)
        compact = compact_json(value)
        others = {known: held for known, held in self._nodes.get(node, {}).items() if known != key}
        size_bytes = sum(len(known.encode()) + len(held) for known, held in others.items())
        if size_bytes + len(key.encode()) + len(compact) > MOST_NODE_BYTES:
            raise DoraError(
                f"the parameters of node `{node}` would take more than "
                f"{MOST_NODE_BYTES >> 20} MB together; delete some with `dora param delete`"
            )
        return compact

    def put(self, node: str, key: str, value: bytes) -> None:
        """Keep a value that was checked."""
        self._nodes.setdefault(node, {})[key] = value

    def delete(self, node: str, key: str) -> None:
        """Forget a parameter, which must exist."""
        del self._nodes[node][key]

    def forget(self, node: str) -> None:
        """Forget all parameters of a node."""
        self._nodes.pop(node, None)


def check_key(key: str) -> None:
    """Refuse what cannot be the key of a parameter.

    Raises:
        DoraError: it cannot; the message says why.
    """
    if not key.isprintable():
        raise DoraError(f"the key of a parameter is one line of text, and {key!r} is not")
    size_bytes = len(key.encode())
    if not 0 < size_bytes <= MOST_KEY_BYTES:
        raise DoraError(
            f"the key of a parameter has 1 to {MOST_KEY_BYTES} bytes, and this one has {size_bytes}"
        )


def compact_json(value: bytes) -> bytes:
    """JSON without spaces.

    Raises:
        DoraError: it is no JSON, or too much of it.
    """
    if len(value) > MOST_VALUE_BYTES:
        raise DoraError(
            f"a value of {len(value)} bytes is too large for a parameter: at most "
            f"{MOST_VALUE_BYTES >> 10} KB; put it into a file, and set the file's name"
        )
    too_deep = f"more than {MOST_LEVELS} lists and objects within each other"
    try:
        decoded = msgspec.json.decode(value)
    except RecursionError as exc:
        raise DoraError(f"the value is no JSON for a parameter: {too_deep}") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        reason = str(exc).removeprefix("JSON is malformed: ")
        raise DoraError(f"the value is no JSON: {reason}") from exc
    if _levels(decoded) > MOST_LEVELS:
        raise DoraError(f"the value is no JSON for a parameter: {too_deep}")
    return msgspec.json.format(value, indent=-1)


def _levels(value: object) -> int:
    """How many lists and objects lie within each other."""
    levels = 0
    inside = [value]
    while containers := [each for each in inside if isinstance(each, dict | list)]:
        levels += 1
        inside = [child for each in containers for child in _children(each)]
    return levels


def _children(container: dict[str, object] | list[object]) -> Iterable[object]:
    return container.values() if isinstance(container, dict) else container


def _no_param(node: str, key: str, values: dict[str, bytes]) -> str:
    if not values:
        return f"node `{node}` has no parameter `{key}`; none are set"
    near = suggest(key, values)
    hint = f"did you mean `{near}`?" if near else f"set are: {', '.join(sorted(values))}"
    return f"node `{node}` has no parameter `{key}`; {hint}"

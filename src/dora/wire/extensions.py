"""The table behind `node.extension_store` and its like: opaque values, by namespace and key; pure.

One table for each dataflow, in the daemon; one for a node without a dataflow, in its process. A
value lives until it is dropped or the node that stored it is gone. Whoever stored or read it finds
its key among the dropped ones then, once.

Elsewhere: how questions travel (`wire.messages`).
"""

from __future__ import annotations

import msgspec

from dora.wire.messages import ExtensionAnswer, ExtensionAsk

MOST_ENTRIES = 8192
MOST_NAME_BYTES = 1 << 10
"""Of a namespace, and of a key."""
MOST_BYTES = 16 << 20
"""Of one value: it stands in a control message."""


class _Entry(msgspec.Struct):
    owner: str
    value: bytes
    known_to: dict[str, None]


class Extensions:
    """See the module. Nodes are known by their ids."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._dropped: dict[tuple[str, str], dict[str, None]] = {}
        """By node and namespace: keys, in the order in which they were dropped."""

    def saved(self) -> list[tuple[str, str, str, bytes, list[str]]]:
        """All values: namespace, key, owner, value, who knows it. What was dropped is forgotten."""
        return [
            (*place, entry.owner, entry.value, list(entry.known_to))
            for place, entry in self._entries.items()
        ]

    def resume(self, saved: list[tuple[str, str, str, bytes, list[str]]]) -> None:
        """Go on where another table was left."""
        for namespace, key, owner, value, known_to in saved:
            self._entries[namespace, key] = _Entry(owner, value, dict.fromkeys(known_to))

    def answer(self, node: str, ask: ExtensionAsk) -> ExtensionAnswer:
        """Do what a node asks."""
        place = (ask.namespace, ask.key)
        match ask.action:
            case "store":
                return ExtensionAnswer(ask.number, problem=self._store(node, place, ask.value))
            case "drop":
                self._drop(place)
            case "drain":
                keys = list(self._dropped.pop((node, ask.namespace), {}))
                return ExtensionAnswer(ask.number, keys=keys)
            case _:
                entry = self._entries.get(place)
                if entry is not None:
                    entry.known_to[node] = None
                    if ask.action == "take":
                        self._drop(place)
                    return ExtensionAnswer(ask.number, value=entry.value)
        return ExtensionAnswer(ask.number)

    def forget(self, node: str) -> None:
        """The node is gone: so is what it stored, and what it was to be told."""
        for place in [place for place, entry in self._entries.items() if entry.owner == node]:
            self._drop(place)
        for entry in self._entries.values():
            entry.known_to.pop(node, None)
        for told in [told for told in self._dropped if told[0] == node]:
            del self._dropped[told]

    def _store(self, node: str, place: tuple[str, str], value: bytes) -> str | None:
        """Keep a value; why not, if not."""
        entry = self._entries.get(place)
        if entry is not None:
            entry.owner, entry.value = node, value
            entry.known_to[node] = None
        elif len(self._entries) >= MOST_ENTRIES:
            return (
                f"extension table full for this dataflow ({MOST_ENTRIES} entries); node `{node}` "
                f"cannot store `{place[0]}/{place[1]}`; drop entries with `extension_drop`"
            )
        else:
            self._entries[place] = _Entry(node, value, {node: None})
        return None

    def _drop(self, place: tuple[str, str]) -> None:
        entry = self._entries.pop(place, None)
        if entry is None:
            return
        namespace, key = place
        for node in entry.known_to:
            keys = self._dropped.setdefault((node, namespace), {})
            keys.pop(key, None)
            keys[key] = None
            if len(keys) > MOST_ENTRIES:  # of a node that never looks, the oldest are forgotten
                del keys[next(iter(keys))]

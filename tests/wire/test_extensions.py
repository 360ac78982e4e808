"""The table of values: what is stored, dropped, and told."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from dora.wire.extensions import MOST_ENTRIES, Extensions
from dora.wire.messages import ExtensionAnswer, ExtensionAsk

NODES, SPACES, KEYS = ("a", "b", "c"), ("x", "y"), ("k", "l", "m")


def ask(table: Extensions, node: str, action: Any, key: str = "", **more: Any) -> ExtensionAnswer:
    """Ask in namespace `x`, unless it is said."""
    return table.answer(node, ExtensionAsk(1, action, more.pop("space", "x"), key, **more))


class Machine(RuleBasedStateMachine):
    """Against sets and dicts of the plainest kind."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Extensions()
        self.values: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.known: dict[tuple[str, str], set[str]] = {}
        self.told: dict[tuple[str, str], list[str]] = {}

    def dropped(self, place: tuple[str, str]) -> None:
        if self.values.pop(place, None) is not None:
            for node in self.known.pop(place):
                keys = self.told.setdefault((node, place[0]), [])
                self.told[node, place[0]] = [key for key in keys if key != place[1]] + [place[1]]

    @rule(
        node=st.sampled_from(NODES),
        space=st.sampled_from(SPACES),
        key=st.sampled_from(KEYS),
        value=st.binary(max_size=2),
    )
    def store(self, node: str, space: str, key: str, value: bytes) -> None:
        assert ask(self.table, node, "store", key, space=space, value=value).problem is None
        self.values[space, key] = (node, value)
        self.known.setdefault((space, key), set()).add(node)

    @rule(
        node=st.sampled_from(NODES),
        space=st.sampled_from(SPACES),
        key=st.sampled_from(KEYS),
        take=st.booleans(),
    )
    def load(self, node: str, space: str, key: str, take: bool) -> None:
        answer = ask(self.table, node, "take" if take else "load", key, space=space)
        assert answer.value == self.values.get((space, key), ("", None))[1]
        if (space, key) in self.values:
            self.known[space, key].add(node)
            if take:
                self.dropped((space, key))

    @rule(node=st.sampled_from(NODES), space=st.sampled_from(SPACES), key=st.sampled_from(KEYS))
    def drop(self, node: str, space: str, key: str) -> None:
        ask(self.table, node, "drop", key, space=space)
        self.dropped((space, key))

    @rule(node=st.sampled_from(NODES), space=st.sampled_from(SPACES))
    def drain(self, node: str, space: str) -> None:
        answer = ask(self.table, node, "drain", space=space)
        assert answer.keys == self.told.pop((node, space), [])

    @rule(node=st.sampled_from(NODES))
    def forget(self, node: str) -> None:
        self.table.forget(node)
        for place, (owner, _) in list(self.values.items()):
            if owner == node:
                self.dropped(place)
        for nodes in self.known.values():
            nodes.discard(node)
        self.told = {where: keys for where, keys in self.told.items() if where[0] != node}


TestTheTableIsAsItsModel = Machine.TestCase
TestTheTableIsAsItsModel.settings = settings(max_examples=50, stateful_step_count=30)


def test_a_full_table_says_so_and_takes_more_when_something_was_dropped() -> None:
    table = Extensions()
    for number in range(MOST_ENTRIES):
        assert ask(table, "a", "store", str(number)).problem is None
    problem = ask(table, "a", "store", "more").problem
    assert problem is not None
    assert "extension table full for this dataflow (8192 entries)" in problem
    assert ask(table, "a", "store", "0", value=b"over").problem is None
    ask(table, "a", "drop", "0")
    assert ask(table, "a", "store", "more").problem is None


def test_a_node_that_never_looks_is_told_of_the_last_few_thousand_keys() -> None:
    table = Extensions()
    for number in range(MOST_ENTRIES + 5):
        ask(table, "a", "store", str(number))
        ask(table, "a", "drop", str(number))
    keys = ask(table, "a", "drain").keys
    assert (len(keys), keys[-1]) == (MOST_ENTRIES, str(MOST_ENTRIES + 4))

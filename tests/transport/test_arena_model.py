"""The arena against a model of it: what is held is never handed out, what is free is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_rig import LONG
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from dora.errors import ArenaFullError
from dora.transport import arena as arena_module
from dora.transport.arena import Arena, create_memory
from dora.wire.ticket import PAGE_BYTES

if TYPE_CHECKING:
    import pytest

PAGES = 48
WATERMARK_BYTES = 6 * PAGE_BYTES


class ArenaMachine(RuleBasedStateMachine):
    """Slots allocated, held by some, given back by one after the other."""

    slots = Bundle("slots")

    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena(create_memory("arena", PAGES * PAGE_BYTES), 1, PAGES * PAGE_BYTES)
        self.model: dict[int, tuple[int, bytes]] = {}
        """Slot -> how many hold it, what its first bytes are."""
        self.written = 0

    @rule(target=slots, size=st.integers(1, 20 * PAGE_BYTES), holders=st.integers(0, 3))
    def allocate(self, size: int, holders: int) -> object:
        try:
            slot = self.arena.allocate(size)
        except ArenaFullError:
            assert self._longest_free_row() < 1 << ((size - 1) // PAGE_BYTES).bit_length()
            return multiple()
        assert self.arena.size_of(slot) >= size
        mine = self._pages_of(slot)
        assert mine.stop <= PAGES
        assert all(not set(mine) & set(self._pages_of(other)) for other in self.model)
        if not holders:
            self.arena.free(slot)
            return multiple()
        self.arena.hold(slot, holders)
        self.written += 1
        mark = self.written.to_bytes(8, "little")
        start = slot * PAGE_BYTES
        self.arena.memory[start : start + size] = bytes([self.written & 255]) * size
        self.arena.memory[start : start + 8] = mark
        self.model[slot] = (holders, mark)
        return slot

    @rule(slot=slots)
    def hold_once_more(self, slot: int) -> None:
        if slot in self.model:
            holders, mark = self.model[slot]
            self.arena.hold(slot, 1)
            self.model[slot] = (holders + 1, mark)

    @rule(slot=consumes(slots))
    def release(self, slot: int) -> None:
        if slot not in self.model:
            return
        holders, mark = self.model.pop(slot)
        for _ in range(holders):
            assert self.arena.memory[slot * PAGE_BYTES : slot * PAGE_BYTES + 8] == mark
            self.arena.release(slot)

    @rule(slot=slots)
    def release_one_of_several(self, slot: int) -> None:
        holders, mark = self.model.get(slot, (0, b""))
        if holders > 1:
            self.arena.release(slot)
            self.model[slot] = (holders - 1, mark)

    @invariant()
    def what_is_held_is_counted_and_unchanged(self) -> None:
        assert self.arena.held == len(self.model)
        for slot, (_, mark) in self.model.items():
            assert self.arena.memory[slot * PAGE_BYTES : slot * PAGE_BYTES + 8] == mark

    def teardown(self) -> None:
        for slot, (holders, _) in self.model.items():
            for _ in range(holders):
                self.arena.release(slot)
        assert self.arena.held == 0
        self.arena.free(self.arena.allocate(PAGES // 2 * PAGE_BYTES))

    def _pages_of(self, slot: int) -> range:
        return range(slot, slot + self.arena.size_of(slot) // PAGE_BYTES)

    def _longest_free_row(self) -> int:
        taken = {page for slot in self.model for page in self._pages_of(slot)}
        row = longest = 0
        for page in range(PAGES):
            row = 0 if page in taken else row + 1
            longest = max(longest, row)
        return longest


def test_the_arena_hands_out_only_what_is_free_and_finds_all_that_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arena_module, "KEEP_WARM_BYTES", WATERMARK_BYTES)
    examples = 600 if LONG else 80
    run_state_machine_as_test(ArenaMachine, settings=settings(max_examples=examples, deadline=None))

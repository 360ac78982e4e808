"""One edge against a model queue, for both policies: what is sent, kept, dropped and given back."""

from __future__ import annotations

from typing import Any

import pytest
from edge_messages import is_whole
from edge_rig import LONG, Rig
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

SIZES = st.sampled_from([0, 8, 300, 449, 5000, 70_000])


class EdgeMachine(RuleBasedStateMachine):
    """A sender and a receiver who take turns."""

    backpressure: bool

    @initialize(queue_size=st.sampled_from([1, 2, 3, 8, 9, 10]))
    def wire(self, queue_size: int) -> None:
        self.rig = Rig(queue_size=queue_size, backpressure=self.backpressure, arena_bytes=1 << 26)
        self.rig.control.interrupted = True  # nobody to wait for: give up what has no room
        self.port = self.rig.port()
        self.queue: list[tuple[int, bool, bool]] = []
        """Number, whether in a slot, whether correlated, of what must wait now."""
        self.kept: list[Any] = []
        self.sent = self.dropped = self.received = 0

    @rule(size=SIZES, correlated=st.booleans(), spilled=st.booleans(), lent=st.booleans())
    def send(self, size: int, correlated: bool, spilled: bool, lent: bool) -> None:
        number = self.sent
        lent = lent and not correlated and size > 0
        if lent:
            self.rig.send_loan(number, size)
        else:
            facts = ({"request_id": "r"} if correlated else {}) | (
                {"note": "n" * 600} if spilled else {}
            )
            self.rig.send(number, size, **facts)
        self.sent += 1
        self._model_send(number, size > 400 or spilled or lent, correlated)

    def _model_send(self, number: int, in_slot: bool, correlated: bool) -> None:
        limit = self.rig.queue_size
        if len(self.queue) >= limit and self.backpressure:
            self.dropped += 1  # only because the control is interrupted
            return
        while len(self.queue) >= limit:
            oldest = next((m for m in self.queue if not m[2]), None)
            if oldest is None:
                break
            self.queue.remove(oldest)
            self.dropped += 1
        self.queue.append((number, in_slot, correlated))

    @rule(count=st.integers(1, 40))
    def burst(self, count: int) -> None:
        for _ in range(count):
            self.send(5000, False, False, False)

    @rule(keep=st.booleans())
    def receive(self, keep: bool) -> None:
        event: Any = self.port.take()
        if not self.queue:
            assert event is None
            return
        number, in_slot, _ = self.queue.pop(0)
        self.received += 1
        assert event["metadata"]["number"] == number
        assert is_whole(event)
        if keep and in_slot and event["value"].size:
            self.kept.append(event)

    @rule(index=st.integers(0, 5))
    def let_go(self, index: int) -> None:
        if self.kept:
            self.kept.pop(index % len(self.kept))

    @invariant()
    def the_queue_and_the_counters_are_as_they_should_be(self) -> None:
        if not hasattr(self, "rig"):
            return
        assert self.rig.edges[0].waiting() == len(self.queue)
        assert self.rig.board.route(0) == (self.sent, self.dropped)
        assert self.rig.received() == self.received
        assert self.sent == self.received + self.dropped + len(self.queue)

    @invariant()
    def exactly_the_slots_in_use_are_held_and_unchanged(self) -> None:
        if not hasattr(self, "rig"):
            return
        waiting = sum(in_slot for _, in_slot, _ in self.queue)
        assert self.rig.held() == waiting + len(self.kept)
        assert all(map(is_whole, self.kept))

    def teardown(self) -> None:
        if hasattr(self, "rig"):
            with self.rig:
                self.port.close()
                self.kept.clear()


class DropOldestMachine(EdgeMachine):
    backpressure = False


class BackpressureMachine(EdgeMachine):
    backpressure = True


@pytest.mark.parametrize("machine", [DropOldestMachine, BackpressureMachine])
def test_an_edge_behaves_as_its_model(machine: type[EdgeMachine]) -> None:
    examples = 500 if LONG else 100
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, deadline=None))

"""Receivers that die at any point, and who takes over: only slots of the dead are freed."""

from __future__ import annotations

import os
from typing import Any

import edge_messages
from edge_messages import is_whole
from edge_rig import LONG
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dora.node.inputs import InputPort
from dora.transport.arena import Arena, ArenaView, create_memory, reopen_read_only
from dora.transport.edge import SendingEdge, close_pipes, open_pipes
from dora.transport.receiving_edge import ReceivingEdge
from dora.transport.sender import Sender
from dora.wire.ticket import CREDIT, TICKET_BYTES

ARENA_BYTES = 1 << 26


class TakeoverMachine(RuleBasedStateMachine):
    """One edge; both ends are played by one process after the other, as a daemon wires them."""

    @initialize(queue_size=st.sampled_from([1, 3, 9]))
    def wire(self, queue_size: int) -> None:
        self.pipes = open_pipes(queue_size)
        self.views: dict[int, ArenaView] = {}
        self.number = 0
        self.waiting: list[tuple[int, int, bool]] = []
        """Number, arena, whether in a slot, of what must wait now."""
        self.kept: list[tuple[Any, int]] = []
        self.dead = 0
        """How many slots of the sender that lives dead receivers held."""
        self.fresh = False
        """Whether the receiver took nothing yet."""
        self.ever_read = False
        self.start_sender()
        self.port: InputPort | None = None
        self.succeed()

    def start_sender(self) -> None:
        arena_id = len(self.views) + 1
        memory = create_memory("arena", ARENA_BYTES)
        self.views[arena_id] = ArenaView(reopen_read_only(memory), ARENA_BYTES)
        self.arena = Arena(memory, arena_id, ARENA_BYTES)
        self.edge = SendingEdge(
            0,
            os.dup(self.pipes.ticket_write),
            os.dup(self.pipes.ticket_read),
            os.dup(self.pipes.return_read),
            self.pipes.queue_size,
            backpressure=False,
            arena=self.arena,
            counters=memoryview(bytearray(24)).cast("Q"),
        )
        self.sender = Sender(self.arena)
        self.sender.add_output("out", [self.edge], memoryview(bytearray(16)).cast("Q"))

    @rule(size=st.sampled_from([8, 5000, 70_000]), count=st.integers(1, 4))
    def send(self, size: int, count: int) -> None:
        for _ in range(count):
            edge_messages.send(self.sender, self.number, size)
            while len(self.waiting) >= self.pipes.queue_size:
                self.waiting.pop(0)
            self.waiting.append((self.number, self.arena.id, size > 400))
            self.number += 1

    @precondition(lambda self: self.port is not None)
    @rule(keep=st.booleans(), full=st.booleans())
    def receive(self, keep: bool, full: bool) -> None:
        assert self.port is not None
        while full:  # nobody collects: what is given back now must be kept
            try:
                os.write(self.pipes.return_write, CREDIT)
            except BlockingIOError:
                break
        event: Any = self.port.take()
        if not self.waiting:
            assert event is None
            return
        number, arena, in_slot = self.waiting.pop(0)
        assert event["metadata"]["number"] == number
        assert is_whole(event)
        if self.fresh:
            self.fresh = False
            if arena == self.arena.id:
                self.dead = 0
        if keep and in_slot:
            self.kept.append((event, arena))

    @rule(index=st.integers(0, 5))
    def let_go(self, index: int) -> None:
        if self.kept:
            self.kept.pop(index % len(self.kept))

    @precondition(lambda self: self.port is not None)
    @rule(in_mid_read=st.booleans())
    def die(self, in_mid_read: bool) -> None:
        """It is killed, perhaps between taking a ticket and doing anything about it."""
        assert self.port is not None
        returns = self.port._edge._returns
        while returns.unsent and not in_mid_read:  # what it wrote in time arrives
            self.edge.collect()
            returns.retry()
        if in_mid_read:
            self.dead += len({record for record in returns.unsent if len(record) == 8} - {CREDIT})
            if any(len(record) == 16 for record in returns.unsent):
                self.dead = self.slots_not_in_use()
        returns.disown()
        self.port.close()
        self.dead += sum(arena == self.arena.id for _, arena in self.kept)
        self.kept.clear()
        if in_mid_read and self.waiting:
            os.read(self.pipes.ticket_read, TICKET_BYTES)
            _, arena, in_slot = self.waiting.pop(0)
            self.dead += in_slot and arena == self.arena.id
        self.port = None

    def slots_not_in_use(self) -> int:
        self.edge.collect()
        waiting = sum(in_slot and arena == self.arena.id for _, arena, in_slot in self.waiting)
        return self.arena.held - waiting - sum(a == self.arena.id for _, a in self.kept)

    @precondition(lambda self: self.port is None)
    @rule()
    def succeed(self) -> None:
        edge = ReceivingEdge(
            os.dup(self.pipes.ticket_read),
            os.dup(self.pipes.return_write),
            backpressure=False,
            takes_over=self.ever_read,
        )
        self.fresh = self.ever_read
        self.ever_read = True
        counters = memoryview(bytearray(512)).cast("Q")
        self.port = InputPort("in", edge, lambda arena: self.views[arena], counters)

    @rule()
    def restart_sender(self) -> None:
        self.sender.close()
        self.start_sender()
        self.dead = 0

    @invariant()
    def exactly_the_slots_of_the_living_and_of_the_dead_that_none_followed_are_held(self) -> None:
        if not hasattr(self, "arena"):
            return
        self.edge.collect()
        if self.port is not None:
            self.port._edge._returns.retry()
            self.edge.collect()
        assert self.slots_not_in_use() == self.dead
        assert all(is_whole(event) for event, _ in self.kept)

    def teardown(self) -> None:
        if hasattr(self, "arena"):
            self.kept.clear()
            if self.port is not None:
                self.port.close()
            self.sender.close()
            close_pipes(self.pipes)
            for view in self.views.values():
                view.close()


def test_who_takes_over_frees_what_the_dead_held_and_nothing_else() -> None:
    examples = 500 if LONG else 60
    run_state_machine_as_test(
        TakeoverMachine, settings=settings(max_examples=examples, deadline=None)
    )

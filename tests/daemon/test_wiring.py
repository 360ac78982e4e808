"""Memory of senders that were killed: kept as long as a message in it waits."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dora.daemon.boards import EdgeCounts
from dora.daemon.edges import edges_of
from dora.daemon.events import Admit
from dora.daemon.wiring import Wiring
from dora.wire.ticket import DATA, TICKET_BYTES

from . import plans

if TYPE_CHECKING:
    import pytest

TICKET = bytes([DATA]).ljust(TICKET_BYTES, b"\0")


def test_memory_of_a_killed_sender_is_kept_for_messages_that_it_never_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = plans.pair()
    camera, _plot = plan.nodes
    wiring = Wiring(plan, edges_of(plan), "flow")
    (edge,) = wiring.edges
    consumed = EdgeCounts()
    monkeypatch.setattr(wiring.boards, "counts", lambda _edge: consumed)

    def arenas_of_receiver() -> list[int]:
        return [arena.arena for arena in wiring.memory_for(edge)[0]]

    def camera_comes(incarnation: int) -> None:
        wiring.welcome(camera, incarnation, Admit(camera.id, restarts=incarnation), 0)
        wiring.welcomed(camera)

    for incarnation in range(3):  # each is killed after it sent, and before it counted
        camera_comes(incarnation)
        os.write(wiring.pipes(edge.number).ticket_write, TICKET)
    for read in (1, 2):
        os.read(wiring.pipes(edge.number).ticket_read, TICKET_BYTES)
        consumed.received = read
        camera_comes(2 + read)
        assert {3} < set(arenas_of_receiver()), "the third one's message waits"
    os.read(wiring.pipes(edge.number).ticket_read, TICKET_BYTES)
    assert len(arenas_of_receiver()) == 1
    wiring.close()

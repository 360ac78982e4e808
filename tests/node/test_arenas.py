"""Memory of senders that come back again and again: there as long as a message in it waits."""

from __future__ import annotations

import os
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from daemon.waiting import wait_until
from dora.node.arenas import Arenas
from dora.transport.arena import Arena, ArenaView, create_memory, reopen_read_only
from dora.transport.edge import SendingEdge
from dora.transport.sender import Sender
from dora.wire import messages, payload

from .rig import ARENA_BYTES, DEADLINE_S

if TYPE_CHECKING:
    import pytest

    from dora.node.inputs import InputPort

    from .conftest import Rigs
    from .rig import Rig

NEW = 3


def view() -> ArenaView:
    fd = create_memory("test", 4096)
    try:
        return ArenaView(reopen_read_only(fd), 4096)
    finally:
        os.close(fd)


def test_memory_is_kept_while_somebody_has_a_ticket_of_it_in_hand() -> None:
    port = SimpleNamespace(arena=0, waiting=0, taking=True, closed=False)
    arenas = Arenas()
    arenas.read_by("camera", cast("InputPort", port))

    def camera_comes(*ids: int) -> None:
        for arena in ids:
            arenas.tidy()
            arenas.add(messages.ArenaWire(arena, 4096, "camera"), view())

    camera_comes(1, 2, 3, 4, 5)  # all told at once
    assert all(arenas.find(arena) for arena in (1, 2, 3, 4, 5)), "which it names is not known yet"
    port.arena = 3
    camera_comes(6, 7)
    assert [a for a in range(1, 8) if arenas.find(a)] == [3, 4, 5, 6, 7], "it is of the third"
    port.taking = False
    camera_comes(8, 9)
    assert [a for a in range(1, 10) if arenas.find(a)] == [7, 8, 9]
    arenas.close()


def restarted(rig: Rig) -> tuple[Sender, int]:
    """The sender of input `in` with new memory, as after a restart; where that may be read."""
    memory = create_memory("rig again", ARENA_BYTES)
    read_only = reopen_read_only(memory)
    sender = Sender(Arena(memory, NEW, ARENA_BYTES))
    before = rig.edges["in"]
    edge = SendingEdge(
        before.edge,
        *map(os.dup, (before._ticket_write, before._ticket_read, before.return_read)),
        before.queue_size,
        backpressure=False,
        arena=sender.arena,
        counters=memoryview(bytearray(24)).cast("Q"),
    )
    sender.add_output("in", [edge], memoryview(bytearray(16)).cast("Q"))
    return sender, read_only


def test_a_message_is_read_however_late_its_memory_is_announced(
    wire: Rigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = wire({"in": 10})
    port = rig.node._host.stream.inputs.ports["in"]
    sender, read_only = restarted(rig)
    late_s = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + late_s)
    monkeypatch.setattr("dora.node.session.time", clock)
    events: list[Any] = []
    reading = threading.Thread(target=lambda: events.append(rig.node.next(DEADLINE_S)))
    reading.start()
    sender.send("in", payload.encode(np.arange(1000)))
    wait_until(lambda: not port.waiting, "the ticket was read")
    assert port.taking
    late_s = 30.0
    wire_of_it = messages.ArenaWire(NEW, ARENA_BYTES, "rig")
    rig.tell(messages.NewArena(1, "rig", wire_of_it), [read_only])
    reading.join(DEADLINE_S)
    assert (events[0]["value"] == np.arange(1000)).all()
    assert not port.taking
    os.close(read_only)
    sender.close()


def test_memory_of_undecoded_messages_in_hand_is_not_given_up(wire: Rigs) -> None:
    rig = wire({"in": 10})
    port = rig.node._host.stream.inputs.ports["in"]
    for number in range(3):
        rig.send("in", np.arange(1000) + number)
    find, taking = port._find_arena, []

    def find_and_look(arena: int) -> Any:
        taking.append(port.taking)
        return find(arena)

    port._find_arena = find_and_look
    assert len(port.take_undecoded(10)) == 3
    assert taking == [True] * 3
    assert not port.taking

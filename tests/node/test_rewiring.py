"""A dataflow that changes while it runs, seen from a node: routes, inputs, parameters."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from dora.transport.edge import write_close
from dora.wire import messages, metadata, payload
from dora.wire.board import WORD_TURN
from dora.wire.ticket import CLOSE

from .rig import DEADLINE_S, Rig, Rigs

if TYPE_CHECKING:
    from collections.abc import Callable


def add_input(rig: Rig, name: str, number: int, *, alias: str = "") -> None:
    """Wire one more input of the node; the test sends on it as `alias`."""
    fds = rig._open_input(alias or name, 10)
    wire = messages.InputWire(name, 200 + number, "rig", False, queue_size=10)
    rig.tell(messages.AddInput(len(fds), wire, number, []), fds)
    for fd in fds:
        os.close(fd)


def add_route(rig: Rig, output: str, alias: str, at: int | None, queue_size: int = 10) -> None:
    """Wire an output of the node to one more input, read by the test as `alias`."""
    fds = rig._open_output(alias, queue_size, False)
    route = messages.RouteWire(50 + len(rig.ports), "rig", alias, queue_size, False)
    rig.tell(messages.AddRoute(len(fds), output, route, at), fds)
    for fd in fds:
        os.close(fd)


def publish(rig: Rig, output: str, value: Any, **facts: Any) -> None:
    header, size, body = payload.encode(value)
    raw = bytearray(size)
    if callable(body):
        body(memoryview(raw))
    else:
        raw[:] = body
    rig.tell(messages.Send(output, header, bytes(raw), metadata.encode(facts)))


def handed(rig: Rig, until: str = "") -> list[Any]:
    """What `next` hands out, until nothing waits or an event of this type came."""
    found = []
    while (event := rig.node.next(timeout=0.0 if not until else DEADLINE_S)) is not None:
        if event["type"] == "ERROR":
            break
        is_input = event["type"] == "INPUT"
        found.append(event["value"].to_pylist()[0] if is_input else event["type"])  # type: ignore[typeddict-item]
        if event["type"] == until:
            break
    return found


def eventually(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (found := true()):
        assert time.monotonic() < deadline
        os.sched_yield()
    return found


# ---- inputs ----


def test_an_input_that_is_added_is_read_and_counted_in_its_place_on_the_board(wire: Rigs) -> None:
    rig = wire({"a": 10})
    add_input(rig, "b", 1)
    rig.send("b", "new")
    rig.send("a", "old")
    assert sorted(handed(rig)) == ["new", "old"]
    assert rig.board.input(1).received == 1


def test_an_input_added_while_another_thread_waits_wakes_it(wire: Rigs) -> None:
    rig = wire({"a": 10})
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(rig.node.next(timeout=DEADLINE_S)))
    thread.start()
    eventually(lambda: rig.words[WORD_TURN] & 1)
    add_input(rig, "b", 1)
    rig.send("b", "new")
    thread.join(DEADLINE_S)
    assert found[0]["id"] == "b"


def test_an_input_that_is_wired_anew_brings_all_of_its_former_edge_first(wire: Rigs) -> None:
    rig = wire({"a": 10, "other": 10})
    for value in ("one", "two"):
        rig.send("a", value)
    add_input(rig, "a", 2, alias="again")
    add_input(rig, "a", 3, alias="third")
    rig.send("third", "six")
    rig.send("again", "four")
    rig.send("a", "three")
    assert write_close(rig._closers["a"], detached=True)
    assert handed(rig) == ["one", "two", "three", "INPUT_CLOSED", "four"]
    assert write_close(rig._closers["again"], detached=True)
    assert handed(rig) == ["INPUT_CLOSED", "six"]


def test_an_input_that_was_closed_opens_again(wire: Rigs) -> None:
    rig = wire({"a": 10, "b": 10})
    rig.close_input("a")
    assert handed(rig) == ["INPUT_CLOSED"]
    add_input(rig, "a", 2, alias="again")
    rig.send("again", "back")
    assert handed(rig) == ["back"]


def test_inputs_that_are_taken_away_never_stop_a_node_but_the_end_of_all_does(wire: Rigs) -> None:
    rig = wire({"a": 10, "b": 10})
    assert write_close(rig._closers["a"], detached=True)
    assert write_close(rig._closers["b"], detached=True)
    assert handed(rig) == ["INPUT_CLOSED", "INPUT_CLOSED"]
    add_input(rig, "c", 2)
    rig.send("c", "goes on")
    rig.close_input("c")
    assert handed(rig, until="STOP") == ["goes on", "INPUT_CLOSED", "STOP"]


def test_who_reads_an_input_apart_reads_it_on_when_it_is_wired_anew(wire: Rigs) -> None:
    rig = wire({"a": 10, "b": 10})
    selection = rig.node._stream.select(frozenset({"a", "b"}), lambda _: True, exclusive=True)
    with selection:
        assert write_close(rig._closers["a"], detached=True)
        assert selection.wait(0)["type"] == "INPUT_CLOSED"  # type: ignore[index]
        add_input(rig, "a", 2, alias="again")
        rig.node.try_recv()
        rig.send("again", "mine")
        event: Any = selection.wait(DEADLINE_S)
        assert (event["id"], event["value"].to_pylist()) == ("a", ["mine"])
        rig.send("again", "left")
    assert handed(rig) == ["left"]


# ---- routes ----


def test_a_route_that_is_added_gets_what_is_sent_from_then_on(wire: Rigs) -> None:
    rig = wire({}, ("out",))
    rig.node.send_output("out", "before")
    add_route(rig, "out", "more", at=1)
    add_route(rig, "out", "uncounted", at=None)
    rig.node.send_output("out", "after")
    assert [rig.taken("out").to_pylist() for _ in range(2)] == [["before"], ["after"]]
    assert rig.taken("more").to_pylist() == rig.taken("uncounted").to_pylist() == ["after"]
    assert rig.take("more") is None
    assert (rig.board.route(0), rig.board.route(1)) == ((2, 0), (1, 0))


def test_a_route_that_is_taken_away_holds_nothing_and_loses_its_descriptors(wire: Rigs) -> None:
    rig = wire({}, ("out",))
    sender = rig.node._sender
    add_route(rig, "out", "more", at=1, queue_size=4)
    for number in range(8):
        rig.node.send_output("out", bytes(5000) + bytes([number]))
    (number,) = sender._edges.keys() - {0}
    assert write_close(rig._kept[1], detached=True)
    rig.node._sender.send("out", payload.encode(bytes(5000)))  # it has not heard of it yet
    rig.tell(messages.ReceiverGone([number], died=False))
    rig.node.send_output("out", bytes(5000))
    found: list[Any] = [rig.take("more") for _ in range(3)]  # the CLOSE took a place in the queue
    assert [event["type"] for event in found] == ["INPUT", "INPUT", "INPUT_CLOSED"]
    del found
    rig.node._sender._collect()
    assert sender._edges.keys() == {0}
    for _ in range(10):
        rig.take("out")
    sender._collect()
    assert sender.arena.held == 0


def test_a_full_queue_never_drops_the_close_of_an_edge_that_was_taken_away(wire: Rigs) -> None:
    rig = wire({}, ("out",), queue_size=1)
    assert write_close(rig._kept[0], detached=True)
    for _ in range(3):  # it has not heard of it yet
        rig.node.send_output("out", "x")
    records = []
    while (record := rig.ports["out"]._edge.try_receive()) is not None:
        records.append(record[0])
    assert records.count(CLOSE) == 1


# ---- messages and parameters ----


def test_what_is_published_is_sent_in_order_as_the_nodes_own(wire: Rigs) -> None:
    rig = wire({"a": 10}, ("out",))
    for number in range(5):
        publish(rig, "out", f"{number}", number=number)
    assert rig.node.try_recv() is None
    eventually(lambda: rig.board.output(0)[0] == 5)
    found: list[Any] = [rig.take("out") for _ in range(5)]
    assert [event["metadata"]["number"] for event in found] == [0, 1, 2, 3, 4]
    assert [event["value"].to_pylist() for event in found] == [[str(n)] for n in range(5)]


def test_a_publication_that_waits_for_room_blocks_neither_the_node_nor_its_end(wire: Rigs) -> None:
    rig = wire({"a": 10}, ("out",), queue_size=1, backpressure=True)
    for number in range(3):
        publish(rig, "out", f"{number}")
    rig.send("a", "goes on")
    assert handed(rig) == ["goes on"]
    for number in range(3):
        event = eventually(lambda: rig.take("out"))
        assert event["value"].to_pylist() == [str(number)]
    publish(rig, "out", "one")
    publish(rig, "out", "never read")
    assert rig.node.try_recv() is None
    eventually(lambda: rig.words[WORD_TURN] & 1)  # it waits for room
    rig.node.close()


def test_a_parameter_and_a_reload_are_events(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.tell(messages.Param("gain", b'{"p": [1, 2.5]}'))
    rig.tell(messages.Param("gain", None))
    rig.tell(messages.Reload("op"))
    found = [rig.node.next(DEADLINE_S) for _ in range(3)]
    assert found == [
        {"kind": "dora", "id": "gain", "type": "PARAM_UPDATE", "value": {"p": [1, 2.5]}},
        {"kind": "dora", "id": "gain", "type": "PARAM_DELETED", "value": None},
        {"kind": "dora", "id": "op", "type": "RELOAD"},
    ]


# ---- whether it waits ----


def test_the_turn_is_odd_while_a_thread_waits_and_moves_with_every_look(wire: Rigs) -> None:
    rig = wire({"a": 10})
    assert not rig.words[WORD_TURN] & 1
    before = rig.words[WORD_TURN]
    assert rig.node.try_recv() is None
    assert rig.words[WORD_TURN] > before
    assert not rig.words[WORD_TURN] & 1
    thread = threading.Thread(target=rig.node.next)
    thread.start()
    eventually(lambda: rig.words[WORD_TURN] & 1)
    rig.send("a", "x")
    thread.join(DEADLINE_S)
    assert not rig.words[WORD_TURN] & 1


@pytest.mark.parametrize("blocks", [False, True])
def test_a_task_that_awaits_moves_the_turn_only_while_its_loop_runs(
    wire: Rigs, blocks: bool
) -> None:
    rig = wire({"a": 10})
    rig.node._stream.turn.heartbeat_s = 0.02

    async def main() -> None:
        task = asyncio.create_task(rig.node.recv_async())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        before = rig.words[WORD_TURN]
        assert not before & 1
        if blocks:
            released = threading.Event()
            threading.Timer(0.1, released.set).start()
            released.wait(DEADLINE_S)  # blocks the loop, as bad code would
            assert rig.words[WORD_TURN] == before
        else:
            async with asyncio.timeout(DEADLINE_S):
                while rig.words[WORD_TURN] < before + 6:  # noqa: ASYNC110
                    await asyncio.sleep(0)
        rig.send("a", "x")
        await task

    asyncio.run(main())

"""Streams: segments of chunks, and what is interrupted is not heard any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.errors import InputError
from dora.node.streams import Placing

from .test_services import taken

if TYPE_CHECKING:
    from .rig import Rig, Rigs

LARGE = 100_000
"""Bytes of a message that lies in the arena."""


def sent(rig: Rig) -> list[tuple[Any, ...]]:
    """What the node sent on `audio`: values, then segment, seq, fin, flush."""
    found = []
    while (event := rig.take("audio")) is not None:
        assert event["type"] == "INPUT"
        facts = event["metadata"]
        keys = (facts["segment_id"], facts["seq"], facts["fin"], facts["flush"])
        found.append((event["value"].to_pylist(), *keys))
    return found


def test_a_writer_counts_chunks_and_segments_and_ends_the_last(wire: Rigs) -> None:
    rig = wire(outputs=("audio",))
    with rig.node.stream_writer("audio", {"rate": 16000}) as stream:
        stream.send(["a"])
        stream.send(["b"], fin=True)
        stream.send(["c"], {"k": 1})
    assert sent(rig) == [
        (["a"], 0, 0, False, False),
        (["b"], 0, 1, True, False),
        (["c"], 1, 0, False, False),
        ([], 1, 1, True, False),
    ]


def test_a_writer_that_is_left_by_an_exception_does_not_end_its_segment(wire: Rigs) -> None:
    rig = wire(outputs=("audio",))

    def fail() -> None:
        with rig.node.stream_writer("audio") as stream:
            stream.send(["a"])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert len(sent(rig)) == 1


def test_flush_discards_what_waits_frees_its_memory_and_is_counted(wire: Rigs) -> None:
    rig = wire(outputs=("audio",))
    stream = rig.node.stream_writer("audio")
    for number in range(3):
        stream.send(np.full(LARGE, number, np.uint8))
    rig.node.send_output("audio", ["kept"], {"request_id": "r"})
    assert rig.node._sender.arena.held == 3
    stream.send(["now"], flush=True)
    assert rig.node._sender.arena.held == 0
    assert (rig.board.route(0), rig.board.flushed(0)) == ((5, 0), 3)
    assert rig.taken("audio").to_pylist() == ["kept"]
    assert sent(rig) == [(["now"], 1, 0, False, True)]


@pytest.mark.parametrize("backpressure", [False, True])
def test_flush_makes_room_in_a_full_queue(wire: Rigs, backpressure: bool) -> None:
    rig = wire(outputs=("audio",), queue_size=4, backpressure=backpressure)
    stream = rig.node.stream_writer("audio")
    for number in range(4):
        stream.send([number])
    stream.flush()
    stream.send(["next"])
    assert [facts[0] for facts in sent(rig)] == [[], ["next"]]
    assert (rig.board.route(0), rig.board.flushed(0)) == ((6, 0), 4)


def test_a_request_that_put_messages_aside_discards_them_at_a_flush(wire: Rigs) -> None:
    rig = wire({"audio": 10, "other": 10}, outputs=("ask",))
    call = rig.node._stream.select(frozenset({"audio"}), lambda _event: False)
    rig.send("audio", "older")
    rig.send("audio", "goal", {"goal_id": "g"})
    rig.send("other", "stays")
    rig.send("audio", "flushing", {"flush": True})
    assert call.try_take() is None
    call.close()
    assert taken(rig) == ["goal", "flushing", "stays"]


def chunk(rig: Rig, value: Any, segment: int, seq: int, **more: Any) -> None:
    rig.send("in", value, {"session_id": "s", "segment_id": segment, "seq": seq, **more})


def test_a_reader_gives_chunks_and_says_what_is_missing(wire: Rigs) -> None:
    rig = wire({"in": 20})
    chunk(rig, [0], 0, 0)
    chunk(rig, [3], 0, 3)
    chunk(rig, [3], 0, 3)
    chunk(rig, [], 0, 4, fin=True)
    chunk(rig, [5], 1, 0, flush=True)
    rig.close_input("in")
    reader = rig.node.stream_reader("in")
    seen = [(c.value.to_pylist(), c.segment_id, c.seq, c.missing, c.flush) for c in reader]
    assert seen == [([0], 0, 0, 0, False), ([3], 0, 3, 2, False), ([5], 1, 0, 0, True)]
    assert reader.missing == 2


def test_a_reader_gathers_segments_and_says_whether_they_are_whole(wire: Rigs) -> None:
    rig = wire({"in": 20})
    chunk(rig, ["whole"], 0, 0)
    chunk(rig, [], 0, 1, fin=True)
    chunk(rig, ["without its end"], 1, 0)
    chunk(rig, ["with a gap"], 2, 1)
    chunk(rig, ["its end"], 2, 2, fin=True)
    chunk(rig, ["is interrupted"], 3, 0)
    chunk(rig, ["interrupts"], 4, 0, flush=True)
    rig.close_input("in")
    segments = list(rig.node.stream_reader("in").segments())
    assert [([v.to_pylist()[0] for v in s.values], s.complete, s.missing) for s in segments] == [
        (["whole"], True, 0),
        (["without its end"], False, 0),
        (["with a gap", "its end"], False, 1),
        (["interrupts"], False, 0),
    ]


def test_a_message_that_is_no_chunk_is_an_error_that_says_how_to_send_one(wire: Rigs) -> None:
    rig = wire({"in": 20})
    rig.send("in", 1, {"seq": 0})
    with pytest.raises(InputError, match=r"`node\.stream_writer`"):
        next(iter(rig.node.stream_reader("in")))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30))
def test_what_is_missing_and_what_was_placed_add_up_to_the_highest_number(
    numbers: list[tuple[int, int]],
) -> None:
    placing = Placing()
    now: int | None = None
    seen = missing = 0
    for segment, seq in numbers:
        place = placing.place("s", segment, seq)
        if segment != now:
            seen = missing = 0
            now = segment
        missing += place.missing
        if place.repeated:
            assert seq < seen + missing
        else:
            seen += 1
            assert seen + missing == seq + 1

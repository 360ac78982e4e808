from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from dora.wire.board import (
    LATENCY_BUCKETS,
    MAGIC,
    SPARE_INPUTS,
    SPARE_ROUTES,
    WORD_BYTES,
    WORD_CONTROL,
    WORD_MAGIC,
    WORD_PID,
    WORD_STATE,
    WORD_TURN,
    WORD_WORDS,
    BoardLayout,
    BoardReader,
    Turn,
    fresh_header,
)

layouts = st.builds(BoardLayout, st.integers(0, 9), st.integers(0, 20), st.integers(0, 9))
HEADER = [WORD_MAGIC, WORD_PID, WORD_STATE, WORD_WORDS, WORD_CONTROL]


def counters(layout: BoardLayout) -> list[range]:
    """The words of every counter of a board."""
    return [
        *(range(word, word + 1) for word in HEADER),
        *(range(layout.output(i), layout.output(i) + 2) for i in range(layout.outputs)),
        *(range(layout.route(i), layout.route(i) + 3) for i in range(layout.routes)),
        *(
            range(layout.input(i), layout.input(i) + 5 + LATENCY_BUCKETS)
            for i in range(layout.inputs)
        ),
    ]


@given(layouts)
def test_no_two_counters_share_a_word_and_all_lie_on_the_board(layout: BoardLayout) -> None:
    words = [word for span in counters(layout) for word in span]
    assert len(set(words)) == len(words)
    assert layout.size_bytes % 4096 == 0
    assert max(words) < layout.size_bytes // WORD_BYTES
    assert layout.size_bytes - (max(words) + 1) * WORD_BYTES < 4096 + 16 * WORD_BYTES


@given(layouts)
def test_the_reader_finds_what_was_written(layout: BoardLayout) -> None:
    words = memoryview(bytearray(layout.size_bytes)).cast("Q")
    for word in range(len(words)):
        words[word] = word
    reader = BoardReader(words, layout)
    for index in range(layout.outputs):
        at = layout.output(index)
        assert reader.output(index) == (at, at + 1)
    for index in range(layout.routes):
        at = layout.route(index)
        assert (*reader.route(index), reader.flushed(index)) == (at, at + 1, at + 2)
    for index in range(layout.inputs):
        at, seen = layout.input(index), reader.input(index)
        assert (seen.received, seen.bytes, seen.last_ns) == (at, at + 1, at + 2)
        assert seen.latency == tuple(range(at + 3, at + 3 + LATENCY_BUCKETS))
        behind = at + 3 + LATENCY_BUCKETS
        assert (seen.late, seen.late_dropped) == (behind, behind + 1)


def test_a_fresh_board_tells_what_it_is_and_how_large() -> None:
    layout = BoardLayout(outputs=1, routes=40, inputs=30)
    header = fresh_header(layout)
    words = struct.unpack(f"<{len(header) // WORD_BYTES}Q", header)
    assert words[WORD_MAGIC] == MAGIC
    assert MAGIC.to_bytes(8, "little").rstrip(b"\0") == b"board1"
    assert words[WORD_WORDS] * WORD_BYTES == layout.size_bytes
    assert words[WORD_CONTROL] == words[WORD_STATE] == words[WORD_PID] == 0
    assert len(header) <= layout.output(0) * WORD_BYTES


def test_a_node_that_runs_has_room_for_routes_and_inputs_but_not_for_outputs() -> None:
    layout = BoardLayout.with_spare(outputs=2, routes=3, inputs=4)
    assert layout == BoardLayout(2, 3 + SPARE_ROUTES, 4 + SPARE_INPUTS)


def test_the_turn_is_odd_while_any_thread_waits_and_always_rises() -> None:
    words = memoryview(bytearray(128)).cast("Q")
    turn = Turn(words)
    seen = [words[WORD_TURN]]

    def note(odd: bool) -> None:
        assert bool(words[WORD_TURN] & 1) == odd
        assert words[WORD_TURN] >= seen[-1]
        seen.append(words[WORD_TURN])

    with turn:
        note(odd=True)
        with turn:
            note(odd=True)
            turn.beat()
            note(odd=True)
        note(odd=True)
    note(odd=False)
    turn.beat()
    note(odd=False)
    assert seen[-1] > seen[-2] > seen[-3]

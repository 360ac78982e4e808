from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dora.recording.gaps import Gaps

RUNS = st.lists(st.lists(st.booleans(), max_size=20), max_size=4)
"""For each process of a node, which of its messages came."""


@given(runs=RUNS)
def test_what_is_missing_between_messages_that_came_is_counted_across_restarts(
    runs: list[list[bool]],
) -> None:
    gaps = Gaps()
    gaps.whole = True
    counted, expected, behind = 0, 0, 0
    for arena, came in enumerate(runs):
        behind = 0  # what a process sent last and never came cannot be known
        for sequence, one in enumerate(came, 1):
            if one:
                counted += gaps.missing("a/x", arena, sequence)
                expected += behind
                behind = 0
            else:
                behind += 1
    assert counted == expected


def test_what_was_sent_before_a_recorder_came_is_not_missing() -> None:
    gaps = Gaps()
    assert gaps.missing("a/x", 1, 100) == 0
    assert gaps.missing("b/y", 2, 7) == 0
    assert gaps.missing("a/x", 1, 103) == 2

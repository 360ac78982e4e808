from __future__ import annotations

import signal

import pytest

from dora.daemon import lifecycle
from dora.daemon.lifecycle import (
    TRANSITIONS,
    NodeLife,
    NodeState,
    Verdict,
    exit_verdict,
)


def test_a_spawned_node_goes_from_spawning_to_finished() -> None:
    life = NodeLife("camera", dynamic=False)
    seen = [life.state]
    for event in (
        lifecycle.NodeConnected(),
        lifecycle.BarrierOpened(),
        lifecycle.NodeClosed(),
        lifecycle.ExitedForGood(),
    ):
        life.handle(event)
        seen.append(life.state)
    assert [state.name for state in seen] == [
        "SPAWNING",
        "WAITING",
        "RUNNING",
        "CLOSED",
        "FINISHED",
    ]


def test_a_dynamic_node_may_leave_and_come_back() -> None:
    life = NodeLife("plot", dynamic=True)
    for _ in range(2):
        assert life.state is NodeState.ABSENT
        life.handle(lifecycle.NodeConnected())
        life.handle(lifecycle.BarrierOpened())
        life.handle(lifecycle.NodeLeft())


def test_an_impossible_event_raises_with_the_events_before_it() -> None:
    life = NodeLife("camera", dynamic=False)
    life.handle(lifecycle.NodeConnected())
    life.handle(lifecycle.ExitedForGood())
    with pytest.raises(RuntimeError, match=r"(?s)`camera` got BarrierOpened.*NodeConnected"):
        life.handle(lifecycle.BarrierOpened())


def test_nothing_follows_finished() -> None:
    assert not [state for state, _event in TRANSITIONS if state is NodeState.FINISHED]


def test_every_state_of_a_process_can_end() -> None:
    for state in NodeState:
        if state not in (NodeState.FINISHED, NodeState.ABSENT):
            assert (state, lifecycle.ExitedForGood) in TRANSITIONS


@pytest.mark.parametrize("code", [-signal.SIGTERM, -signal.SIGINT, 143, 130])
def test_ending_by_the_signal_of_a_planned_stop_is_success_and_else_failure(code: int) -> None:
    assert exit_verdict(code, stopping=True, killed_by_dora=False) is Verdict.SUCCESS
    assert exit_verdict(code, stopping=False, killed_by_dora=False) is Verdict.FAILURE


def test_status_0_is_always_success_and_others_never() -> None:
    assert exit_verdict(0, stopping=False, killed_by_dora=True) is Verdict.SUCCESS
    assert exit_verdict(1, stopping=True, killed_by_dora=False) is Verdict.FAILURE


def test_sigkill_by_the_stop_ladder_is_a_failure_of_its_own_kind() -> None:
    kill = -signal.SIGKILL
    assert exit_verdict(kill, stopping=True, killed_by_dora=True) is Verdict.KILLED_BY_DORA
    assert exit_verdict(kill, stopping=True, killed_by_dora=False) is Verdict.FAILURE

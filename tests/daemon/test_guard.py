"""What the guard does about a node that is stuck, with a clock, a board and a process made up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dora.daemon.events import KillAsked
from dora.daemon.guard import Guard
from dora.daemon.lifecycle import NodeState
from dora.daemon.roster import NodeRecord, Roster
from dora.wire.board import STATE_RUNNING

from . import plans
from .clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable


class Hours(Clock):
    """Each tick takes an hour."""

    def time(self) -> float:
        self.now = getattr(self, "now", 0.0) + 3600.0
        return self.now


def test_a_stuck_node_that_takes_long_to_die_is_asked_for_its_stack_once() -> None:
    record = NodeRecord(replace(plans.node("camera"), health_check_timeout_s=1.0))
    record.life.state, record.linked = NodeState.RUNNING, True
    board = SimpleNamespace(
        reader=SimpleNamespace(state=STATE_RUNNING, turn=2), activity=lambda: ()
    )
    asked: list[Callable[[str], None]] = []
    posted: list[Any] = []
    clock = Hours()
    fakes: dict[str, Any] = {
        "boards": SimpleNamespace(of=lambda _node: board),
        "crew": SimpleNamespace(say=lambda *_: None),
        "stacks": SimpleNamespace(of=lambda _node: SimpleNamespace(ask=asked.append)),
    }
    roster = Roster([record])
    Guard(clock, roster, interval_s=1.0, post=posted.append, **fakes)  # type: ignore[arg-type]
    clock.tick()
    clock.tick()
    (told,) = asked
    told("its stack")
    assert posted == [KillAsked("camera", 0, posted[0].why)]
    for _ in range(3):
        clock.tick()
    assert (len(asked), len(posted)) == (1, 1)
    record.incarnation = 1
    for _ in range(3):
        clock.tick()
    assert len(asked) == 2

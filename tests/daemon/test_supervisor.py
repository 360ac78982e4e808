from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from dora.daemon.events import (
    Admit,
    CloseEdges,
    Connected,
    Disconnected,
    Exited,
    Finish,
    Instruction,
    LoseEdges,
    Notice,
    OpenBarrier,
    OutputsClosed,
    ReplaceAsked,
    Retire,
    SignalNode,
    SpawnFailed,
    StartAllowed,
    StartTimer,
    StopAsked,
    Tell,
    TimerFired,
    TimerName,
)
from dora.daemon.flow import Graces, Phase
from dora.daemon.supervisor import Supervisor
from dora.descriptor.plan import Restart, Route
from dora.wire.messages import NodeFailed, NodeRestarted, ReceiverGone, Refused, Stop

from . import plans

if TYPE_CHECKING:
    from dora.descriptor.plan import Plan


def started(plan: Plan, graces: Graces | None = None) -> Supervisor:
    """A supervisor whose nodes have all joined."""
    supervisor = Supervisor(plan, graces or Graces())
    supervisor.start()
    for pid, node in enumerate(plan.nodes, 100):
        if node.command is not None:
            supervisor.handle(Connected(node.id, 0, pid))
    return supervisor


def exited(node: str, code: int = 0, stderr: tuple[str, ...] = ()) -> Exited:
    return Exited(node, 0, 100, code, 3.2, stderr)


def notices(instructions: list[Instruction]) -> list[str]:
    return [i.text for i in instructions if isinstance(i, Notice)]


def without_notices(instructions: list[Instruction]) -> list[Instruction]:
    """What is done to nodes: without words, and the time given to nodes that nothing feeds."""
    return [
        i
        for i in instructions
        if not isinstance(i, Notice | Retire)
        and not (isinstance(i, StartTimer) and i.timer is TimerName.FINISH)
    ]


def test_the_barrier_opens_when_the_last_gating_node_has_joined() -> None:
    supervisor = Supervisor(plans.pair())
    assert supervisor.start() == [StartTimer(TimerName.BARRIER, 2.0)]
    assert supervisor.handle(Connected("plot", 0, 7)) == [Admit("plot")]
    assert supervisor.handle(Connected("camera", 0, 8)) == [
        Admit("camera"),
        OpenBarrier(("camera", "plot")),
    ]
    assert supervisor.phase is Phase.RUNNING


def test_the_barrier_of_a_held_dataflow_opens_when_it_is_let_too() -> None:
    supervisor = Supervisor(plans.pair())
    supervisor.flow.held = True
    supervisor.start()
    supervisor.handle(Connected("plot", 0, 7))
    assert supervisor.handle(Connected("camera", 0, 8)) == [Admit("camera")]
    assert supervisor.phase is Phase.STARTING
    assert supervisor.handle(StartAllowed()) == [OpenBarrier(("camera", "plot"))]


def test_nodes_that_are_still_awaited_are_named_at_growing_intervals() -> None:
    supervisor = Supervisor(plans.pair())
    supervisor.start()
    supervisor.handle(Connected("plot", 0, 7))
    intervals = []
    for _ in range(6):
        notice, timer = supervisor.handle(TimerFired(TimerName.BARRIER))
        assert isinstance(notice, Notice)
        assert "`camera`" in notice.text
        assert "`plot`" not in notice.text
        assert isinstance(timer, StartTimer)
        intervals.append(timer.after_s)
    assert intervals == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_a_shell_node_without_ports_does_not_hold_the_barrier() -> None:
    plan = plans.plan(plans.node("script", "sh", "-c", "sleep 9"), plans.node("camera"))
    supervisor = Supervisor(plan)
    supervisor.start()
    assert OpenBarrier(("camera",)) in supervisor.handle(Connected("camera", 0, 7))


def test_a_node_without_ports_that_ends_well_before_it_joins_is_only_warned_about() -> None:
    supervisor = Supervisor(plans.plan(plans.node("camera"), plans.node("plot")))
    supervisor.start()
    supervisor.handle(Connected("plot", 0, 7))
    instructions = supervisor.handle(exited("camera"))
    assert "never joined" in notices(instructions)[0]
    assert without_notices(instructions) == [OpenBarrier(("plot",))]
    assert not supervisor.failures


def test_a_wired_node_that_ends_well_before_it_joins_fails_the_start() -> None:
    supervisor = Supervisor(plans.pair())
    supervisor.start()
    supervisor.handle(Connected("plot", 0, 7))
    supervisor.handle(exited("camera"))
    (failure,) = supervisor.failures
    assert failure.cause == "exited with code 0 without having called `Node()`"


def test_a_failure_before_the_barrier_ends_the_others_and_only_it_counts() -> None:
    supervisor = Supervisor(plans.pair())
    supervisor.start()
    supervisor.handle(Connected("plot", 0, 7))
    instructions = supervisor.handle(exited("camera", 1, ("Traceback", "ImportError: x")))
    assert without_notices(instructions) == [
        SignalNode("plot", signal.SIGTERM),
        StartTimer(TimerName.KILL, 2.0),
    ]
    assert supervisor.handle(TimerFired(TimerName.KILL)) == [SignalNode("plot", signal.SIGKILL)]
    assert supervisor.handle(exited("plot", -signal.SIGKILL))[-1] == Finish()
    assert [failure.node for failure in supervisor.failures] == ["camera"]


def test_a_process_that_cannot_be_started_ends_the_start() -> None:
    supervisor = Supervisor(plans.pair())
    supervisor.start()
    instructions = supervisor.handle(SpawnFailed("camera", 0, "no such file"))
    assert SignalNode("plot", signal.SIGTERM) in instructions
    supervisor.handle(exited("plot", -signal.SIGTERM))
    assert supervisor.phase is Phase.ENDED
    assert "no such file" in str(supervisor.failures[0])


def test_consumers_hear_of_a_failure_before_their_inputs_close_and_the_rest_goes_on() -> None:
    supervisor = started(plans.pair())
    instructions = supervisor.handle(exited("camera", 1, ("ValueError: boom",)))
    assert "the other nodes go on" in notices(instructions)[0]
    assert without_notices(instructions) == [
        Tell("plot", NodeFailed("camera", "exited with code 1: ValueError: boom", ["image"])),
        CloseEdges((0,)),
    ]
    assert without_notices(supervisor.handle(exited("plot"))) == [LoseEdges((0,)), Finish()]


def test_a_node_that_asks_for_a_stop_never_hurries_one_that_goes_on() -> None:
    supervisor = started(plans.pair())
    asked = StopAsked("operator `plot/a` returned STOP_ALL", node="plot")
    instructions = supervisor.handle(asked)
    assert notices(instructions) == ["stopping (operator `plot/a` returned STOP_ALL)"]
    assert Tell("camera", Stop("MANUAL")) in instructions
    assert Tell("plot", Stop("MANUAL")) in instructions
    assert supervisor.handle(asked) == []
    assert SignalNode("camera", signal.SIGTERM) in supervisor.handle(StopAsked("Ctrl-C"))


def test_a_goodbye_closes_edges_once_and_the_exit_does_not_repeat_it() -> None:
    supervisor = started(plans.pair())
    goodbye = supervisor.handle(Disconnected("camera", 0, clean=True))
    assert without_notices(goodbye) == [CloseEdges((0,))]
    assert without_notices(supervisor.handle(exited("camera"))) == []


def test_closed_outputs_close_their_edges_only() -> None:
    plan = plans.plan(
        plans.node("camera", outputs=("image", "depth")),
        plans.node("plot", inputs=("image", "depth")),
        routes=(
            Route("camera", "image", "plot", "image"),
            Route("camera", "depth", "plot", "depth"),
        ),
    )
    supervisor = started(plan)
    assert supervisor.handle(OutputsClosed("camera", 0, ("depth",))) == [CloseEdges((1,))]
    assert without_notices(supervisor.handle(exited("camera"))) == [CloseEdges((0,))]


def test_senders_hear_that_a_receiver_left_and_again_that_it_died() -> None:
    supervisor = started(plans.pair())
    assert supervisor.handle(Disconnected("plot", 0, clean=True)) == [
        LoseEdges((0,)),
        Tell("camera", ReceiverGone([0], died=False)),
    ]
    assert supervisor.handle(exited("plot")) == [Tell("camera", ReceiverGone([0], died=True))]


def test_stop_is_a_message_first_then_sigterm_then_sigkill() -> None:
    supervisor = started(plans.pair(), Graces(stop_s=3.0, term_s=2.0))
    assert without_notices(supervisor.handle(StopAsked("Ctrl-C"))) == [
        Tell("camera", Stop("MANUAL")),
        Tell("plot", Stop("MANUAL")),
        StartTimer(TimerName.STOP_REMINDER, 2.0),
        StartTimer(TimerName.TERM, 3.0),
    ]
    supervisor.handle(exited("camera"))
    assert supervisor.handle(TimerFired(TimerName.STOP_REMINDER)) == [
        Notice("info", "waiting for `plot` to end; another Ctrl-C ends them at once")
    ]
    assert without_notices(supervisor.handle(TimerFired(TimerName.TERM))) == [
        SignalNode("plot", signal.SIGTERM),
        StartTimer(TimerName.KILL, 2.0),
    ]
    assert supervisor.handle(TimerFired(TimerName.KILL)) == [SignalNode("plot", signal.SIGKILL)]
    supervisor.handle(exited("plot", -signal.SIGKILL))
    assert "didn't react to a stop message in time (SIGKILL)" in str(supervisor.failures[0])


def test_who_is_killed_by_force_is_not_said_to_have_been_given_time() -> None:
    supervisor = started(plans.pair())
    supervisor.handle(StopAsked("dora stop", force=True))
    supervisor.handle(exited("camera", -signal.SIGKILL))
    assert supervisor.failures[0].cause == "was killed by dora at once, as asked (SIGKILL)"


def test_a_node_that_has_not_joined_is_stopped_by_sigterm_at_once_and_that_is_success() -> None:
    supervisor = Supervisor(plans.pair())
    supervisor.start()
    supervisor.handle(Connected("plot", 0, 7))
    instructions = supervisor.handle(StopAsked("Ctrl-C"))
    assert SignalNode("camera", signal.SIGTERM) in instructions
    assert SignalNode("plot", signal.SIGTERM) in instructions
    supervisor.handle(exited("camera", -signal.SIGTERM))
    assert supervisor.handle(exited("plot", 143))[-1] == Finish()
    assert not supervisor.failures


def test_asked_twice_it_hurries_and_asked_three_times_it_kills() -> None:
    supervisor = started(plans.pair())
    supervisor.handle(StopAsked("Ctrl-C"))
    assert without_notices(supervisor.handle(StopAsked("Ctrl-C"))) == [
        SignalNode("camera", signal.SIGTERM),
        SignalNode("plot", signal.SIGTERM),
        StartTimer(TimerName.KILL, 2.0),
    ]
    assert supervisor.handle(TimerFired(TimerName.TERM)) == []
    assert supervisor.handle(StopAsked("Ctrl-C")) == [
        SignalNode("camera", signal.SIGKILL),
        SignalNode("plot", signal.SIGKILL),
    ]


def dynamic_pair() -> Plan:
    return plans.plan(
        plans.node("camera", outputs=("image",)),
        plans.node("plot", inputs=("image",), dynamic=True),
        routes=(Route("camera", "image", "plot", "image"),),
    )


def test_a_dynamic_node_neither_gates_nor_holds_the_dataflow_and_may_come_back() -> None:
    supervisor = Supervisor(dynamic_pair())
    supervisor.start()
    assert OpenBarrier(("camera",)) in supervisor.handle(Connected("camera", 0, 7))
    for incarnation in range(2):
        assert supervisor.refusal("plot", None) is None
        assert supervisor.incarnation_of("plot", None) == incarnation
        assert without_notices(supervisor.handle(Connected("plot", incarnation, 9))) == [
            Admit("plot", restarts=incarnation),
            OpenBarrier(("plot",)),
        ]
        assert "already connected (pid 9)" in str(supervisor.refusal("plot", None))
        left = supervisor.handle(Disconnected("plot", incarnation, clean=True))
        assert without_notices(left) == []
    supervisor.handle(Connected("plot", 2, 9))
    assert without_notices(supervisor.handle(exited("camera"))) == [
        CloseEdges((0,)),
        Tell("plot", Stop("MANUAL")),
        Finish(),
    ]


def test_a_dynamic_sender_that_died_feeds_its_consumers_again_when_it_is_back() -> None:
    plan = plans.plan(
        plans.node("camera", outputs=("image",), dynamic=True),
        plans.node("plot", inputs=("image",)),
        routes=(Route("camera", "image", "plot", "image"),),
    )
    supervisor = Supervisor(plan)
    supervisor.start()
    supervisor.handle(Connected("plot", 0, 7))
    supervisor.handle(Connected("camera", 0, 8))
    gone = supervisor.handle(Disconnected("camera", 0, clean=False))
    assert without_notices(gone) == []
    assert without_notices(supervisor.handle(Connected("camera", 1, 9))) == [
        Admit("camera", restarts=1, takes_over=True),
        Tell("plot", NodeRestarted("camera")),
        OpenBarrier(("camera",)),
    ]
    closed = supervisor.handle(Disconnected("camera", 1, clean=True))
    assert without_notices(closed) == [CloseEdges((0,))]
    back = supervisor.handle(Connected("camera", 2, 10))
    assert Admit("camera", frozenset({0}), 2) in back
    assert "no longer feeds `plot/image`" in notices(back)[1]


def test_a_dataflow_of_dynamic_nodes_ends_on_stop_only() -> None:
    supervisor = Supervisor(plans.plan(plans.node("plot", inputs=("x",), dynamic=True)))
    supervisor.start()
    supervisor.handle(Connected("plot", 0, 7))
    supervisor.handle(Disconnected("plot", 0, clean=True))
    assert supervisor.phase is Phase.RUNNING
    assert supervisor.handle(StopAsked("Ctrl-C"))[-1] == Finish()


def test_dynamic_nodes_are_refused_when_the_start_failed() -> None:
    supervisor = Supervisor(dynamic_pair())
    supervisor.start()
    supervisor.handle(Connected("plot", 0, 7))
    instructions = supervisor.handle(exited("camera", 1))
    told = [i for i in instructions if isinstance(i, Tell)]
    assert [i.node for i in told] == ["plot"]
    assert isinstance(told[0].message, Refused)


@pytest.mark.parametrize(
    ("node", "incarnation", "reason"),
    [
        ("camra", 0, "did you mean `camera`?"),
        ("camera", None, "is started by dora itself"),
        ("camera", 0, "already connected (pid 100)"),
        ("plot", 0, "has left the dataflow"),
    ],
)
def test_a_node_that_cannot_join_is_told_why(
    node: str, incarnation: int | None, reason: str
) -> None:
    supervisor = started(plans.pair())
    supervisor.handle(Disconnected("plot", 0, clean=True))
    assert reason in str(supervisor.refusal(node, incarnation))


@pytest.mark.parametrize("crashes", [False, True])
def test_a_node_that_is_replaced_was_not_started_again(crashes: bool) -> None:
    plan = plans.pair()
    again = Restart("always", delay_s=1000.0)
    plan = replace(plan, nodes=(replace(plan.nodes[0], restart=again), plan.nodes[1]))
    supervisor = started(plan)
    supervisor.handle(ReplaceAsked(plan.nodes[0], 1))
    if crashes:
        supervisor.handle(exited("camera", 1))
    instructions = supervisor.handle(Connected("camera", 1, 200))
    if not crashes:
        instructions = supervisor.handle(exited("camera"))
    assert Admit("camera", takes_over=True) in instructions
    assert supervisor.flow.roster["camera"].restart_count == 0


def test_events_of_an_older_incarnation_are_dropped() -> None:
    supervisor = started(plans.pair())
    assert supervisor.handle(Disconnected("camera", -1, clean=True)) == []

"""The supervisor against a world in which processes, users and clients do all that they can."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dora.daemon.events import (
    AddAsked,
    Answered,
    CloseEdges,
    Connected,
    Disconnected,
    Event,
    Exited,
    Finish,
    Instruction,
    KillAsked,
    LoseEdges,
    NodeAsked,
    OpenEdge,
    OutputsClosed,
    ReplaceAsked,
    RouteAsked,
    SignalNode,
    Spawn,
    SpawnFailed,
    StartTimer,
    StopAsked,
    TapAsked,
    TapEnded,
    TimerFired,
)
from dora.daemon.flow import Phase
from dora.daemon.lifecycle import NodeState
from dora.daemon.supervisor import Supervisor
from dora.descriptor.plan import Restart, Route

from . import plans

if TYPE_CHECKING:
    from dora.descriptor.plan import NodePlan, Plan

POLICIES = st.builds(
    Restart,
    policy=st.sampled_from(["never", "on-failure", "always"]),
    max_restarts=st.integers(0, 2),
    delay_s=st.sampled_from([None, 1.0]),
)
IDS = [f"n{i}" for i in range(4)]


@st.composite
def any_node(draw: st.DrawFn, node_id: str) -> NodePlan:
    kind = draw(st.sampled_from(["spawned", "spawned", "dynamic", "shell"]))
    argv = ("sh", "-c", "x") if kind == "shell" else ("node",)
    ports = () if kind == "shell" else ("x",)
    node = plans.node(node_id, *argv, inputs=ports, outputs=ports, dynamic=kind == "dynamic")
    limit_s = draw(st.sampled_from([None, 1.0]))
    source = draw(st.sampled_from([None, Path("node.py")]))
    return replace(node, restart=draw(POLICIES), startup_timeout_s=limit_s, source=source)


@st.composite
def any_plan(draw: st.DrawFn) -> Plan:
    ids = IDS[: draw(st.integers(1, 4))]
    nodes = [draw(any_node(node_id)) for node_id in ids]
    pairs = draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=5))
    routes = {
        b: Route(a, "x", b, "x", backpressure=draw(st.booleans()))
        for a, b in pairs
        if plans.plan(*nodes).node(a).outputs and plans.plan(*nodes).node(b).inputs
    }
    return plans.plan(*nodes, routes=tuple(routes.values()))


class World:
    """The processes, timers and clients of a dataflow."""

    def __init__(self, plan: Plan, data: st.DataObject) -> None:
        self.data = data
        self.supervisor = Supervisor(plan, hot_reload=data.draw(st.booleans()))
        self.done: list[Instruction] = []
        self.alive = {(node.id, 0) for node in plan.nodes if node.spawned}
        self.linked: dict[tuple[str, int], bool] = {}
        self.timers: list[TimerFired] = []
        self.asked: list[int] = []
        self.taps: list[int] = []
        self.take(self.supervisor.start())

    @property
    def over(self) -> bool:
        return Finish() in self.done

    def handle(self, event: Event) -> None:
        if not self.over:
            self.take(self.supervisor.handle(event))

    def take(self, instructions: list[Instruction]) -> None:
        self.done += instructions
        for one in instructions:
            match one:
                case StartTimer(timer, _, node, incarnation):
                    self.timers.append(TimerFired(timer, node, incarnation))
                case Spawn(node, incarnation):
                    assert (node.id, incarnation) not in self.alive
                    self.alive.add((node.id, incarnation))
                case OpenEdge(edge) if edge.tap:
                    self.taps.append(edge.number)
                case SignalNode(node, signal.SIGKILL, incarnation):
                    if incarnation is None:
                        incarnation = self.supervisor.flow.roster[node].incarnation
                    assert (node, incarnation) in self.alive

    def exit(self, key: tuple[str, int], code: int, unread: int = 0) -> None:
        self.alive.discard(key)
        self.linked.pop(key, None)
        self.handle(Exited(*key, 7, code, 1.0, (), 0.0, unread))

    def step(self) -> None:
        pick = self.data.draw
        choices = ["stop", "join", "join", "join", "ask", "ask", "add", "replace", "wire", "tap"]
        choices += ["exit", "exit", "kill", "no process"] if self.alive else []
        choices += ["leave", "close"] if self.linked else []
        choices += ["timer", "timer"] if self.timers else []
        choices += ["untap"] if self.taps else []
        step = pick(st.sampled_from(choices))
        node = pick(st.sampled_from(IDS))
        if step == "stop":
            force = pick(st.booleans())
            self.handle(StopAsked("Ctrl-C", force=force))
        elif step == "timer":
            index = pick(st.integers(0, len(self.timers) - 1))
            self.handle(self.timers.pop(index))
        elif step in ("exit", "kill", "no process"):
            key = pick(st.sampled_from(sorted(self.alive)))
            if step == "kill":
                self.handle(KillAsked(*key, "is stuck"))
            elif step == "exit":
                self.exit(key, pick(st.sampled_from([0, 0, 1, -9, -15])), pick(st.integers(0, 1)))
            elif key not in self.linked:
                self.alive.discard(key)
                self.handle(SpawnFailed(*key, "no such file"))
        elif step == "join":
            self.join(node)
        elif step in ("leave", "close"):
            key = pick(st.sampled_from(sorted(self.linked)))
            if step == "close":
                self.handle(OutputsClosed(*key, ("x",)))
            else:
                del self.linked[key]
                self.handle(Disconnected(*key, clean=pick(st.booleans())))
        elif step == "untap":
            self.handle(TapEnded(self.taps.pop()))
        else:
            self.ask(step, node)

    def join(self, node: str) -> None:
        record = self.supervisor.flow.roster.get(node)
        if record is None:
            return
        incarnations = sorted(i for name, i in self.alive if name == node)
        said = None if record.dynamic or not incarnations else incarnations[-1]
        if not record.dynamic and said is None:
            return
        if self.supervisor.refusal(node, said) is None:
            key = node, self.supervisor.incarnation_of(node, said)
            self.linked[key] = True
            self.handle(Connected(*key, 1))

    def ask(self, what: str, node: str) -> None:
        ticket = len(self.asked)
        if self.over:
            return
        self.asked.append(ticket)
        other = self.data.draw(st.sampled_from(IDS))
        match what:
            case "ask":
                action = self.data.draw(st.sampled_from(["restart", "stop", "remove"]))
                self.handle(NodeAsked(action, node, "asked", ticket))  # type: ignore[arg-type]
            case "add":
                new = self.data.draw(any_node(node))
                routes = (Route(other, "x", node, "x"),) if new.inputs else ()
                self.handle(AddAsked(plans.plan(new, routes=routes), ticket))
            case "replace":
                self.handle(ReplaceAsked(self.data.draw(any_node(node)), ticket))
            case "wire":
                on = self.data.draw(st.booleans())
                self.handle(RouteAsked(on, node, "x", other, "y", 10, False, ticket))
            case "tap":
                self.handle(TapAsked(node, "x", 10, False, ticket))

    def end(self) -> None:
        """Stop, and let every process heed its signal."""
        self.handle(StopAsked("Ctrl-C"))
        for key in sorted(self.alive):
            self.exit(key, -signal.SIGTERM)


@settings(max_examples=300, deadline=None)
@given(any_plan(), st.data())
def test_whatever_happens_in_whatever_order_is_taken_and_the_dataflow_ends(
    plan: Plan, data: st.DataObject
) -> None:
    world = World(plan, data)
    for _ in range(data.draw(st.integers(0, 60))):
        if world.over:
            break
        world.step()
    world.end()
    assert world.supervisor.phase is Phase.ENDED
    assert world.done.count(Finish()) == 1
    for kind in (CloseEdges, LoseEdges):
        edges = [edge for one in world.done if isinstance(one, kind) for edge in one.edges]
        assert len(edges) == len(set(edges)), f"{kind.__name__} twice"
    answered = [one.ticket for one in world.done if isinstance(one, Answered)]
    assert len(answered) == len(set(answered))
    for record in world.supervisor.flow.roster:
        if not record.dynamic:
            assert record.state is NodeState.FINISHED
    failed = {record.id for record in world.supervisor.flow.roster if record.failed}
    assert failed <= {failure.node for failure in world.supervisor.failures}

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from dora.client import Client
from dora.daemon.flow import Graces
from dora.daemon.launch import launch
from dora.daemon.server import Server
from dora.descriptor.plan import LogRoute, LogSettings, Route
from dora.errors import DoraError
from dora.ids import LogsRef
from dora.transport import endpoint
from dora.wire import messages
from dora.wire.framing import frame

from . import plans
from .waiting import DEADLINE_S, wait_gone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dora.daemon.logs import LogLine
    from dora.daemon.report import Outcome
    from dora.descriptor.plan import Plan

QUICK = Graces(stop_s=0.3, term_s=0.3, hurry_s=0.3)
ROUTE = Route("camera", "image", "plot", "image")


class Seen:
    """Keeps what it is shown; calls `reaction` with each text."""

    def __init__(self, reaction: Callable[[str], None] = lambda _text: None) -> None:
        self.texts: list[str] = []
        self.reaction = reaction

    def lines(self, batch: list[LogLine]) -> None:
        for line in batch:
            self.texts.append(f"{line.node}: {line.message}")
            self.reaction(self.texts[-1])

    def notice(self, level: str, text: str) -> None:
        self.texts.append(f"[{level}] {text}")
        self.reaction(self.texts[-1])

    def of(self, node: str) -> list[str]:
        return [text.partition(": ")[2] for text in self.texts if text.startswith(f"{node}: ")]

    def notices(self) -> str:
        return "\n".join(text for text in self.texts if text.startswith("["))


def run(plan: Plan, *, graces: Graces = QUICK, **reactions: str) -> tuple[Outcome, Seen]:
    """Run a plan; `stop_at="text"` asks it to stop when this text was seen, as often as it was."""
    seen = Seen()
    stop_at = reactions.get("stop_at")

    async def serve() -> Outcome:
        server = Server(launch(plan), seen, graces)
        loop = asyncio.get_running_loop()

        def react(text: str) -> None:
            if stop_at is not None and stop_at in text:
                loop.call_soon(server.ask_stop, "Ctrl-C")

        seen.reaction = react
        return await asyncio.wait_for(server.run(), DEADLINE_S)

    gc.collect()  # else what earlier tests left might go while this one runs
    before = set(os.listdir("/proc/self/fd"))
    outcome = asyncio.run(serve())
    assert set(os.listdir("/proc/self/fd")) == before, "descriptors left open"
    return outcome, seen


def pair(tmp_path: Path, camera: tuple[str, ...], plot: tuple[str, ...], **route: Any) -> Plan:
    return plans.plan(
        plans.fake("camera", *camera, outputs=("image",)),
        plans.fake("plot", *plot, inputs=("image",)),
        routes=(replace(ROUTE, **route),),
        working_dir=tmp_path,
    )


def test_messages_sent_just_before_the_exit_arrive_and_then_the_close(tmp_path: Path) -> None:
    plan = pair(tmp_path, ("join", "send:2", "exit:0"), ("join", *["receive"] * 3))
    outcome, seen = run(plan)
    assert seen.of("plot") == ["data", "data", "close"]
    assert outcome.ok
    assert outcome.nodes == 2


def test_a_close_waits_until_a_full_pipe_has_room(tmp_path: Path) -> None:
    # The smallest pipe is two pages: 16 tickets fill it to the last byte.
    plan = pair(tmp_path, ("join", "send:16", "exit:0"), ("join", *["receive"] * 17), queue_size=1)
    _outcome, seen = run(plan)
    assert seen.of("plot") == ["data"] * 16 + ["close"]


def test_a_failure_is_told_to_consumers_and_reported_with_its_stderr(tmp_path: Path) -> None:
    plan = pair(tmp_path, ("join", "fail:boom"), ("join", "await", "receive", "exit:0"))
    outcome, seen = run(plan)
    assert seen.of("plot") == ["NodeFailed", "close"]
    assert [failure.node for failure in outcome.failures] == ["camera"]
    assert outcome.failures[0].stderr[-1] == "ValueError: boom"
    assert "the other nodes go on" in seen.notices()


def test_a_failure_before_the_barrier_ends_the_others_and_is_the_only_cause(tmp_path: Path) -> None:
    plan = pair(tmp_path, ("fail:no camera",), ("ignore", "join"))
    outcome, seen = run(plan)
    assert [failure.node for failure in outcome.failures] == ["camera"]
    assert "before the dataflow could start; ending `plot`" in seen.notices()


def test_a_command_that_cannot_run_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    plan = plans.plan(
        plans.node("camera", "/no/such/program"),
        plans.fake("plot", "join"),
        working_dir=tmp_path,
    )
    outcome, _seen = run(plan)
    assert "could not be started: `/no/such/program`: No such file" in str(outcome.failures[0])


def test_a_node_without_ports_that_ends_well_before_it_joins_does_not_hold_the_others(
    tmp_path: Path,
) -> None:
    plan = plans.plan(
        plans.node("script", "true"), plans.fake("plot", "join"), working_dir=tmp_path
    )
    outcome, seen = run(plan)
    assert "`script`" in seen.notices()
    assert outcome.ok


def test_a_wired_node_that_ends_without_joining_fails_the_start(tmp_path: Path) -> None:
    outcome, _seen = run(pair(tmp_path, ("exit:0",), ("join", "receive")))
    assert [failure.node for failure in outcome.failures] == ["camera"]
    assert "without having called `Node()`" in outcome.failures[0].cause


def test_stop_is_a_message_and_nodes_that_obey_it_have_success(tmp_path: Path) -> None:
    steps = ("join", "say:ready", "await", "exit:0")
    outcome, seen = run(pair(tmp_path, steps, ("join", "await")), stop_at="camera: ready")
    assert seen.of("camera") == ["ready", "Stop"]
    assert outcome.ok


def test_a_node_that_only_reacts_to_sigterm_has_success_and_one_that_must_be_killed_not(
    tmp_path: Path,
) -> None:
    plan = pair(tmp_path, ("join", "wait"), ("ignore", "join", "say:ready", "wait"))
    outcome, seen = run(plan, stop_at="plot: ready")
    assert [failure.node for failure in outcome.failures] == ["plot"]
    assert "didn't react to a stop message in time (SIGKILL)" in outcome.failures[0].cause
    assert "did not end within 0.3 s: SIGTERM" in seen.notices()


def test_asked_to_stop_again_it_hurries(tmp_path: Path) -> None:
    plan = pair(tmp_path, ("join", "say:ready", "await", "say:ready", "wait"), ("join", "wait"))
    outcome, seen = run(plan, stop_at="ready", graces=Graces(1000.0, 0.3, 0.3))
    assert "Ctrl-C again" in seen.notices()
    assert outcome.ok


def test_a_visitor_is_told_when_the_dataflow_ends(tmp_path: Path) -> None:
    plan = pair(tmp_path, ("join", "say:ready", "await", "exit:0"), ("join", "await"))

    async def serve() -> str:
        seen, launched = Seen(), launch(plan)
        server = Server(launched, seen, QUICK)
        ended = asyncio.ensure_future(server.run())
        address = endpoint.address_of(launched.dataflow_id)
        visitor = await asyncio.to_thread(Client, address)
        with visitor:
            server.ask_stop("Ctrl-C")
            await asyncio.wait_for(ended, DEADLINE_S)
            with pytest.raises(DoraError) as told:
                await asyncio.to_thread(visitor.stack, "camera")
        return str(told.value)

    assert asyncio.run(serve()) == "the dataflow ended"


def test_a_second_client_for_a_node_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    plan = pair(tmp_path, ("join", "register", "await", "exit:0"), ("join", "receive"))
    outcome, seen = run(plan)
    assert seen.of("camera") == ["Refused"]
    assert outcome.ok


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"protocol": 99}, f"speaks control protocol 99, the daemon speaks {messages.PROTOCOL};"),
        ({"protocol": 3}, f"speaks control protocol 3, the daemon speaks {messages.PROTOCOL};"),
        ({"dataflow": "other"}, "not other"),
        ({"node": "camra"}, "did you mean `camera`?"),
        ({"incarnation": 7}, "incarnation 7 of node `camera` is over"),
    ],
)
def test_who_does_not_belong_here_is_told_why(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(plans.FAKE_NODE.parent)!r})\n"
        f"import fake_node; n = fake_node.FakeNode(); n.register(**{fields!r})\n"
        "print(n.receive().reason); n.join()"
    )
    plan = plans.plan(plans.python("camera", code, outputs=("image",)), working_dir=tmp_path)
    outcome, seen = run(plan)
    assert reason in seen.of("camera")[0]
    assert outcome.ok


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\x7f",
        frame(b"garbage"),
        frame(messages.encode(messages.Goodbye())),
        b"\x10\x00",
    ],
    ids=["another protocol", "giant frame", "garbage", "no registration", "half a frame"],
)
def test_what_a_client_sends_costs_only_its_own_connection(tmp_path: Path, sent: bytes) -> None:
    plan = pair(tmp_path, ("join", "say:ready", "await"), ("join", "await"))
    seen = Seen()

    async def serve() -> Outcome:
        launched = launch(plan)
        server = Server(launched, seen, QUICK)
        loop = asyncio.get_running_loop()

        async def attack() -> None:
            client = endpoint.connect(endpoint.address_of(launched.dataflow_id))
            client.setblocking(False)
            await loop.sock_sendall(client, sent)
            if len(sent) > 2:
                assert await loop.sock_recv(client, 1) == b""
            client.close()
            server.ask_stop("the test")

        tasks = []

        def react(text: str) -> None:
            if text == "camera: ready":
                tasks.append(loop.create_task(attack()))

        seen.reaction = react
        outcome = await asyncio.wait_for(server.run(), DEADLINE_S)
        await asyncio.gather(*tasks)
        return outcome

    assert asyncio.run(serve()).ok


def test_a_flood_of_output_arrives_whole_and_does_not_hold_up_the_others(tmp_path: Path) -> None:
    flood = "for i in range(20000): print('x' * 100, i)"
    plan = plans.plan(
        plans.python("flood", flood), plans.fake("plot", "join"), working_dir=tmp_path
    )
    outcome, seen = run(plan)
    assert [line.split()[1] for line in seen.of("flood")] == [str(i) for i in range(20000)]
    rows = (tmp_path / "out" / outcome.dataflow_id / "log_flood.jsonl").read_text().splitlines()
    assert len(rows) == 20000
    assert json.loads(rows[-1])["msg"].endswith(" 19999")


def test_long_lines_partial_lines_and_bytes_that_are_no_text_are_shown(tmp_path: Path) -> None:
    code = (
        "import os\nos.write(1, b'caf\\xe9\\n')\nos.write(2, b'y' * 3_000_000 + b'\\n')\n"
        "os.write(1, b'no line end')"
    )
    code = code.replace("os.write(2,", "import sys; sys.stderr.buffer.write(")
    outcome, seen = run(plans.plan(plans.python("n", code), working_dir=tmp_path))
    lines = seen.of("n")
    assert "caf�" in lines
    assert "no line end" in lines
    assert sum(line.count("y") for line in lines if line.startswith("y")) == 3_000_000
    assert outcome.ok


def test_without_a_writable_folder_one_warning_is_given_and_the_dataflow_goes_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "out").write_text("in the way")
    plan = plans.plan(plans.python("n", "print(1); print(2)"), working_dir=tmp_path)
    outcome, seen = run(plan)
    assert seen.of("n") == ["1", "2"]
    assert seen.notices().count("cannot be written") == 1
    assert outcome.ok


def test_lines_below_min_log_level_are_dropped_at_the_source(tmp_path: Path) -> None:
    code = (
        "print('plain')\n"
        'print(\'{"timestamp":"T","level":"WARN","message":"hot"}\')\n'
        'print(\'{"timestamp":"T","level":"DEBUG","message":"dull"}\')'
    )
    plan = plans.plan(
        plans.python("n", code, logs=LogSettings(min_level="info")), working_dir=tmp_path
    )
    _outcome, seen = run(plan)
    assert seen.of("n") == ["hot"]


def test_log_lines_reach_log_inputs_and_never_the_node_they_are_from(tmp_path: Path) -> None:
    camera = plans.fake(
        "camera",
        "join",
        "say:one",
        "exit:0",
        outputs=("lines",),
        logs=LogSettings(send_stdout_as="lines"),
    )
    plot = plans.fake("plot", "join", "receive", "receive", inputs=("lines",))
    watch = plans.fake("watch", "join", "receive", "say:seen", "await", inputs=("logs",))
    plan = replace(
        plans.plan(
            camera,
            plot,
            watch,
            routes=(Route("camera", "lines", "plot", "lines"),),
            working_dir=tmp_path,
        ),
        log_routes=(LogRoute(LogsRef(), "watch", "logs", queue_size=50),),
    )
    outcome, seen = run(plan, stop_at="watch: seen")
    assert seen.of("plot") == ["data", "close"]
    assert seen.of("watch") == ["data", "seen", "Stop"]
    assert outcome.messages >= 2


def test_a_node_with_many_edges_gets_all_its_descriptors_in_order(tmp_path: Path) -> None:
    ports = tuple(f"p{number}" for number in range(300))
    plan = plans.plan(
        plans.fake("camera", "join", "send:1", "exit:0", outputs=ports),
        plans.fake("plot", "join", "receive", "receive", inputs=ports),
        routes=tuple(Route("camera", port, "plot", port, queue_size=1) for port in ports),
        working_dir=tmp_path,
    )
    outcome, seen = run(plan)
    assert seen.of("plot") == ["data", "close"]
    assert outcome.ok


def test_a_node_whose_daemon_breaks_is_killed_and_the_bug_is_raised(tmp_path: Path) -> None:
    pids = []

    class Broken(Seen):
        def lines(self, batch: list[LogLine]) -> None:
            pids.append(int(batch[0].message))
            raise ZeroDivisionError

    code = "import os, time; print(os.getpid()); time.sleep(1000)"
    plan = plans.plan(plans.node("n", sys.executable, "-u", "-c", code), working_dir=tmp_path)

    async def serve() -> None:
        await Server(launch(plan), Broken(), QUICK).run()

    with pytest.raises(ZeroDivisionError):
        asyncio.run(serve())
    wait_gone(pids)

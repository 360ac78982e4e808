"""`dora up --replace`: another program takes over, and no node notices."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest

from daemon.waiting import wait_gone, wait_until
from dora import client
from dora.background.handover import FORMAT, read_saved
from dora.background.places import STATE, folder_of
from dora.client import DaemonClient
from dora.errors import DoraError
from dora.transport import endpoint
from dora.wire import visits

from .rig import line_of, wait_ended

if TYPE_CHECKING:
    from pathlib import Path

    from .rig import Place

SOURCE = """
import itertools, os, signal
from dora import Node
node = Node()
node.extension_store("tests", "kept", b"value")
print("pid", os.getpid(), flush=True)
counter = itertools.count()
for event in node:
    if event["type"] == "INPUT":
        node.send_output("x", bytes(10_000), {"number": next(counter)})
"""
SINK = """
import os, sys
from dora import Node
node = Node()
first = None
print("pid", os.getpid(), "restart", node.restart_count(), flush=True)
for event in node:
    if event["type"] == "INPUT" and event["id"] == "x":
        number = event["metadata"]["number"]
        assert first is None or number == first + 1, (first, number)
        first = number
        if number % 10 == 0:
            print("at", number, node.extension_load("tests", "kept"), flush=True)
    elif event["type"] == "INPUT":
        print("line", event["value"][0].as_py().strip(), flush=True)
    elif event["type"] != "STOP":
        print("told", event["type"], event["id"], event.get("value"), flush=True)
"""
FLOW = """
nodes:
  - id: source
    path: source.py
    inputs: {tick: dora/timer/millis/5}
    outputs: [x, out]
    send_stdout_as: out
  - id: sink
    path: sink.py
    inputs:
      x: {source: source/x, queue_policy: backpressure}
    restart_policy: on-failure
    restart_delay: 0.1
  - id: reader
    path: sink.py
    inputs: {log: source/out}
"""


@pytest.fixture
def flow(place: Place) -> str:
    """A dataflow that runs in the background; its id."""
    place.up()
    (place.folder / "source.py").write_text(SOURCE)
    (place.folder / "sink.py").write_text(SINK)
    (place.folder / "flow.yml").write_text(FLOW)
    return place.start("flow")


def lines_until(dataflow: str, wanted: str, count: int = 1) -> list[str]:
    """Lines of the dataflow from now on, until so many that contain `wanted` have come."""
    seen: list[str] = []
    with client.Client(endpoint.address_of(dataflow)) as watching:
        for answer in watching.watch():
            assert not isinstance(answer, visits.Ended), (answer, seen)
            for line in answer.lines:
                seen.append(f"{line.node}: {line.message}")
                count -= wanted in seen[-1]
            if count <= 0:
                return seen
    raise AssertionError(seen)


def pids(dataflow: str) -> dict[str, int | None]:
    with client.Client(endpoint.address_of(dataflow)) as looking:
        return {node.id: node.pid for node in looking.state().nodes}


def test_nodes_go_on_without_losing_a_message_and_the_process_stays_the_same(
    place: Place, flow: str
) -> None:
    line_of(flow, "at 20")
    before = pids(flow)
    with client.daemon() as daemon:
        old = daemon.daemon
    for _ in range(3):
        out = place.ok("up", "--replace")
        assert f"daemon replaced (pid {old.pid})" in out
        assert pids(flow) == before
        seen = lines_until(flow, "sink: at ", 3)
        assert not [line for line in seen if "Traceback" in line or "assert" in line]
        assert all("b'value'" in line for line in seen if "sink: at" in line)
    with client.Client(endpoint.address_of(flow)) as looking:
        state = looking.state()
        edge = next(edge for edge in state.edges if edge.input == "x")
        assert edge.sent >= edge.received > 20, "counters begin anew"
        assert edge.dropped == 0
    assert "flow" in place.ok("list")
    place.ok("stop", "flow")
    wait_ended(flow)
    with client.daemon() as daemon:
        (run,) = daemon.runs()
        assert (run.id, run.status) == (flow, "finished"), run.failure


def test_the_new_daemon_supervises_restarts_and_reads_lines_as_the_old_one_did(
    place: Place, flow: str
) -> None:
    line_of(flow, "at 20")
    place.ok("up", "--replace")
    sink = pids(flow)["sink"]
    assert sink is not None
    with client.Client(endpoint.address_of(flow)) as watching:
        shown = watching.watch()
        os.kill(sink, signal.SIGKILL)
        seen: list[str] = []
        for answer in shown:
            assert isinstance(answer, visits.Shown)
            seen += [f"{line.node}: {line.message}" for line in answer.lines]
            if any("sink: at" in line for line in seen[2:] if "restart 1" in "".join(seen)):
                break
    told = "\n".join(seen)
    assert f"node `sink` (pid {sink}) exited because of signal SIGKILL" in told
    assert "restart 1" in told
    source = pids(flow)["source"]
    assert source is not None
    with client.Client(endpoint.address_of(flow)) as watching:
        shown = watching.watch()
        os.kill(source, signal.SIGKILL)
        told = "".join(line.message for answer in shown for line in getattr(answer, "lines", ()))
    assert "told INPUT_CLOSED log" in told
    wait_gone([source])


def test_parameters_and_a_start_under_way_go_over_too(place: Place, flow: str) -> None:
    line_of(flow, "at 10")
    place.ok("param", "set", "sink", "gain", "2.5")
    late = "import sys\nsys.stdin = open(sys.argv[1])\nsys.stdin.read()\n" + SINK
    (place.folder / "late.py").write_text(late)
    os.mkfifo(place.folder / "gate")
    (place.folder / "late.yml").write_text(
        f"nodes: [{{id: late, path: late.py, args: {place.folder / 'gate'}, outputs: [y]}}]"
    )
    starting = place.start("late")
    place.ok("up", "--replace")
    with client.Client(endpoint.address_of(starting)) as watching:
        shown = watching.watch()
        (place.folder / "gate").write_text("go")
        texts: list[str] = []
        while not any("restart 0" in text for text in texts):
            answer = next(shown)
            assert isinstance(answer, visits.Shown), answer
            texts += [line.message for line in answer.lines]
    assert "2.5" in place.ok("param", "get", "sink", "gain", "-d", "flow")
    place.ok("stop", "--all")


DEAF = """
import os, signal
from dora import Node
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
node = Node()
print("pid", os.getpid(), flush=True)
signal.sigwait([signal.SIGUSR1])
os.closerange(3, 1024)
signal.pause()
"""
EAGER = """
from dora import Node
node = Node()
for number in range(1000):
    node.send_output("x", b"x")
print("sent all", flush=True)
for event in node:
    pass
"""


def test_clients_of_the_daemon_go_on_with_the_one_that_takes_over(place: Place, flow: str) -> None:
    with client.daemon() as before:
        for _ in range(2):
            place.ok("up", "--replace")
            assert [run.id for run in before.runs()] == [flow]
        packed = before.plan_of(flow)
        again = before.start(packed.plan, "again")
    place.ok("stop", "--all")
    wait_ended(again.id)


def test_a_node_that_cut_its_connection_just_before_holds_up_no_sender_for_ever(
    place: Place,
) -> None:
    place.up()
    (place.folder / "deaf.py").write_text(DEAF)
    (place.folder / "eager.py").write_text(EAGER)
    (place.folder / "deaf.yml").write_text(
        """
nodes:
  - {id: eager, path: eager.py, outputs: [x], inputs: {tick: dora/timer/secs/60}}
  - {id: deaf, path: deaf.py, inputs: {x: {source: eager/x, queue_policy: backpressure}}}
"""
    )
    flow = place.start("deaf")
    deaf = int(line_of(flow, "pid").split()[1])
    with client.daemon() as daemon:
        os.kill(deaf, signal.SIGUSR1)
        wait_until(lambda: len(os.listdir(f"/proc/{deaf}/fd")) == 3, "it closed all but three")
        daemon.runs()  # it has heard of that, and waits for the node's end
        daemon.hand_over([sys.executable, "-P", "-m", "dora.background"], dict(os.environ))
    log = place.folder / "out" / flow / "log_eager.jsonl"
    wait_until(lambda: log.exists() and "sent all" in log.read_text(), "the sender goes on")
    place.dora("stop", "--force", "deaf")


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_state_that_cannot_be_kept_or_read_costs_no_dataflow(when: str, place: Place) -> None:
    file = folder_of(endpoint.daemon_address(endpoint.checkout())) / STATE
    if when == "before":
        file.mkdir(parents=True)  # it is kept in memory
    place.up()
    calm = place.start("calm")
    if when == "meanwhile":
        with contextlib.closing(sqlite3.connect(file)) as db:
            db.execute("PRAGMA user_version = 99")  # of a dora that is to come
    for _ in range(2):
        place.ok("up", "--replace")
        assert "Running" in place.ok("list")
    place.ok("stop", "calm")
    wait_ended(calm)
    with client.daemon() as daemon:
        assert [(run.id, run.status) for run in daemon.runs()] == [(calm, "finished")]
    place.ok("down")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["/no/such/python"], "cannot take over"),
        ([sys.executable, "-c", "import sys; sys.exit('I read nothing of that')"], "I read noth"),
    ],
)
def test_a_program_that_cannot_take_over_is_refused_and_the_old_one_goes_on(
    place: Place, flow: str, argv: list[str], told: str
) -> None:
    line_of(flow, "at 10")
    before = pids(flow)
    with (
        DaemonClient(endpoint.daemon_address(endpoint.checkout())) as daemon,
        pytest.raises(DoraError, match=told),
    ):
        daemon.hand_over(argv, dict(os.environ))
    assert pids(flow) == before
    assert lines_until(flow, "sink: at ")
    place.ok("stop", "flow")


def test_a_program_that_is_gone_at_the_last_moment_is_told_and_the_old_one_goes_on(
    place: Place, flow: str
) -> None:
    line_of(flow, "at 10")
    fleeting = place.folder / "fleeting"
    fleeting.write_text('#!/bin/sh\nrm -- "$0"\n')  # it is asked whether it can, and says yes
    fleeting.chmod(0o700)
    with client.daemon() as daemon:
        with pytest.raises(DoraError, match=r"No such file.*; the old one goes on"):
            daemon.hand_over([str(fleeting)], dict(os.environ))
        assert [run.id for run in daemon.runs()] == [flow]
    assert lines_until(flow, "sink: at ")
    place.ok("stop", "flow")


def test_what_a_daemon_of_another_version_saved_is_told_apart(tmp_path: Path) -> None:
    import msgspec

    for raw, told in (
        (msgspec.msgpack.encode({"format": FORMAT + 1, "protocol": 9, "version": "9.9"}), "9.9"),
        (b"garbage", "nothing a daemon has saved"),
    ):
        file = tmp_path / "saved"
        file.write_bytes(raw)
        with pytest.raises(DoraError, match=told):
            read_saved(os.open(file, os.O_RDONLY))


def test_without_a_daemon_replace_brings_one_up(place: Place) -> None:
    assert "started dora daemon" in place.ok("up", "--replace")


def test_files_of_nodes_that_were_added_are_watched_on(place: Place) -> None:
    place.up()
    hot = place.start("calm", "--hot-reload")
    line_of(hot, "pid")
    more = place.folder / "more.py"
    more.write_text(SINK)
    (place.folder / "more.yml").write_text("nodes: [{id: more, path: more.py, outputs: [y]}]")
    place.ok("node", "add", "--from-yaml", "more.yml", "-d", hot)
    line_of(hot, "restart 0")
    place.ok("up", "--replace")
    with client.Client(endpoint.address_of(hot)) as watching:
        shown = watching.watch()
        more.write_text(f"{SINK}\n")
        texts: list[str] = []
        while not any("restart 1" in text for text in texts):
            answer = next(shown)
            assert isinstance(answer, visits.Shown), answer
            texts += [line.message for line in answer.lines]
    assert "node `more`: `more.py` was saved" in texts
    place.ok("stop", "--all")

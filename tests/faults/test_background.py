"""What can befall a background daemon: killed, doubled, its folders full or removed, strangers."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from background_rig import Background
from fault_rig import DEADLINE_S, LONG, Flow, until

from dora.errors import DoraError
from dora.transport import endpoint
from dora.wire import background, messages, visits
from dora.wire.framing import Deframer, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534
ROUNDS = 50 if LONG else 2

ENDLESS = """
    from dora import Node
    node = Node()
    say("dataflow", node.dataflow_id())
    say("child", fork_a_child())
    say("runs")
    for event in node:
        print("tick", flush=True)
    say("stopped")
"""
TICK = {"tick": "dora/timer/millis/20"}


def endless(folder: Path) -> Flow:
    return Flow(folder, {"endless": (ENDLESS, {"inputs": TICK})})


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Background]:
    with Background(tmp_path) as daemon:
        yield daemon


# ---- killed ----


def test_kill_of_the_background_daemon_ends_its_nodes_and_the_next_one_knows_of_them(
    daemon: Background, tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    with endless(tmp_path) as flow:
        for _ in range(ROUNDS):
            daemon.up()
            dataflow = daemon.start(flow.file)
            flow.heard("runs")
            daemon.kill()
            flow.assert_nothing_is_left()
        assert daemon.up().startswith("started dora daemon")
        with daemon.client() as asking:
            (run,) = [run for run in asking.runs() if run.id == dataflow]
            assert run.status == "failed"
            assert "the daemon died" in run.failure
    measured("kill -9 of the background daemon", f"{ROUNDS} kills, 2 processes each, none left")


@pytest.mark.parametrize("what", ["start", "logs"])
def test_kill_of_an_attached_command_leaves_the_dataflow_alone(
    what: str, daemon: Background, tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    with endless(tmp_path) as flow:
        daemon.up()
        if what == "start":
            command = daemon.popen("start", str(flow.file), "--attach")
            flow.heard("runs")
        else:
            daemon.start(flow.file)
            flow.heard("runs")
            command = daemon.popen("logs", "--follow", "--all-nodes")
        with command:
            assert command.stdout is not None
            while "tick" not in command.stdout.readline():
                assert command.poll() is None
            before = daemon.descriptors()
            command.kill()
        if what == "start":  # the other one looks at files, and comes anew each time
            until(lambda: daemon.descriptors() < before, "the daemon keeps the client's socket")
        assert "Running" in daemon.dora("list")
        daemon.dora("stop", "--all")
        flow.heard("stopped")
    measured(f"kill -9 of an attached `dora {what}`", "1 kill, the dataflow runs on")


# ---- two daemons ----


def test_of_daemons_that_come_up_at_once_one_stays_and_all_know_it(
    daemon: Background, measured: Callable[[str, str], None]
) -> None:
    for _ in range(ROUNDS):
        commands = [daemon.popen("up") for _ in range(4)]
        said = [command.communicate(timeout=DEADLINE_S) for command in commands]
        assert [command.returncode for command in commands] == [0] * 4, said
        with daemon.client() as asking:
            daemon.pid = asking.daemon.pid
        assert all(f"(pid {daemon.pid}" in out for out, _err in said)
        assert sum("started dora daemon" in out for out, _err in said) == 1
        daemon.kill()
    measured("four `dora up` at once", f"{ROUNDS} times, one daemon each")


def test_a_second_daemon_process_gives_way(daemon: Background) -> None:
    daemon.up()
    read, write = os.pipe()
    second = [sys.executable, "-P", "-m", "dora.background", str(write)]
    done = subprocess.run(
        second, cwd=daemon.folder, env=daemon.env, pass_fds=(write,), check=False, timeout=50
    )
    os.close(write)
    with open(read, "rb") as told:
        assert told.read() == b"taken"
    assert done.returncode == 1
    assert f"pid {daemon.pid}" in daemon.up()


# ---- replaced ----

COUNTS = """
    import numpy as np
    from dora import Node
    node = Node()
    number = 0
    while not os.path.exists("enough"):
        node.send_output("out", np.full(4000 if number % 3 == 0 else 4, number))
        number += 1
    say("sent", number)
"""
CHECKS = """
    from dora import Node
    node = Node()
    say("up")
    wanted = None
    for event in node:
        if event["type"] == "INPUT":
            numbers = event["value"]
            assert numbers.min() == numbers.max()
            assert wanted in (None, numbers[0]) or os.environ["FLOW_NODE"] == "killed"
            wanted = numbers[0] + 1
            if wanted % 1000 == 0:
                say("at")
    say("got", int(wanted))
"""


def test_a_daemon_replaced_again_and_again_costs_a_busy_pipeline_no_message(
    daemon: Background, tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    waits = {"in": {"source": "source/out", "queue_size": 20, "queue_policy": "backpressure"}}
    nodes = {
        "source": (COUNTS, {"outputs": ["out"]}),
        "sink": (CHECKS, {"inputs": waits}),
        "killed": (CHECKS, {"inputs": {"in": "source/out"}, "restart_policy": "always"}),
    }
    with Flow(tmp_path, nodes) as flow:
        daemon.up()
        daemon.start(flow.file)
        flow.heard("up", "sink")
        flow.heard("up", "killed")
        descriptors = 0
        for _ in range(ROUNDS):
            replacing = daemon.popen("up", "--replace")
            flow.signal("killed", signal.SIGKILL)
            out, err = replacing.communicate(timeout=DEADLINE_S)
            assert f"daemon replaced (pid {daemon.pid})" in out, err
            flow.heard("at", "sink")
            flow.heard("up", "killed")
            descriptors = descriptors or daemon.descriptors()  # its own log is open now
        until(lambda: daemon.descriptors() <= descriptors, "descriptors are left")
        (tmp_path / "enough").touch()
        (sent,) = flow.heard("sent")
        assert flow.heard("got", "sink") == [sent]
        until(lambda: "Running" not in daemon.dora("list"), "it does not end")
        daemon.dora("down")
    measured(
        "`dora up --replace` under load, a node killed each time",
        f"{ROUNDS} times; {sent:,} messages of a lossless pipeline, none lost; no descriptor left",
    )


# ---- sockets and folders ----


def test_a_stale_socket_is_no_hindrance_and_nobody_takes_it_for_a_dataflow(
    daemon: Background, tmp_path: Path
) -> None:
    runtime_dir = daemon.runtime_dir
    with endless(tmp_path) as flow:
        daemon.up()
        dataflow = daemon.start(flow.file)
        flow.heard("runs")
        daemon.kill()
        flow.assert_nothing_is_left()
        assert {path.name for path in runtime_dir.iterdir()} == {"daemon-user", dataflow}
        assert dataflow not in daemon.dora("list", "--quiet")
        assert not (runtime_dir / dataflow).exists()
        assert daemon.up().startswith("started dora daemon")
        assert "Failed" in daemon.dora("list")


def test_a_runtime_folder_that_is_removed_costs_nothing_and_is_made_anew(
    daemon: Background, tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    runtime_dir = daemon.runtime_dir
    with endless(tmp_path) as flow:
        daemon.up()
        dataflow = daemon.start(flow.file)
        flow.heard("runs")
        shutil.rmtree(runtime_dir)
        removed_s = time.monotonic()
        assert dataflow in daemon.dora("list", "--quiet")
        expected = {"daemon-user", dataflow}
        until(
            lambda: runtime_dir.exists() and set(os.listdir(runtime_dir)) == expected,
            "the sockets were not made anew",
        )
        took_s = time.monotonic() - removed_s
        daemon.dora("stop", "--all")
        flow.heard("stopped")
        assert "was removed, and was made anew" in daemon.log
    measured(
        "runtime folder removed", f"commands find it at once; sockets are back after {took_s:.1f} s"
    )


def on_a_small_disk(folder: Path) -> list[str]:
    """A command that runs another one, to which this folder is a disk of 256 KiB."""
    namespace = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    mount = f'mount -t tmpfs -o size=256k none {folder}; exec "$0" "$@"'
    before = [*namespace, "sh", "-c", mount]
    if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount of one's own is allowed here")
    return before


@pytest.mark.parametrize("when", ["from the start", "at work"])
def test_a_full_disk_under_the_state_folder_costs_only_the_memory_of_runs(
    when: str, daemon: Background, tmp_path: Path
) -> None:
    daemon.state_dir.mkdir()
    before = on_a_small_disk(daemon.state_dir)
    if when == "from the start":
        before += ["sh", "-c", f'cat /dev/zero > {daemon.state_dir}/full; exec "$0" "$@"']
    with endless(tmp_path) as flow:
        said = daemon.up(before)
        if when == "from the start":
            assert "No space left on device" in said
        else:
            fill(Path(f"/proc/{daemon.pid}/root{daemon.state_dir}/full"))
        for _ in range(2):
            daemon.start(flow.file)
            flow.heard("runs")
            assert "Running" in daemon.dora("list")
            daemon.dora("stop", "--all")
            flow.heard("stopped")
        assert "Finished" in daemon.dora("list")
        daemon.dora("down")


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.writelines(itertools.repeat(b"\0" * 4096))


# ---- protocol ----


@pytest.mark.parametrize("other", [messages.PROTOCOL - 1, messages.PROTOCOL + 1])
def test_a_client_of_another_protocol_is_told_what_fits_by_both_kinds_of_daemon(
    other: int, daemon: Background, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with endless(tmp_path) as flow:
        daemon.up()
        dataflow = daemon.start(flow.file)
        flow.heard("runs")
        monkeypatch.setattr(messages, "PROTOCOL", other)
        with pytest.raises(DoraError, match=rf"speaks control protocol {other}, .* end that one"):
            daemon.client()
        with pytest.raises(DoraError, match="use the `dora` that runs the dataflow"):
            daemon.look(dataflow)
        monkeypatch.undo()
        assert f"protocol {other}" in daemon.log
        daemon.dora("stop", "--all")


def test_a_node_of_another_protocol_says_so_and_so_does_its_daemon(tmp_path: Path) -> None:
    other = """
        from dora.wire import messages
        messages.PROTOCOL = 99
        from dora import Node
        Node()
    """
    with Flow(tmp_path, {"other": (other, {"outputs": ["out"]})}) as flow:
        flow.start()
        status, out, err = flow.end()
        assert status == 1
        assert "speaks control protocol 99, the daemon speaks" in out + err
        assert "install one version for both" in err


# ---- another user ----

STRANGER = """
import socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect("\\0" + sys.argv[1][1:])
link.settimeout(20)
try:
    link.sendall(bytes.fromhex(sys.argv[2]))
    sys.stdout.write(link.recv(1000).hex())
except (BrokenPipeError, ConnectionResetError):
    pass
"""


def test_a_client_of_another_user_is_not_heard(daemon: Background, tmp_path: Path) -> None:
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    become += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]  # to find Python
    if os.getuid() != 0 or subprocess.run([*become, "true"], check=False).returncode:
        pytest.skip("only root may become another user")
    with endless(tmp_path) as flow:
        daemon.up()
        dataflow = daemon.start(flow.file)
        flow.heard("runs")
        greetings = {
            daemon.address("daemon-user"): background.GreetDaemon(messages.PROTOCOL, "1"),
            daemon.address(dataflow): visits.Greet(messages.PROTOCOL, "1"),
        }
        for address, greeting in greetings.items():
            hello = frame(messages.encode(greeting)).hex()
            command = [sys.executable, "-c", STRANGER, endpoint._abstract(address), hello]
            for before in ([], become):
                done = subprocess.run(
                    [*before, *command], capture_output=True, text=True, cwd="/", check=False
                )
                assert done.returncode == 0, done.stderr
                heard = Deframer().feed(bytes.fromhex(done.stdout))
                assert len(heard) == (0 if before else 1), "only this user is answered"
        assert "Running" in daemon.dora("list")
        daemon.dora("stop", "--all")

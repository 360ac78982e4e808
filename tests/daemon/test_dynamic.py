"""Dynamic nodes: they join, leave, die, come back, also from other containers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from dora.errors import DoraError
from dora.wire.visits import AskNode, AskStack

from .live import SINK, Live, counter
from .waiting import DEADLINE_S

if TYPE_CHECKING:
    from pathlib import Path

OUT: dict[str, Any] = {"outputs": ["out"]}
GUEST = """
import sys
from dora import Node
node = Node("guest")
print("joined", node.restart_count(), flush=True)
for event in node:
    if event["type"] == "INPUT":
        n = event["metadata"]["n"]
        node.send_output("out", event["value"], {"n": n})
        print("got", n, flush=True)
        if len(sys.argv) > 1 and n >= int(sys.argv[1]):
            break
    else:
        print(event["type"], flush=True)
"""


def flow(every_s: float = 0.005, size: int = 8) -> dict[str, tuple[str, dict[str, Any]]]:
    guest = {"path": "dynamic", "inputs": {"in": "source/out"}, **OUT}
    return {
        "source": (counter(size, every_s), OUT),
        "guest": ("", guest),
        "sink": (SINK, {"inputs": {"in": "guest/out"}}),
    }


class Guests:
    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *before: str, args: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        argv = [*before, sys.executable, "-c", GUEST, *args]
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.processes.append(process)
        return process

    def __enter__(self) -> Guests:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()

    def heard(self, process: subprocess.Popen[str], word: str) -> str:
        assert process.stdout is not None
        lines = []
        late = threading.Timer(DEADLINE_S, process.kill)
        late.start()
        try:
            for line in process.stdout:
                lines.append(line)
                if word in line:
                    return line
        finally:
            late.cancel()
        raise AssertionError(f"no {word!r} in {lines}")


@pytest.mark.parametrize("size", [8, 100_000])
def test_one_that_is_killed_reads_on_when_it_is_back(size: int, tmp_path: Path) -> None:
    with Live(tmp_path, flow(size=size)) as live, Guests() as guests:
        live.heard("counter")
        for number in range(3):
            guest = guests.start()
            assert guests.heard(guest, "joined").split()[1] == str(number)
            live.heard("got", "sink")
            if number:
                live.heard("NODE_RESTARTED", "sink")
            guest.kill()
            guest.wait()
            live.until(lambda: live.state("guest").state == "absent")
        assert not live.all_heard("INPUT_CLOSED", "sink")


def test_one_that_leaves_by_itself_closes_its_outputs_and_may_come_again(tmp_path: Path) -> None:
    with Live(tmp_path, flow()) as live, Guests() as guests:
        live.heard("counter")
        guest = guests.start(args=("3",))
        guests.heard(guest, "joined")
        assert live.heard("INPUT_CLOSED", "sink") == ["in"]
        assert guest.wait(20) == 0
        again = guests.start()
        guests.heard(again, "got")
        live.noticed("it no longer feeds `sink/in`")


def test_a_second_program_under_the_same_id_is_told_and_disturbs_nothing(tmp_path: Path) -> None:
    with Live(tmp_path, flow()) as live, Guests() as guests:
        first = guests.start()
        guests.heard(first, "joined")
        second = guests.start()
        assert "already connected" in guests.heard(second, "already connected")
        assert second.wait(20) == 1
        guests.heard(first, "got")
        live.heard("got", "sink")


def test_one_is_asked_to_leave_and_is_not_killed(tmp_path: Path) -> None:
    with Live(tmp_path, flow()) as live, Guests() as guests:
        guest = guests.start()
        guests.heard(guest, "got")
        with pytest.raises(DoraError, match="was not started by dora"):
            live.ask(AskNode("restart", "guest"))
        assert live.ask(AskNode("stop", "guest")) == "node `guest` stopped"
        guests.heard(guest, "STOP")
        assert guest.wait(20) == 0
        with pytest.raises(DoraError, match="is not there"):
            live.ask(AskNode("stop", "guest"))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guests look for a dataflow that takes them: not that of a test beside this one."""
    monkeypatch.setenv("DORA_RUNTIME_DIR", str(tmp_path))


def _may_unshare(*flags: str) -> bool:
    return subprocess.run(["unshare", *flags, "true"], capture_output=True).returncode == 0


@pytest.mark.parametrize("flags", [("-n",), ("-n", "-pf", "--mount-proc", "--kill-child")])
def test_a_program_of_another_container_joins(flags: tuple[str, ...], tmp_path: Path) -> None:
    """What they share is the runtime directory."""
    if not _may_unshare(*flags):
        pytest.skip("this user may make no namespaces")
    with Live(tmp_path, flow(size=100_000)) as live, Guests() as guests:
        guest = guests.start("unshare", *flags)
        guests.heard(guest, "got")
        live.heard("got", "sink")
        with live.client() as client:
            stack = client.ask(AskStack("guest"))
        assert "most recent call first" in stack.text  # type: ignore[union-attr]
        guests.heard(guest, "got")
        live.ask(AskNode("stop", "guest"))
        guests.heard(guest, "STOP")
        assert guest.wait(20) == 0


def test_a_process_that_the_daemon_cannot_see_is_never_signalled() -> None:
    """Its number is 0 for us, which would be our own group."""
    from dora.daemon.stacks import StackPipe

    class Loop:
        def add_reader(self, *_: object) -> None: ...
        def remove_reader(self, *_: object) -> None: ...

    read, write = os.pipe()
    pipe = StackPipe(Loop(), 0, read)  # type: ignore[arg-type]
    told: list[object] = []
    pipe.ask(told.append)
    pipe.close()
    os.close(write)
    assert "another container" in str(told[0])

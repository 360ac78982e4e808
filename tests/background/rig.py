"""A background daemon of a test's own, dataflows for it, and commands that run in this process."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daemon.waiting import wait_gone
from dora import client
from dora.cli.main import main
from dora.errors import DoraError
from dora.transport import endpoint
from dora.wire.visits import Ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dora.wire.background import Daemon

DORA = Path(sys.executable).with_name("dora")

CALM = """
import os
from dora import Node
node = Node()
print("pid", os.getpid(), os.environ.get("GREETING"), flush=True)
for event in node:
    if event["type"] != "INPUT":
        print(event["type"], event.get("id"), flush=True)
"""
FAILS = "from dora import Node\nNode()\nprint('here', flush=True)\n1 / 0\n"
STUBBORN = """
import os, signal
from dora import Node
node = Node()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("pid", os.getpid(), flush=True)
while True:
    signal.pause()
"""


class Place:
    """A folder with dataflow files, where commands run in this process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys: pytest.CaptureFixture[str] = capsys  # type: ignore[assignment]
        monkeypatch.chdir(folder)
        self.write("calm", CALM, "inputs: {tick: dora/timer/millis/20}")
        self.write("fails", FAILS)
        self.write("stubborn", STUBBORN)

    def write(self, name: str, code: str, keys: str = "env: {}") -> None:
        (self.folder / f"{name}.py").write_text(code)
        (self.folder / f"{name}.yml").write_text(
            f"nodes: [{{id: {name}, path: {name}.py, {keys}}}]"
        )

    def dora(self, *args: str) -> tuple[int, str, str]:
        """Run a command: status, standard output, standard error."""
        self._capsys.readouterr()
        status = main(list(args))
        out, err = self._capsys.readouterr()
        return status, out, err

    def ok(self, *args: str) -> str:
        """Run a command that must succeed; its standard output."""
        status, out, err = self.dora(*args)
        assert status == 0, err
        return out

    def start(self, name: str, *flags: str) -> str:
        """Start a dataflow in the background; its id."""
        return self.ok("start", f"{name}.yml", "--detach", *flags).split()[-1]

    def up(self) -> Daemon:
        """Start the daemon."""
        self.ok("up")
        with client.daemon() as daemon:
            return daemon.daemon

    def clean_up(self) -> None:
        """Leave no daemon behind."""
        try:
            with client.daemon() as daemon:
                pid = daemon.daemon.pid
        except DoraError:
            return
        os.kill(pid, signal.SIGKILL)
        wait_gone([pid])


@pytest.fixture
def place(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Place]:
    """With a runtime folder of its own, so that nobody else's dataflows are seen."""
    monkeypatch.setenv(endpoint.VARIABLE, str(tmp_path_factory.mktemp("run")))
    place = Place(tmp_path, monkeypatch, capsys)
    yield place
    place.clean_up()


def line_of(dataflow: str, containing: str) -> str:
    """Wait until a dataflow, begun just now, shows a line; the message."""
    seen = []
    with client.Client(endpoint.address_of(dataflow)) as watching:
        for answer in watching.watch(from_start=True):
            assert not isinstance(answer, Ended), f"it ended after {seen}"
            for line in answer.lines:
                seen.append(line.message)
                if containing in line.message:
                    return line.message
    raise AssertionError(f"no line with {containing!r} in {seen}")


def wait_ended(dataflow: str) -> None:
    """Wait until a dataflow is over, and its daemon has put it away."""
    with client.daemon() as daemon:
        try:
            with client.Client(endpoint.address_of(dataflow)) as watching:
                watching.wait_ended()
        except (OSError, client.GoneError):
            return
        daemon.runs()

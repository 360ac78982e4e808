"""A background daemon of its own, and what it takes of the machine."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from fault_rig import DEADLINE_S, DORA, gone

from dora.client import Client, DaemonClient
from dora.transport import endpoint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


class Background:
    """Commands in a folder, whose daemon is ended when the test is.

    Sockets and state lie in the folder: other tests see nothing of this one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.runtime_dir = folder / "run"
        own = {"DORA_STATE_DIR": str(self.state_dir), endpoint.VARIABLE: str(self.runtime_dir)}
        self.env = os.environ | own
        self.pid = 0

    def popen(self, *args: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start `dora ARGS`; `before` is a command that runs it."""
        return subprocess.Popen(
            [*before, str(DORA), *args],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def dora(self, *args: str, status: int = 0, before: Sequence[str] = ()) -> str:
        """What `dora ARGS` says, which ends with this status."""
        with self.popen(*args, before=before) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == status, f"dora {args}: {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        return out + err

    def up(self, before: Sequence[str] = ()) -> str:
        """Start the daemon; what `dora up` says."""
        said = self.dora("up", before=before)
        with self.client() as client:
            self.pid = client.daemon.pid
        return said

    def start(self, flow: Path, *flags: str) -> str:
        """Start a dataflow; its id."""
        said = self.dora("start", str(flow), "--detach", *flags)
        return said.split("dataflow started: ")[1].split()[0]

    def client(self) -> DaemonClient:
        """A connection to the daemon."""
        return DaemonClient(self.address("daemon-user"))

    def look(self, dataflow: str) -> Client:
        """A connection to one of its dataflows."""
        return Client(self.address(dataflow))

    def address(self, name: str) -> str:
        """Where the daemon, or the dataflow of an id, listens."""
        return str(self.runtime_dir / name)

    @property
    def log(self) -> str:
        """The daemon's own words."""
        return "\n".join(path.read_text() for path in self.state_dir.glob("*/daemon.log"))

    def kill(self) -> None:
        """SIGKILL to the daemon; returns when it is gone."""
        if self.pid and Path(f"/proc/{self.pid}").exists():
            os.kill(self.pid, signal.SIGKILL)
        assert not self.pid or gone(self.pid)
        self.pid = 0

    def descriptors(self) -> int:
        """How many descriptors the daemon has."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def children(self) -> int:
        """How many processes the daemon has started that are not reaped."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(len((task / "children").read_text().split()) for task in tasks)

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

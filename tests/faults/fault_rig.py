"""Real dataflows that something happens to: their words while they run, what they leave behind.

Nodes say words (`say("sent", 3)`) into a named pipe that stands open in the test, so that they are
heard also when `dora run` is gone.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

DORA = Path(sys.executable).with_name("dora")
LONG = os.environ.get("DORA_TEST_FAULTS") == "1"
"""Whether the long versions are wanted: `make test-faults`."""
ROUNDS = 50 if LONG else 1
DEADLINE_S = 900.0 if LONG else 40.0

_PRELUDE = """
import json, os, signal, sys
def say(word, *facts):
    line = json.dumps([os.environ["FLOW_NODE"], word, *facts]) + "\\n"
    with open({fifo!r}, "a") as fifo:
        fifo.write(line)
def fork_a_child():
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            signal.pause()
    return pid
say("spawned", os.getpid())
"""


class Flow:
    """One `dora run`, in a folder, with nodes given as Python code.

    Args:
        folder: Where it runs.
        nodes: For each node id its code and its keys in the dataflow file. In both, `{id}` of a
            node is written as the id itself; ids get a tag, so that memory is known by its name.
    """

    def __init__(self, folder: Path, nodes: dict[str, tuple[str, dict[str, Any]]]) -> None:
        self.folder = folder
        self.tag = uuid.uuid4().hex[:8]
        self.pids: dict[str, int] = {}
        self.children: list[int] = []
        self.dataflow_id: str | None = None
        self._heard: list[list[Any]] = []
        fifo = folder / "words"
        os.mkfifo(fifo, 0o666)
        fifo.chmod(0o666)
        self._words = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""
        listed = []
        for name, (code, keys) in nodes.items():
            script = folder / f"{name}.py"
            prelude = _PRELUDE.replace("{fifo!r}", repr(str(fifo)))
            script.write_text(prelude + textwrap.dedent(code))
            inputs = {key: self._tagged(source) for key, source in keys.get("inputs", {}).items()}
            env = {"FLOW_NODE": name}
            node = {"id": f"{name}-{self.tag}", "path": script.name, "env": env} | keys
            listed.append(node | ({"inputs": inputs} if inputs else {}))
        self.file = folder / "flow.yml"
        self.file.write_text(json.dumps({"nodes": listed}))  # JSON is YAML
        self.process: subprocess.Popen[str] | None = None

    def start(
        self, *, before: Sequence[str] = (), stdout: Any = subprocess.PIPE, **env: str
    ) -> subprocess.Popen[str]:
        """Start `dora run`; `before` is a command that runs it, such as one that sets a limit."""
        self.process = subprocess.Popen(
            [*before, str(DORA), "run", str(self.file)],
            cwd=self.folder,
            env=os.environ | env,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self.process

    def end(self) -> tuple[int, str, str]:
        """Wait until `dora run` has ended: status, stdout, stderr."""
        assert self.process is not None
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err

    def heard(self, word: str, node: str | None = None) -> list[Any]:
        """Wait until a node says `word`; what it said with it. Each saying is heard once."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            for index, (who, what, *facts) in enumerate(self._heard):
                if what == word and node in (None, who):
                    del self._heard[index]
                    return facts
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._words], [], [], left)[0]:
                out, err = "", ""
                if self.process is not None:
                    self.process.kill()
                    out, err = self.process.communicate()
                raise AssertionError(f"nobody said {word!r}; heard {self._heard}\n{out}\n{err}")
            self._listen()

    def said(self, word: str) -> bool:
        """Whether a node has said `word` by now."""
        if select.select([self._words], [], [], 0)[0]:
            self._listen()
        return any(what == word for _, what, *_ in self._heard)

    def kill(self, *pids: int) -> None:
        """SIGKILL, to all of them in a row."""
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def signal(self, node: str, number: signal.Signals) -> None:
        """Signal the process of a node."""
        os.kill(self.pids[node], number)

    def stopped(self, node: str) -> None:
        """Wait until a node has stopped itself (SIGSTOP)."""
        self.heard("spawned", node)
        until(lambda: _state_of(self.pids[node]) == "T", f"node {node} has not stopped")

    def reaped(self, node: str) -> None:
        """Wait until the daemon has put a node's process away."""
        pid = self.pids[node]
        until(lambda: not Path(f"/proc/{pid}").exists(), f"node {node} was not reaped")

    def assert_nothing_is_left(self) -> None:
        """No process that was heard of, no socket, no memory of this dataflow lives."""
        alive = [pid for pid in [*self.pids.values(), *self.children] if not gone(pid)]
        assert not alive, f"processes left: {alive}"
        assert self.dataflow_id is None or self.dataflow_id not in _text(Path("/proc/net/unix"))
        assert not (left := list(_memory_of(self.tag))), f"memory left: {left}"

    def _listen(self) -> None:
        *lines, self._rest = (self._rest + os.read(self._words, 1 << 16)).split(b"\n")
        for line in lines:
            who, word, *facts = json.loads(line)
            if word == "spawned":
                self.pids[who] = facts[0]
            elif word == "dataflow":
                self.dataflow_id = facts[0]
            elif word == "child":
                self.children.append(facts[0])
            self._heard.append([who, word, *facts])

    def _tagged(self, source: Any) -> Any:
        if isinstance(source, dict):
            return source | {"source": self._tagged(source["source"])}
        if source.startswith("dora/"):
            return source
        name, output = source.split("/")
        return f"{name}-{self.tag}/{output}"

    def __enter__(self) -> Flow:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self.process
        if process is not None:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=DEADLINE_S)
        if kind is None:
            self.assert_nothing_is_left()
        os.close(self._words)


def rounds(folder: Path) -> Iterator[Path]:
    """A folder for each time that something is done: many where the long versions are wanted."""
    for number in range(ROUNDS):
        (here := folder / str(number)).mkdir()
        yield here


def until(true: Callable[[], bool], otherwise: str) -> None:
    """Wait for what the kernel tells nobody of, by looking."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, otherwise
        select.select([], [], [], 0.005)


def _state_of(pid: int) -> str:
    return _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[0]


def resident_bytes(pid: int, which: str = "VmRSS") -> int:
    """Memory of a process: now (`VmRSS`), or the most it ever had (`VmHWM`)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) << 10
    raise AssertionError(f"process {pid} has no {which}")


def gone(pid: int) -> bool:
    """Whether a process ends before a deadline."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], 30.0)[0])
    finally:
        os.close(watched)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""  # the process is gone, or another user's


def _memory_of(tag: str) -> Iterable[str]:
    """Where memory of nodes with this tag is open or mapped."""
    for process in Path("/proc").glob("[0-9]*"):
        if any(
            "memfd:dora" in line and tag in line for line in _text(process / "maps").split("\n")
        ):
            yield f"{process}/maps"
        try:
            links = [os.readlink(fd) for fd in (process / "fd").iterdir()]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if any("memfd:dora" in link and tag in link for link in links):
            yield f"{process}/fd"

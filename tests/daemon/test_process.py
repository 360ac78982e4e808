from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dora.daemon.process import NodeProcess

from .waiting import read_line, wait_gone

FORKING = """
import os, sys, time
child = os.fork()
if child == 0:
    time.sleep(1000)
print(os.getpid(), child, flush=True)
{end}
"""

SPAWNER = """
import os, sys
from pathlib import Path
from dora.daemon.process import NodeProcess
node = NodeProcess((sys.executable, "-c", sys.argv[1]), Path("/"), dict(os.environ))
os.set_blocking(node.stdout, True)
print(os.read(node.stdout, 100).decode().strip() or node.pid, flush=True)
os.read(0, 1)
"""


def spawn(code: str) -> NodeProcess:
    return NodeProcess((sys.executable, "-c", code), Path("/"), dict(os.environ))


def reap(process: NodeProcess) -> int:
    assert select.select([process.pidfd], [], [], 50.0)[0], "the process does not end"
    code = process.reap()
    process.close_output("stdout")
    process.close_output("stderr")
    return code


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0),
        ("import sys; sys.exit(3)", 3),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("import os; os.abort()", -signal.SIGABRT),
    ],
)
def test_the_exit_status_or_signal_is_told(code: str, expected: int) -> None:
    assert reap(spawn(code)) == expected


def test_what_cannot_be_executed_raises_and_leaves_no_descriptor_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        NodeProcess(("/no/such/program",), Path("/"), {})
    assert len(os.listdir("/proc/self/fd")) == before


def test_nothing_stays_open_after_the_end() -> None:
    before = len(os.listdir("/proc/self/fd"))
    reap(spawn("pass"))
    assert len(os.listdir("/proc/self/fd")) == before


DIES_AT_ONCE = """
import os, sys
from pathlib import Path
from dora.daemon.process import NodeProcess
def die(pid):
    print(pid, flush=True)
    os.kill(os.getpid(), 9)
os.pidfd_open = die
NodeProcess(("sleep", "1000"), Path("/"), dict(os.environ))
"""


def test_a_program_ends_even_if_the_daemon_dies_in_the_moment_in_which_it_starts_it() -> None:
    died = subprocess.run([sys.executable, "-c", DIES_AT_ONCE], stdout=subprocess.PIPE, check=False)
    assert died.returncode == -signal.SIGKILL
    wait_gone([int(died.stdout)])


def test_a_child_that_a_node_leaves_behind_ends_with_it() -> None:
    process = spawn(FORKING.format(end="sys.exit(0)"))
    os.set_blocking(process.stdout, True)
    _leader, child = map(int, read_line(process.stdout).split())
    assert reap(process) == 0
    wait_gone([child])


def test_a_signal_reaches_the_whole_group() -> None:
    process = spawn(FORKING.format(end="time.sleep(1000)"))
    os.set_blocking(process.stdout, True)
    _leader, child = map(int, read_line(process.stdout).split())
    process.signal_group(signal.SIGTERM)
    assert reap(process) == -signal.SIGTERM
    wait_gone([child])


def test_a_node_is_not_reached_by_the_terminals_ctrl_c() -> None:
    process = spawn("import os; print(os.getpgrp(), flush=True)")
    os.set_blocking(process.stdout, True)
    assert read_line(process.stdout) == str(process.pid)
    reap(process)


@pytest.mark.parametrize(
    "code",
    [
        FORKING.format(end="time.sleep(1000)"),
        "import signal, time\nfor n in (2, 15, 1): signal.signal(n, signal.SIG_IGN)\n"
        "print(__import__('os').getpid(), flush=True)\ntime.sleep(1000)",
        "import os\nprint(os.getpid(), flush=True)\nwhile True: pass",
    ],
    ids=["with a child", "ignoring signals", "busy"],
)
def test_nodes_end_at_once_when_their_daemon_is_killed(code: str) -> None:
    daemon = subprocess.Popen(
        [sys.executable, "-c", SPAWNER, code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert daemon.stdin is not None
    assert daemon.stdout is not None
    with daemon.stdin, daemon.stdout:
        pids = [int(word) for word in read_line(daemon.stdout.fileno()).split()]
        daemon.kill()
        daemon.wait(20)
        wait_gone(pids)

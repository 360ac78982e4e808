"""Nodes that do what no node should: the others and the daemon go on, and nothing is left."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from fault_rig import LONG, Flow, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANY = 1_000_000 if LONG else 20_000
PRINTED_BYTES = 1_000_000_000 if LONG else 10_000_000
LINE_CHARS = 100
MIB = 1 << 20

_HARMLESS = {"CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "WINCH"}
DEADLY = sorted(
    set(range(1, signal.SIGRTMAX + 1)) - {getattr(signal, f"SIG{name}") for name in _HARMLESS}
)
STATUSES = range(256) if LONG else (0, 1, 2, 127, 128, 137, 255)
SIGNALS = DEADLY if LONG else [1, 2, 6, 9, 11, 13, 15, 43, 64]


# ---- descriptors ----


@pytest.mark.parametrize("way", ["reads", "polls"])
def test_a_node_that_closed_all_descriptors_ends_when_its_control_socket_does(
    way: str, tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    """It has cut its lifeline by that, so that no signal comes when the daemon dies."""
    work = {
        "reads": "for event in node: pass",
        "polls": "while (node.try_recv() or {}).get('type') != 'STOP': node.send_output('out', 1)",
    }
    bare = f"""
        os.closerange(0, 1 << 16)
        from dora import Node
        node = Node()
        say("dataflow", node.dataflow_id())
        {work[way]}
    """
    nodes = {"bare": (bare, {"inputs": {"tick": "dora/timer/millis/50"}, "outputs": ["out"]})}
    with Flow(tmp_path, nodes) as flow:
        process = flow.start()
        flow.heard("dataflow")
        flow.kill(process.pid)
        assert flow.end()[0] == -9
    measured(f"a node closes all descriptors and {way}, then its daemon is killed", "1 kill")


def test_a_node_that_closes_all_descriptors_at_work_fails_alone(tmp_path: Path) -> None:
    cuts = """
        from dora import Node
        node = Node()
        say("dataflow", node.dataflow_id())
        os.closerange(0, 1 << 16)
        for event in node:
            pass
    """
    other = """
        from dora import Node
        say("got", [event["type"] for event in Node()])
    """
    nodes = {"cuts": (cuts, {"outputs": ["out"]}), "other": (other, {"inputs": {"in": "cuts/out"}})}
    with Flow(tmp_path, nodes) as flow:
        flow.start()
        assert flow.heard("got")[0] == ["NODE_FAILED", "INPUT_CLOSED", "STOP"]
        status, _, err = flow.end()
        assert status == 1
        assert "cuts" in err


def test_children_that_a_node_leaves_behind_at_its_end_are_ended(tmp_path: Path) -> None:
    leaves = """
        from dora import Node
        node = Node()
        say("dataflow", node.dataflow_id())
        for _ in range(20):
            say("child", fork_a_child())
        say("forked")
    """
    with Flow(tmp_path, {"leaves": (leaves, {"outputs": ["out"]})}) as flow:
        flow.start()
        flow.heard("forked")
        status, _, err = flow.end()
        assert status == 0, err
        assert len(flow.children) == 20


# ---- output ----


def test_a_node_that_prints_without_end_costs_no_memory_and_loses_no_line(
    tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    lines = PRINTED_BYTES // LINE_CHARS
    prints = f"""
        from dora import Node
        node = Node()
        say("dataflow", node.dataflow_id())
        say("begins")
        block = ("x" * {LINE_CHARS - 1} + "\\n") * 100
        for _ in range({lines // 100}):
            sys.stdout.write(block)
        sys.stdout.flush()
        say("printed")
        for event in node:
            pass
    """
    with Flow(tmp_path, {"prints": (prints, {"inputs": {"t": "dora/timer/secs/60"}})}) as flow:
        with (tmp_path / "shown").open("wb") as shown:
            process = flow.start(stdout=shown)
            flow.heard("begins")
            before = resident_bytes(process.pid)
            began_s = time.monotonic()
            flow.heard("printed")
            took_s = time.monotonic() - began_s
            peak = resident_bytes(process.pid, "VmHWM")
            process.send_signal(signal.SIGINT)
            status, _, err = flow.end()
        assert status == 0, err
        assert peak - before < 64 * MIB
        (log,) = tmp_path.glob("out/*/log_prints-*.jsonl")
        assert _count(log) == lines
        assert _count(tmp_path / "shown") >= lines
        log.unlink()
        (tmp_path / "shown").unlink()
    measured(
        "a node prints without end",
        f"{PRINTED_BYTES / 1e6:,.0f} MB in {lines:,} lines, {took_s:.0f} s, none lost; memory of "
        f"the daemon {before / MIB:.0f} MiB before, {peak / MIB:.0f} MiB at most",
    )


# ---- nobody reads ----

FLOODS = f"""
    from dora import Node
    import numpy as np
    node = Node()
    say("dataflow", node.dataflow_id())
    small, large = np.zeros(4), np.zeros(20_000, np.uint8)
    for _ in range(1000):
        node.send_output("out", small)
        node.send_output("out", large)
    os.kill(os.getpid(), signal.SIGSTOP)
    def resident():
        for line in open("/proc/self/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1])
    before = resident()
    for number in range({MANY} // 2):
        node.send_output("out", small)
        node.send_output("out", large)
    say("sent", before, resident(), node._sender.arena.held)
"""


@pytest.mark.parametrize("fate", ["never reads", "was killed", "was killed, lossless"])
def test_a_sender_to_one_that_does_not_read_goes_on_and_keeps_its_size(
    fate: str, tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    deaf = "from dora import Node; node = Node(); say('up'); signal.pause()"
    if fate == "was killed, lossless":
        deaf = """
            from dora import Node
            for event in Node():
                pass
        """
    how = {"queue_policy": "backpressure"} if "lossless" in fate else {}
    nodes = {
        "floods": (FLOODS, {"outputs": ["out"]}),
        "deaf": (deaf, {"inputs": {"in": {"source": "floods/out", "queue_size": 5, **how}}}),
    }
    with Flow(tmp_path, nodes) as flow:
        flow.start()
        flow.stopped("floods")
        flow.heard("spawned", "deaf")
        if "killed" in fate:
            flow.kill(flow.pids["deaf"])
            flow.reaped("deaf")
        flow.signal("floods", signal.SIGCONT)
        began_s = time.monotonic()
        before, after, held = flow.heard("sent")
        took_s = time.monotonic() - began_s
        assert after - before < 32 << 10, "KiB"
        assert held <= 7
        if "killed" not in fate:
            flow.kill(flow.pids["deaf"])
        status, _, err = flow.end()
        assert status == 1
        assert "deaf" in err
    measured(
        f"a sender whose receiver {fate}",
        f"{MANY:,} messages, half of them 20 kB, in {took_s:.1f} s; memory of the sender "
        f"{before >> 10} MiB before, {after >> 10} MiB after",
    )


@pytest.mark.skipif(not LONG, reason="takes the whole stop grace of 10 s: `make test-faults`")
def test_a_node_that_never_calls_next_is_ended_by_a_signal_after_the_grace(
    tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    deaf = "from dora import Node; node = Node(); say('dataflow', node.dataflow_id())"
    deaf += "\nwhile True: signal.pause()"
    with Flow(tmp_path, {"deaf": (deaf, {"inputs": {"t": "dora/timer/millis/10"}})}) as flow:
        process = flow.start()
        flow.heard("dataflow")
        process.send_signal(signal.SIGINT)
        began_s = time.monotonic()
        status, out, err = flow.end()
        took_s = time.monotonic() - began_s
        assert status == 0, err
        assert "did not end within 10 s: SIGTERM" in out + err
        assert 10 <= took_s < 15
    measured("a node that never calls `next()` is stopped", f"ended by SIGTERM in {took_s:.1f} s")


# ---- ends ----

ENDS = """
    import resource
    from dora import Node
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    node = Node()
    kind, number = os.environ["END"].split()
    if kind == "status":
        os._exit(int(number))
    if int(number) not in (32, 33, signal.SIGKILL):  # Python may not touch those
        signal.signal(int(number), signal.SIG_DFL)
    os.kill(os.getpid(), int(number))
    signal.pause()
"""


@pytest.mark.parametrize("kind", ["status", "signal"])
def test_every_end_of_a_node_is_told_as_it_was(
    kind: str, tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    numbers = STATUSES if kind == "status" else SIGNALS
    nodes = {
        f"n{number}": (ENDS, {"env": {"END": f"{kind} {number}", "FLOW_NODE": f"n{number}"}})
        for number in numbers
    }
    with Flow(tmp_path, nodes) as flow:
        flow.start()
        status, _, err = flow.end()
        assert status == 1
        told = dict(re.findall(rf"Node `n(\d+)-{flow.tag}` failed: (exited .*)", err))
        expected = {str(number): _words(kind, number) for number in numbers if _fails(kind, number)}
        assert told == expected
    every = "every exit status, 0 to 255" if kind == "status" else "every signal that ends it"
    measured(f"a node ends with {every}", f"{len(list(numbers))} nodes in one dataflow, each told")


def _fails(kind: str, number: int) -> bool:
    return kind == "signal" or number != 0


def _words(kind: str, number: int) -> str:
    if kind == "status":
        return f"exited with code {number}"
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"number {number}"
    return f"exited because of signal {name}"


def _count(file: Path) -> int:
    out = subprocess.run(["wc", "-l", file], capture_output=True, check=True, text=True)
    return int(out.stdout.split()[0])

"""What it costs to have `dora top` open on 30 nodes: CPU of itself, of the daemon, of the nodes.

Closed, full screen and plain tables in turn, on a terminal of 160 x 50; medians of the rounds.

    python bench/top.py [ROUNDS]
"""

import fcntl
import os
import pty
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 20
CHAINS = 6
DORA = Path(sys.executable).with_name("dora")

CHAIN = """\
  - {{id: camera_{n}, path: send.py, inputs: {{tick: dora/timer/millis/33}}, outputs: [a, b]}}
  - {{id: detector_{n}, path: send.py, inputs: {{a: camera_{n}/a}}, outputs: [a]}}
  - {{id: tracker_{n}, path: send.py, inputs: {{a: detector_{n}/a, b: camera_{n}/b}}, outputs: [a]}}
  - {{id: filter_{n}, path: send.py, inputs: {{a: tracker_{n}/a}}, outputs: [a]}}
  - {{id: sink_{n}, path: send.py, inputs: {{a: filter_{n}/a, b: detector_{n}/a}}}}
"""
SEND = """\
import numpy as np
from dora import Node

node = Node()
outputs = node.node_config()["outputs"]
for event in node:
    if event["type"] == "INPUT":
        for output in outputs:
            node.send_output(output, np.zeros((40, 40), np.float32))
"""


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def dataflow(folder: Path) -> Iterator[int]:
    """The pid of a `dora run`, whose nodes have all come."""
    (folder / "send.py").write_text(SEND)
    chains = "".join(CHAIN.format(n=n) for n in range(CHAINS))
    (folder / "thirty.yml").write_text(f"nodes:\n{chains}")
    env = os.environ | {"DORA_RUNTIME_DIR": str(folder)}
    with subprocess.Popen([DORA, "run", "thirty.yml"], cwd=folder, env=env) as running:
        try:
            time.sleep(20)
            yield running.pid
        finally:
            running.send_signal(signal.SIGTERM)


@contextmanager
def top(folder: Path, term: str) -> Iterator[tuple[int, list[int]]]:
    """The pid of a `dora top`, and how many bytes it has written, piece by piece."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
    env = os.environ | {"DORA_RUNTIME_DIR": str(folder), "TERM": term}
    written: list[int] = []

    def drain() -> None:
        try:
            while data := os.read(ours, 1 << 16):
                written.append(len(data))
        except OSError:
            return  # it has ended

    with subprocess.Popen(
        [DORA, "top"], env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as shown:
        os.close(theirs)
        threading.Thread(target=drain, daemon=True).start()
        time.sleep(6)
        yield shown.pid, written
        shown.terminate()
    os.close(ours)


def percents(pids: list[list[int]]) -> list[float]:
    """CPU of groups of processes over a while, percent of one core."""
    before = [sum(map(cpu_s, group)) for group in pids]
    time.sleep(SECONDS)
    after = [sum(map(cpu_s, group)) for group in pids]
    return [100 * (b - a) / SECONDS for a, b in zip(before, after, strict=True)]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    rows: dict[str, list[list[float]]] = {"closed": [], "xterm-256color": [], "dumb": []}
    with tempfile.TemporaryDirectory() as name, dataflow(Path(name)) as daemon:
        nodes = children(daemon)
        print(f"{len(nodes)} nodes")
        for _ in range(rounds):
            rows["closed"].append([0.0, *percents([[daemon], nodes]), 0.0])
            for term in ("xterm-256color", "dumb"):
                with top(Path(name), term) as (pid, written):
                    start = sum(written)
                    used = percents([[pid], [daemon], nodes])
                    rows[term].append([*used, (sum(written) - start) / SECONDS / 1e3])
    print(f"{'':>14} {'top %':>8} {'daemon %':>8} {'nodes %':>8} {'kB/s':>8}")
    for kind, found in rows.items():
        medians = [statistics.median(column) for column in zip(*found, strict=True)]
        print(f"{kind:>14} " + " ".join(f"{median:>8.2f}" for median in medians))


if __name__ == "__main__":
    main()

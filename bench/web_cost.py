"""What one open web page costs a dataflow of 30 nodes: CPU of nodes and daemon, with and without.

    python bench/web_cost.py [--rounds 20] [--seconds 3]
    python bench/web_cost.py --pictures

A page is played: it does what `static/store.js` does, and answers each preview at once. Modes take
turns in each round, so that a busy machine is as busy for all; medians over the rounds. CPU is that
of all nodes and the daemon together, in percent of one core, from the kernel's scheduler
(`/proc/PID/schedstat`, nanoseconds). Nodes do not spin (`DORA_SPIN_US=0`), since how long they do
depends on who else computes. Needs the extra `web`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import connect

from dora import client
from dora.transport.arena import Arena, create_memory, reopen_read_only
from dora.transport.edge import SendingEdge, close_pipes, open_pipes
from dora.transport.sender import Sender
from dora.web.pictures import picture
from dora.wire.payload import encode

CAMERA = """
import numpy as np
from dora import Node
coarse = np.random.default_rng(1).integers(0, 255, (72, 128, 3), np.uint8)
frame = coarse.repeat(10, 0).repeat(10, 1)
node = Node()
for event in node:
    if event["type"] == "INPUT":
        node.send_output("out", frame, {"encoding": "rgb8"})
"""
NUMBERS = """
import numpy as np
from dora import Node
node = Node()
for event in node:
    if event["type"] == "INPUT":
        node.send_output("out", np.arange(6.0))
"""
PASS_ON = """
from dora import Node
node = Node()
for event in node:
    if event["type"] == "INPUT":
        node.send_output("out", event["value"])
"""
MODES = ("no page", "graph", "graph, image", "graph, image, plot")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--pictures", action="store_true", help="compare ways to send images")
    args = parser.parse_args()
    if args.pictures:
        print_pictures()
        return
    with tempfile.TemporaryDirectory() as folder:
        write_flow(Path(folder))
        os.environ["DORA_RUNTIME_DIR"] = f"{folder}/run"
        os.environ["DORA_STATE_DIR"] = f"{folder}/state"
        os.environ["DORA_SPIN_US"] = "0"
        run = start(["run", "flow.yml"], folder)
        web = start(["web", "--port", "0"], folder)
        try:
            assert web.stdout is not None
            port = int(web.stdout.readline().rsplit(b":", 1)[1].strip().strip(b"/"))
            measure(port, web.pid, args.rounds, args.seconds)
        finally:
            for process in (web, run):
                process.send_signal(signal.SIGINT)
                process.wait()


def write_flow(folder: Path) -> None:
    """30 nodes: a camera of 1280 x 720 at 30 Hz, 4 sources of numbers at 100 Hz, chains."""
    for name, code in (("camera", CAMERA), ("readings", NUMBERS), ("pass_on", PASS_ON)):
        (folder / f"{name}.py").write_text(code)
    nodes: list[dict[str, Any]] = [node("c0", "camera", "dora/timer/millis/33")]
    nodes += [node(f"c{at}", "readings", "dora/timer/millis/10") for at in range(1, 5)]
    for at in range(25):
        nodes.append(node(f"n{at}", "pass_on", f"{nodes[at]['id']}/out"))
    (folder / "flow.yml").write_text(json.dumps({"nodes": nodes}))


def node(name: str, file: str, source: str) -> dict[str, Any]:
    """A node with one input and one output."""
    return {"id": name, "path": f"{file}.py", "inputs": {"in": source}, "outputs": ["out"]}


def start(words: list[str], folder: str) -> subprocess.Popen[bytes]:
    """Start a command of dora."""
    command = [sys.executable, "-P", "-m", "dora", *words]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE if words[0] == "web" else subprocess.DEVNULL
    )


def measure(port: int, web: int, rounds: int, seconds: float) -> None:
    """Print what each mode costs."""
    state = running_state()
    pids = [one.pid for one in state.nodes if one.pid] + [state.dataflow.pid]
    flow, daemon = state.dataflow.id, state.dataflow.pid
    used: dict[str, list[tuple[float, float, float]]] = {mode: [] for mode in MODES}
    for _ in range(rounds):
        for mode in MODES:
            outputs = [o for o, word in (("c0/out", "image"), ("c1/out", "plot")) if word in mode]
            page = None if mode == "no page" else Page(port, flow, outputs)
            time.sleep(1)
            before = cpu_s(pids), cpu_s([daemon]), cpu_s([web]), time.monotonic()
            time.sleep(seconds)
            after = cpu_s(pids), cpu_s([daemon]), cpu_s([web]), time.monotonic()
            over = after[3] - before[3]
            used[mode].append(tuple(100 * (after[i] - before[i]) / over for i in range(3)))  # type: ignore[arg-type]
            if page is not None:
                page.close()
    print(
        f"{len(state.nodes)} nodes, {rounds} rounds of {seconds:g} s; percent of one core, medians"
    )
    print(f"{'':22} {'dataflow':>9} {'more':>7} {'(quartiles)':>16} {'daemon':>7} {'server':>7}")
    for mode in MODES:
        total, own, server = (statistics.median(column) for column in zip(*used[mode], strict=True))
        pairs = zip(used[mode], used["no page"], strict=True)
        low, more, high = statistics.quantiles([now[0] - without[0] for now, without in pairs])
        spread = f"({low:+.2f}, {high:+.2f})"
        print(f"{mode:22} {total:9.2f} {more:+7.2f} {spread:>16} {own:7.2f} {server:7.2f}")


def running_state() -> Any:
    """The dataflow, when all its nodes run."""
    while True:
        flows = client.running()
        if flows:
            with client.connect() as connected:
                state = connected.state()
            if all(one.state == "running" for one in state.nodes):
                return state
        time.sleep(0.2)


def cpu_s(pids: list[int]) -> float:
    """CPU that all threads of these processes have used."""
    used = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            used += int((task / "schedstat").read_text().split()[0])
    return used / 1e9


def tap_us() -> float:
    """What sending to one reader takes, with a tap that is full, less what without."""
    pipes = [open_pipes(size) for size in (10, 1)]
    memory = create_memory("bench", 1 << 30)
    read_only = reopen_read_only(memory)
    sender = Sender(Arena(memory, 1, 1 << 30))
    sender.add_output("image", [], memoryview(bytearray(16)).cast("Q"))
    numbers = np.zeros(1000)  # what a tap costs does not depend on the size
    used: list[list[float]] = [[], []]
    for at, one in enumerate(pipes):
        fds = map(os.dup, (one.ticket_write, one.ticket_read, one.return_read))
        counters = memoryview(bytearray(24)).cast("Q")
        edge = SendingEdge(
            at, *fds, one.queue_size, backpressure=False, arena=sender.arena, counters=counters
        )
        sender.add_route("image", edge)
        for _ in range(5000):
            started = time.thread_time()
            sender.send("image", encode(numbers), b"")
            used[at].append(time.thread_time() - started)
    sender.close()
    for one in pipes:
        close_pipes(one)
    os.close(read_only)
    without, with_tap = (statistics.median(times) for times in used)
    return (with_tap - without) * 1e6


def print_pictures() -> None:
    """What a frame of 1280 x 720 takes to make ready for a browser, and to send."""
    y, x = np.mgrid[0:720, 0:1280]
    smooth = np.stack([x * 0.2 % 256, y * 0.35 % 256, (x + y) % 256], -1).astype(np.uint8)
    coarse = np.random.default_rng(1).integers(0, 255, (72, 128, 3), np.uint8)
    for name, frame in (("smooth", smooth), ("blocks", coarse.repeat(10, 0).repeat(10, 1))):
        for kind, make in (("JPEG", lambda one: picture(one).content), ("RGBA", rgba)):
            times = []
            for _ in range(50):
                started = time.thread_time()
                content = make(frame)
                times.append(time.thread_time() - started)
            took_ms = statistics.median(times) * 1e3
            print(f"{name} {kind}: {took_ms:.1f} ms of CPU, {len(content):,} bytes to send")


def rgba(frame: np.ndarray[Any, Any]) -> bytes:
    """As a canvas takes it."""
    pixels = np.empty((*frame.shape[:2], 4), np.uint8)
    pixels[..., :3] = frame
    pixels[..., 3] = 255
    return pixels.tobytes()


class Page:
    """An open page that looks at outputs."""

    def __init__(self, port: int, flow: str, outputs: list[str]) -> None:
        self._over = False
        self.shown = 0
        self._thread = threading.Thread(target=self._run, args=(port, flow, outputs))
        self._thread.start()

    def close(self) -> None:
        """Close it."""
        self._over = True
        self._thread.join()

    def _run(self, port: int, flow: str, outputs: list[str]) -> None:
        with connect(f"ws://localhost:{port}/ws", max_size=None) as socket:
            while '"t":"flows"' not in str(socket.recv()):
                pass
            socket.send(json.dumps({"t": "watch", "flow": flow}))
            for output in outputs:
                socket.send(json.dumps({"t": "peek", "output": output}))
            while not self._over:
                data = socket.recv()
                head = data[4:200] if isinstance(data, bytes) else data[:200].encode()
                for output in outputs:
                    if f'"output":"{output}"'.encode() in head and b'"preview"' in head:
                        self.shown += 1
                        socket.send(json.dumps({"t": "shown", "output": output}))


if __name__ == "__main__":
    main()

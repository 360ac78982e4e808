"""What a replay achieves: MB/s with `--max`, and by how much messages miss their recorded moments.

    python bench/replay.py [GIGABYTES]

The file holds images of 1280 x 720 x 3, uncompressed, in the page cache. Beside the rate stands
that of copying the same images once from the file into memory, measured in between.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dora.recording.message import RecordedMessage
from dora.recording.reader import Recording
from dora.recording.writer import About, RecordingWriter
from dora.wire import metadata
from dora.wire.payload import array_header

DORA = Path(sys.executable).with_name("dora")
SHAPE = (720, 1280, 3)
ROUNDS = 5

FLOW = """nodes:
  - {id: camera, outputs: [image]}
  - id: sink
    path: sink.py
    inputs: {image: camera/image}
"""
SINK = """from dora import Node
for event in Node():
    pass
"""


def main() -> None:
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    with tempfile.TemporaryDirectory() as folder:
        flow = Path(folder) / "flow.yml"
        flow.write_text(FLOW)
        (flow.parent / "sink.py").write_text(SINK)
        large = flow.parent / "large.mcap"
        count = write(large, flow, SHAPE, round(gigabytes * 1e9 / np.prod(SHAPE)), 33_333_333)
        rates, copies = [], []
        for _ in range(ROUNDS):
            copies.append(copy_rate(large))
            rates.append(float(found(r": ([\d,]+) MB/s", replay(large, "--max")).replace(",", "")))
        print(f"\n== replay --max, {count} images, {large.stat().st_size / 1e9:.2f} GB ==")
        print(f"replay {statistics.median(rates):8,.0f} MB/s   {sorted(round(r) for r in rates)}")
        print(f"copy   {statistics.median(copies):8,.0f} MB/s   {sorted(map(round, copies))}")
        small = flow.parent / "small.mcap"
        print("\n== off the recorded time, speed 1, 5 s ==")
        print(f"{'bytes':>10} {'rate':>8} {'p50 ms':>8} {'p99 ms':>8}")
        for shape, rate in (((8,), 100), ((8,), 1000), (SHAPE, 30)):
            write(small, flow, shape, 5 * rate, 10**9 // rate)
            told = replay(small)
            p50, p99 = (found(rf"([\d.]+) ms \({p}\)", told) for p in ("p50", "p99"))
            print(f"{np.prod(shape):>10} {rate:>5} Hz {p50:>8} {p99:>8}")


def write(path: Path, flow: Path, shape: tuple[int, ...], count: int, gap_ns: int) -> int:
    """A recording of so many arrays, evenly spaced."""
    payload = np.random.default_rng(0).integers(0, 255, shape, np.uint8).tobytes()
    header = array_header(np.dtype(np.uint8), shape)
    about = About(name="flow", file=str(flow), text=flow.read_bytes())
    begin = 1_790_000_000 * 10**9
    with RecordingWriter(path, about, force=True) as writer:
        for number in range(count):
            at = begin + number * gap_ns
            facts = metadata.encode({"number": number})
            writer.add(RecordedMessage("camera/image", header, payload, facts, at, at))
    return count


def copy_rate(path: Path) -> float:
    """MB/s of copying each payload of a recording into the same memory."""
    target = np.empty(np.prod(SHAPE), np.uint8)
    size = 0
    with Recording(path) as recording:
        begin = time.perf_counter()
        for message in recording.messages():
            np.copyto(target, np.frombuffer(message.view, np.uint8))
            size += target.nbytes
        return size / (time.perf_counter() - begin) / 1e6


def replay(path: Path, *flags: str) -> str:
    ran = subprocess.run([DORA, "replay", path, *flags], capture_output=True, text=True, check=True)
    return ran.stderr


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, text
    return match[1]


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What recording costs: cameras into a file, a round trip that is recorded, reading the file back.

    record.py [--seconds 10] [--folder DIR] [--only cameras,roundtrip,read] [--rounds 2000]

Runs the `dora` of the environment of this Python. Files go into a folder of their own under DIR
(else the system's for temporary files), and are removed. Ratios compare runs that alternate.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
DORA = Path(sys.executable).with_name("dora")
CAMERAS = 4
FRAME_BYTES = 1280 * 720 * 3
HZ = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--only", default="cameras,roundtrip,read")
    args = parser.parse_args()
    wanted = args.only.split(",")
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        if "cameras" in wanted:
            for compression in ("none", "lz4", "zstd"):
                cameras(folder, compression, args.seconds)
        if "roundtrip" in wanted:
            roundtrip(folder, args.rounds, args.repeat)
        if "read" in wanted:
            read(folder)


def cameras(folder: Path, compression: str, seconds: int) -> None:
    """Four cameras, 332 MB/s, into a file."""
    count = seconds * HZ
    flow = {
        "nodes": [
            {
                "id": f"camera{number}",
                "path": str(HERE / "record_nodes" / "camera.py"),
                "inputs": {"tick": f"dora/timer/hz/{HZ}"},
                "outputs": ["image"],
                "env": {"COUNT": str(count)},
            }
            for number in range(CAMERAS)
        ]
    }
    file = folder / "cameras.mcap"
    took, cpu = record(folder, flow, file, compression)
    found = info(file)
    sent = found["messages"] + sum(found["lost"].values())
    span = (found["end_ns"] - found["start_ns"]) / 1e9
    print(
        f"cameras, {compression}: {found['messages']} of {sent} recorded, "
        f"{sent - found['messages']} lost; {sent * FRAME_BYTES / span / 1e6:.0f} MB/s sent for "
        f"{span:.1f} s (asked: {CAMERAS * HZ * FRAME_BYTES / 1e6:.0f}); recorder {cpu / span:.0%} "
        f"of a core; file {found['size_bytes'] / 1e9:.2f} GB; whole run {took:.1f} s",
        flush=True,
    )
    file.unlink()


def roundtrip(folder: Path, rounds: int, repeat: int) -> None:
    """The same round trips with and without a recorder, by turns."""
    for size, hz in ((8, 0), (8, 100), (921_600, 30)):
        found: dict[str, list[float]] = {"run": [], "record": []}
        for way in [*found] * repeat:
            result = folder / "times.json"
            flow = pingpong(result, size, hz, rounds if not hz else min(rounds, int(5 * hz)))
            if way == "run":
                run(folder, flow, "run")
            else:
                record(folder, flow, folder / "trip.mcap", "none")
                (folder / "trip.mcap").unlink()
            found[way] += json.loads(result.read_text())
        plain, recorded = (statistics.median(times) for times in found.values())
        least, least_recorded = (statistics.quantiles(t, n=10)[0] for t in found.values())
        paced = f"{hz} a second" if hz else "back to back"
        print(
            f"round trip of {size} B, {paced}: p50 {plain:.0f} us, recorded {recorded:.0f} us "
            f"(x{recorded / plain:.2f}); p10 {least:.0f} and {least_recorded:.0f} us "
            f"(x{least_recorded / least:.2f})",
            flush=True,
        )


def pingpong(result: Path, size: int, hz: float, rounds: int) -> dict:
    """A message and its echo."""
    env = {"BENCH_OUT": str(result), "SIZE": str(size), "HZ": str(hz), "ROUNDS": str(rounds)}
    return {
        "nodes": [
            {
                "id": "ping",
                "path": str(HERE / "record_nodes" / "ping.py"),
                "inputs": {"pong": "pong/pong"},
                "outputs": ["ping"],
                "env": env,
            },
            {
                "id": "pong",
                "path": str(HERE / "nodes" / "pong.py"),
                "inputs": {"ping": "ping/ping"},
                "outputs": ["pong"],
            },
        ]
    }


def read(folder: Path) -> None:
    """A file of 1 GB: what is in it, and all messages of it."""
    import numpy as np

    from dora.recording.message import RecordedMessage
    from dora.recording.reader import Recording
    from dora.recording.writer import RecordingWriter
    from dora.wire.payload import array_header

    picture = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    header = array_header(picture.dtype, picture.shape)
    for compression in ("none", "lz4", "zstd"):
        file = folder / "read.mcap"
        with RecordingWriter(file, compression=compression) as writer:
            for at in range(-(-(10**9) // FRAME_BYTES)):
                payload = memoryview(picture).cast("B")
                writer.add(RecordedMessage("camera/image", header, payload, b"", at, at, at))
        start = time.perf_counter()
        subprocess.run([DORA, "mcap", "info", file], check=True, stdout=subprocess.DEVNULL)
        told = time.perf_counter() - start
        start = time.perf_counter()
        with Recording(file) as recording:
            size = sum(int(one.value().nbytes) for one in recording.messages())
        rate = size / (time.perf_counter() - start) / 1e6
        print(
            f"read, {compression}: `dora mcap info` of {file.stat().st_size / 1e9:.2f} GB "
            f"{told:.2f} s; all messages {rate:.0f} MB/s",
            flush=True,
        )
        file.unlink()


def record(folder: Path, flow: dict, file: Path, compression: str) -> tuple[float, float]:
    """Run a dataflow recorded; how long it took, and CPU time of the recorder's process."""
    flags = ["--output", str(file), "--compression", compression]
    return run(folder, flow, "record", *flags)


def run(folder: Path, flow: dict, *command: str) -> tuple[float, float]:
    """Run a dataflow; how long it took, and CPU time of the process that runs it."""
    path = folder / "flow.yml"
    path.write_text(json.dumps(flow))
    start = time.perf_counter()
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [DORA, command[0], str(path), *command[1:]], cwd=folder, stdout=out, stderr=out
        )
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        took = time.perf_counter() - start
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        status = process.wait()
    if status:
        sys.exit(log.read_text())
    return took, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def info(file: Path) -> dict:
    """What `dora mcap info` says of a file."""
    return json.loads(subprocess.check_output([DORA, "mcap", "info", file, "--format", "json"]))


if __name__ == "__main__":
    main()

"""A recorded dataflow and its nodes, and the command that replays it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dora.recording.writer import About, RecordingWriter

from .messages import SECOND, START, message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dora.recording.message import RecordedMessage

DORA = Path(sys.executable).with_name("dora")
DEADLINE_S = 50

FLOW = """\
nodes:
  - id: camera
    path: camera.py
    inputs:
      tick: dora/timer/millis/10
    outputs: [image, facts]
    env:
      DEVICE: 0
  - id: sink
    path: sink.py
    inputs:
      image: {source: camera/image, queue_size: 100}
      facts: {source: camera/facts, queue_size: 100}
"""

SINK = """\
import pickle
import pyarrow as pa
from dora import Node

got = []
for event in Node():
    if event["type"] == "INPUT":
        value = event["value"]
        plain = value.to_pylist() if isinstance(value, pa.Array) else (value.shape, value.tobytes())
        facts = {k: v for k, v in event["metadata"].items() if k != "timestamp"}
        got.append((event["id"], facts, plain))
        print("got", len(got), flush=True)
with open("got.pickle", "wb") as file:
    pickle.dump(got, file)
"""


def write_flow(folder: Path, flow: str = FLOW, **nodes: str) -> Path:
    """A dataflow file with its nodes, but for the camera's, which is not here any more."""
    folder.mkdir(exist_ok=True)
    for name, text in (nodes or {"sink": SINK}).items():
        (folder / f"{name}.py").write_text(text)
    path = folder / "flow.yml"
    path.write_text(flow)
    return path


def record(path: Path, flow: Path | None, messages: Iterable[RecordedMessage]) -> Path:
    """A recording of these messages."""
    about = About()
    if flow is not None:
        about = About(dataflow_id="x", name="flow", file=str(flow), text=flow.read_bytes())
    with RecordingWriter(path, about) as writer:
        for one in messages:
            writer.add(one)
    return path


def numbered(topic: str, values: Iterable[Any], gap_ns: int, late_ns: int = 0) -> list[Any]:
    """Messages with so much time between them."""
    return [
        message(topic, value, {"number": at}, sent_ns=START + late_ns + at * gap_ns)
        for at, value in enumerate(values)
    ]


def interleaved(*messages: Iterable[RecordedMessage]) -> list[RecordedMessage]:
    """All of them in the order in which they were sent."""
    return sorted((one for some in messages for one in some), key=lambda one: one.sent_ns)


def dora(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command until it ends."""
    return subprocess.run(
        [DORA, *arguments],
        env=os.environ | {"TERM": "dumb"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        **options,
    )


__all__ = [
    "DEADLINE_S",
    "DORA",
    "FLOW",
    "SECOND",
    "SINK",
    "START",
    "dora",
    "interleaved",
    "numbered",
    "record",
    "write_flow",
]

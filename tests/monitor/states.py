"""States of a small dataflow: `camera/image` to `plot/image`, and a dynamic node `viewer`."""

from __future__ import annotations

from typing import Any

import msgspec

from dora.wire.board import LATENCY_BUCKETS
from dora.wire.visits import Dataflow, EdgeView, NodeView, OutputView, State

FLOW = Dataflow("0190-aa", "robot", ["camera", "plot", "viewer"], pid=4211)
CAMERA = NodeView(
    "camera",
    "running",
    71,
    dynamic=False,
    restarts=2,
    policy="on-failure",
    failed=False,
    command=["python", "-u", "camera.py"],
    inputs=["tick"],
    outputs=["image", "depth"],
    sources={"tick": "dora/timer/millis/33"},
    uptime_s=10.0,
    cpu_s=5.0,
    memory_bytes=86_400_000,
    disk_read_bytes=0,
    disk_write_bytes=1_000_000,
    path="camera.py",
    max_restarts=5,
)
PLOT = msgspec.structs.replace(
    CAMERA,
    id="plot",
    pid=72,
    restarts=0,
    policy="never",
    inputs=["image"],
    outputs=[],
    sources={"image": "camera/image"},
)
VIEWER = NodeView(
    "viewer",
    "absent",
    None,
    dynamic=True,
    restarts=0,
    policy="never",
    failed=False,
    command=[],
    inputs=[],
    outputs=[],
)
EDGE = EdgeView(
    0,
    "camera",
    "image",
    "plot",
    "image",
    queue_size=10,
    backpressure=False,
    open=True,
    sent=0,
    dropped=0,
    flushed=0,
    received=0,
    bytes=0,
    late=0,
    waiting=0,
    last_ns=0,
    latency=[0] * LATENCY_BUCKETS,
)
START = State(
    FLOW,
    "running",
    1_000_000_000,
    [CAMERA, PLOT, VIEWER],
    [OutputView("camera", "image", 0, 0), OutputView("camera", "depth", 0, 0)],
    [EDGE],
)


def delays(**counts: int) -> list[int]:
    """A histogram: `delays(k18=90)` has 90 messages in bucket 18."""
    buckets = [0] * LATENCY_BUCKETS
    for name, count in counts.items():
        buckets[int(name[1:])] = count
    return buckets


def later(before: State, span_s: float, edge: dict[str, Any], **camera: Any) -> State:
    """The same dataflow later, other in these fields of its edge and of `camera`."""
    replace = msgspec.structs.replace
    view = replace(before.edges[0], **edge)
    return replace(
        before,
        now_ns=before.now_ns + round(span_s * 1e9),
        nodes=[replace(before.nodes[0], **camera), *before.nodes[1:]],
        outputs=[OutputView("camera", "image", view.sent, view.bytes), *before.outputs[1:]],
        edges=[view],
    )


LATER = later(
    START,
    2.0,
    {
        "sent": 100,
        "dropped": 4,
        "received": 90,
        "bytes": 55_000_000,
        "late": 1,
        "waiting": 6,
        "latency": delays(k18=80, k20=10),
    },
    cpu_s=8.0,
    uptime_s=12.0,
    disk_write_bytes=5_000_000,
)
"""Two seconds later."""

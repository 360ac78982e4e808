"""Plans for tests, made by hand."""

from __future__ import annotations

import sys
from pathlib import Path

from dora.descriptor.plan import Command, LogSettings, NodePlan, Plan, Route

FAKE_NODE = Path(__file__).with_name("fake_node.py")


def node(
    node_id: str,
    *argv: str,
    inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = (),
    dynamic: bool = False,
    logs: LogSettings | None = None,
    cwd: Path = Path("/"),
    env: dict[str, str] | None = None,
) -> NodePlan:
    return NodePlan(
        id=node_id,
        command=None if dynamic else Command(argv or ("true",), cwd),
        env=env or {},
        outputs=outputs,
        inputs=inputs,
        timers=(),
        logs=logs or LogSettings(),
    )


def python(node_id: str, code: str, **ports: object) -> NodePlan:
    """A node that runs `code`, with nothing of dora in it."""
    return node(node_id, sys.executable, "-c", code, **ports)  # type: ignore[arg-type]


def fake(node_id: str, *steps: str, **ports: object) -> NodePlan:
    """A node that speaks the protocol by hand: see `fake_node.py`."""
    return node(node_id, sys.executable, str(FAKE_NODE), *steps, **ports)  # type: ignore[arg-type]


def plan(*nodes: NodePlan, routes: tuple[Route, ...] = (), working_dir: Path = Path("/")) -> Plan:
    return Plan(
        name="test",
        working_dir=working_dir,
        nodes=nodes,
        routes=routes,
        log_routes=(),
        exit_when_nodes_finish=False,
        descriptor={},
    )


def pair(**sizes: int) -> Plan:
    """`camera/image` to `plot/image`."""
    return plan(
        node("camera", outputs=("image",)),
        node("plot", inputs=("image",)),
        routes=(Route("camera", "image", "plot", "image", **sizes),),
    )

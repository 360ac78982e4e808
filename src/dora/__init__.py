"""Dataflows for robots and AI pipelines: each step a Python file, wired in YAML.

    from dora import Node

    node = Node()
    for event in node:
        if event["type"] == "INPUT":
            node.send_output("result", event["value"])

Names load on first use, so that `import dora` stays cheap.
"""

from __future__ import annotations

from dora.version import VERSION as __version__

TYPE_CHECKING = False  # for type checkers; importing `typing` would cost a third of `import dora`
if TYPE_CHECKING:
    from typing import Any

    from dora.errors import (
        ArenaFullError,
        DataflowFailedError,
        DescriptorError,
        DescriptorLimitError,
        DoraError,
        MetadataError,
        NodeClosedError,
        NodeInitError,
        OutputError,
        PayloadTypeError,
        ProtocolError,
        SampleError,
    )
    from dora.node.event_types import (
        ErrorEvent,
        Event,
        InputClosedEvent,
        InputEvent,
        InputRecoveredEvent,
        NodeFailedEvent,
        NodeRestartedEvent,
        StopEvent,
    )
    from dora.node.node import Node

__all__ = [
    "ArenaFullError",
    "DataflowFailedError",
    "DescriptorError",
    "DescriptorLimitError",
    "DoraError",
    "ErrorEvent",
    "Event",
    "InputClosedEvent",
    "InputEvent",
    "InputRecoveredEvent",
    "MetadataError",
    "Node",
    "NodeClosedError",
    "NodeFailedEvent",
    "NodeInitError",
    "NodeRestartedEvent",
    "OutputError",
    "PayloadTypeError",
    "ProtocolError",
    "SampleError",
    "StopEvent",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module `dora` has no attribute `{name}`")
    import importlib

    if name == "Node":
        home = "dora.node.node"
    elif name.endswith("Event"):
        home = "dora.node.event_types"
    else:
        home = "dora.errors"
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value

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

__author__ = "the dora-py authors"

TYPE_CHECKING = False  # for type checkers; importing `typing` would cost a third of `import dora`
if TYPE_CHECKING:
    from typing import Any

    from dora.errors import (
        ArenaFullError,
        DataflowFailedError,
        DescriptorError,
        DescriptorLimitError,
        DoraError,
        ExtensionError,
        InputError,
        InputFormatError,
        MetadataError,
        NodeClosedError,
        NodeInitError,
        OperatorError,
        OutputError,
        PayloadTypeError,
        ProtocolError,
        RemoteError,
        RequestEndedError,
        RequestError,
        RequestTimeoutError,
        SampleError,
        SimulationError,
        StreamEndedError,
        TypeCheckError,
    )
    from dora.node.event_types import (
        ErrorEvent,
        Event,
        ExternalEvent,
        InputClosedEvent,
        InputEvent,
        InputRecoveredEvent,
        NodeFailedEvent,
        NodeRestartedEvent,
        ParamDeletedEvent,
        ParamUpdateEvent,
        ReloadEvent,
        StopEvent,
    )
    from dora.node.node import Node
    from dora.node.operators import start_runtime
    from dora.node.status import DoraStatus
    from dora.running.calls import build, run

__all__ = [
    "ArenaFullError",
    "DataflowFailedError",
    "DescriptorError",
    "DescriptorLimitError",
    "DoraError",
    "DoraStatus",
    "ErrorEvent",
    "Event",
    "ExtensionError",
    "ExternalEvent",
    "InputClosedEvent",
    "InputError",
    "InputEvent",
    "InputFormatError",
    "InputRecoveredEvent",
    "MetadataError",
    "Node",
    "NodeClosedError",
    "NodeFailedEvent",
    "NodeInitError",
    "NodeRestartedEvent",
    "OperatorError",
    "OutputError",
    "ParamDeletedEvent",
    "ParamUpdateEvent",
    "PayloadTypeError",
    "ProtocolError",
    "ReloadEvent",
    "RemoteError",
    "RequestEndedError",
    "RequestError",
    "RequestTimeoutError",
    "SampleError",
    "SimulationError",
    "StopEvent",
    "StreamEndedError",
    "TypeCheckError",
    "__author__",
    "__version__",
    "build",
    "run",
    "start_runtime",
]

_HOMES = {
    "DoraStatus": "dora.node.status",
    "Node": "dora.node.node",
    "build": "dora.running.calls",
    "run": "dora.running.calls",
    "start_runtime": "dora.node.operators",
}
"""Where names live that are neither errors nor types of events."""
_SUBMODULES = {"builder", "testing"}


def __getattr__(name: str) -> Any:
    if name not in __all__ and name not in _SUBMODULES:
        raise AttributeError(f"module `dora` has no attribute `{name}`")
    import importlib

    if name in _SUBMODULES:
        return importlib.import_module(f"dora.{name}")
    if name in _HOMES:
        home = _HOMES[name]
    elif name.endswith("Event"):
        home = "dora.node.event_types"
    else:
        home = "dora.errors"
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value

"""The types of the events a node is handed, so that `match event["type"]` narrows.

Keys and names are those of dora-rs. The dicts themselves: `node.events`. A module of its own, since
type checkers need these classes and a running node does not.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypedDict


class InputEvent(TypedDict):
    """A message on an input, or a tick of a timer."""

    kind: Literal["dora"]
    type: Literal["INPUT"]
    id: str
    """The input's id."""
    value: Any
    """`np.ndarray` when a NumPy array was sent, else `pa.Array`; a read-only view."""
    metadata: dict[str, Any]
    """What the sender gave, with `timestamp` (UTC datetime of the send) and `type_info`."""


class InputClosedEvent(TypedDict):
    """Nothing more will come on an input (or nothing came for its `input_timeout`)."""

    kind: Literal["dora"]
    type: Literal["INPUT_CLOSED"]
    id: str


class InputRecoveredEvent(TypedDict):
    """An input that was closed by its `input_timeout` brings messages again."""

    kind: Literal["dora"]
    type: Literal["INPUT_RECOVERED"]
    id: str


class StopEvent(TypedDict):
    """The node is to end; the stream ends after this event."""

    kind: Literal["dora"]
    type: Literal["STOP"]
    id: Literal["MANUAL", "ALL_INPUTS_CLOSED"]


class ErrorEvent(TypedDict):
    """Something went wrong, or a timeout passed; the stream goes on."""

    kind: Literal["dora"]
    type: Literal["ERROR"]
    error: str


class NodeFailure(TypedDict):
    """What `NODE_FAILED` carries."""

    source_node_id: str
    error: str
    affected_input_ids: list[str]


class NodeFailedEvent(TypedDict):
    """A node that feeds some of this node's inputs failed."""

    kind: Literal["dora"]
    type: Literal["NODE_FAILED"]
    id: str
    """The node that failed."""
    value: NodeFailure


class NodeRestartedEvent(TypedDict):
    """A node that feeds some of this node's inputs was started again."""

    kind: Literal["dora"]
    type: Literal["NODE_RESTARTED"]
    id: str
    """The node that is back."""


class ReloadEvent(TypedDict):
    """An operator was made anew from its file, and keeps its attributes."""

    kind: Literal["dora"]
    type: Literal["RELOAD"]
    id: str
    """The operator."""


class ParamUpdateEvent(TypedDict):
    """A parameter of this node was set (`dora param set`)."""

    kind: Literal["dora"]
    type: Literal["PARAM_UPDATE"]
    id: str
    """The parameter."""
    value: Any
    """Its new value, decoded from JSON."""


class ParamDeletedEvent(TypedDict):
    """A parameter of this node was deleted (`dora param delete`)."""

    kind: Literal["dora"]
    type: Literal["PARAM_DELETED"]
    id: str
    """The parameter."""
    value: None


class ExternalEvent(TypedDict):
    """A value of an iterator that was merged by `merge_external_events`."""

    kind: Literal["external"]
    type: Literal["EXTERNAL"]
    """dora-rs has no `type` here; with it, `event["type"]` can be read of every event."""
    value: Any


Event: TypeAlias = (
    InputEvent
    | InputClosedEvent
    | InputRecoveredEvent
    | StopEvent
    | ErrorEvent
    | NodeFailedEvent
    | NodeRestartedEvent
    | ReloadEvent
    | ParamUpdateEvent
    | ParamDeletedEvent
    | ExternalEvent
)

"""Making the events a node is handed: plain dicts with dora-rs's keys.

Their types: `node.event_types`. INPUT is made where its ticket is read (`node.inputs`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Literal

    from dora.node.event_types import (
        ErrorEvent,
        ExternalEvent,
        InputClosedEvent,
        InputRecoveredEvent,
        ParamDeletedEvent,
        ParamUpdateEvent,
        ReloadEvent,
        StopEvent,
    )


def input_closed(input_id: str) -> InputClosedEvent:
    """The event that says an input is closed."""
    return {"kind": "dora", "id": input_id, "type": "INPUT_CLOSED"}


def input_recovered(input_id: str) -> InputRecoveredEvent:
    """The event that says an input is back."""
    return {"kind": "dora", "id": input_id, "type": "INPUT_RECOVERED"}


def stop(reason: Literal["MANUAL", "ALL_INPUTS_CLOSED"]) -> StopEvent:
    """The event that ends a stream."""
    return {"kind": "dora", "id": reason, "type": "STOP"}


def reload(operator: str) -> ReloadEvent:
    """The event that has an operator load its file again."""
    return {"kind": "dora", "id": operator, "type": "RELOAD"}


def param_update(key: str, value: Any) -> ParamUpdateEvent:
    """The event that brings the new value of a parameter."""
    return {"kind": "dora", "id": key, "type": "PARAM_UPDATE", "value": value}


def param_deleted(key: str) -> ParamDeletedEvent:
    """The event that says a parameter is gone."""
    return {"kind": "dora", "id": key, "type": "PARAM_DELETED", "value": None}


def error(text: str) -> ErrorEvent:
    """The event that tells of an error."""
    return {"kind": "dora", "type": "ERROR", "error": text}


def external(value: Any) -> ExternalEvent:
    """The event that brings a merged value."""
    return {"kind": "external", "type": "EXTERNAL", "value": value}


def timeout(timeout_s: float) -> ErrorEvent:
    """The event that a wait hands out when its time is over, in dora-rs's words."""
    return error(
        f"Timeout event stream error: Receiver timed out: no event arrived within {timeout_s:g} s"
    )

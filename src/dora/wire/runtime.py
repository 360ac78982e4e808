"""What a process that runs operators is told: the environment variable `DORA_RUNTIME_CONFIG`.

Written where a dataflow is planned, read by `node.operators`. Elsewhere: what every node is told
(`wire.messages`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from dora.errors import ProtocolError

VARIABLE = "DORA_RUNTIME_CONFIG"


class OperatorConfig(msgspec.Struct, frozen=True):
    """One operator. Its ports are named as it knows them: without its id in front."""

    id: str
    source: str
    """The absolute path of its Python file."""
    inputs: list[str] = []
    outputs: list[str] = []


class OperatorRestart(msgspec.Struct, frozen=True):
    """When an operator that failed is made anew, in the same process."""

    policy: Literal["never", "on-failure", "always"] = "never"
    max_restarts: int = 0
    """How often within `window_s`; 0 is without end."""
    delay_s: float | None = None
    """Before the first; each further one waits twice as long."""
    max_delay_s: float | None = None
    window_s: float | None = None


class RuntimeConfig(msgspec.Struct, frozen=True):
    """One node made of operators. On the wire its ports are `operator/port`."""

    node: str
    operators: list[OperatorConfig]
    restart: OperatorRestart = OperatorRestart()


def encode_runtime(config: RuntimeConfig) -> str:
    """The text of `DORA_RUNTIME_CONFIG`."""
    return msgspec.json.encode(config).decode()


def decode_runtime(text: str) -> RuntimeConfig:
    """Read `DORA_RUNTIME_CONFIG`.

    Raises:
        ProtocolError: it was not written by a dora of this kind.
    """
    try:
        return msgspec.json.decode(text, type=RuntimeConfig)
    except msgspec.MsgspecError as exc:
        raise ProtocolError(
            f"the environment variable `{VARIABLE}` is not of this dora's making: {exc}"
        ) from exc

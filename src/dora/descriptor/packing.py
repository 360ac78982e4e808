"""A plan as bytes, and back: how it travels to the daemon that runs it, and is kept.

Pure. Elsewhere: what is in a plan (`descriptor.plan`), who packs one (`cli`) and unpacks it
(`daemon`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from dora.descriptor.plan import Plan
from dora.errors import ProtocolError
from dora.wire.messages import GARBAGE


def pack_plan(plan: Plan) -> bytes:
    """A plan as msgpack."""
    return msgspec.msgpack.encode(plan, enc_hook=_plain)


def unpack_plan(packed: bytes) -> Plan:
    """The plan that was packed.

    Raises:
        ProtocolError: the bytes hold no plan of this version.
    """
    try:
        plan = msgspec.msgpack.decode(packed, type=Plan, dec_hook=_made)
    except GARBAGE as exc:
        raise ProtocolError(f"no plan of this version of dora: {exc}") from exc
    ids = [node.id for node in plan.nodes]
    if len(set(ids)) < len(ids):
        raise ProtocolError(f"no plan of dora: two nodes have one id, among {ids}")
    if any(node.command is not None and not node.command.argv for node in plan.nodes):
        raise ProtocolError("no plan of dora: a command without words")
    return plan


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"a plan holds a {type(value).__name__}")


def _made(wanted: type, value: Any) -> Any:
    if wanted is Path:
        return Path(value)
    raise NotImplementedError(f"a plan holds a {wanted.__name__}")

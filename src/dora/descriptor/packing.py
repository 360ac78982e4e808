"""A plan as bytes, and back: how it travels to the daemon that runs it, and is kept.

Pure. Elsewhere: what is in a plan (`descriptor.plan`), who packs one (`cli`) and unpacks it
(`daemon`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dora.descriptor.plan import Plan
from dora.errors import ProtocolError
from dora.wire.messages import GARBAGE

_T = TypeVar("_T", bound=msgspec.Struct)


def pack(value: msgspec.Struct) -> bytes:
    """A plan, or a value that holds plans, as msgpack."""
    return msgspec.msgpack.encode(value, enc_hook=_plain)


def unpack(packed: bytes, kind: type[_T], what: str) -> _T:
    """The value that was packed; `what` it is to be, in words.

    Raises:
        ProtocolError: the bytes hold none of this kind and version.
    """
    try:
        return msgspec.msgpack.decode(packed, type=kind, dec_hook=_made)
    except GARBAGE as exc:
        raise ProtocolError(f"no {what} of this version of dora: {exc}") from exc


def pack_plan(plan: Plan) -> bytes:
    """A plan as msgpack."""
    return pack(plan)


def unpack_plan(packed: bytes) -> Plan:
    """The plan that was packed.

    Raises:
        ProtocolError: the bytes hold no plan of this version.
    """
    return unpack(packed, Plan, "plan")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"a plan holds a {type(value).__name__}")


def _made(wanted: type, value: Any) -> Any:
    if wanted is Path:
        return Path(value)
    raise NotImplementedError(f"a plan holds a {wanted.__name__}")

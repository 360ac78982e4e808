"""What a hostile client says: bytes of every kind, drawn from one `random.Random`.

Whole messages of both protocols with values that make no sense, messages bent and cut, frames that
lie about their length, noise. The same source serves hypothesis and a campaign with a seed.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgspec

from dora.descriptor.packing import pack_plan
from dora.descriptor.plan import Command, NodePlan, Plan, Route
from dora.wire import background, messages, visits
from dora.wire.framing import frame

if TYPE_CHECKING:
    import random
    from pathlib import Path


VERSION = "fuzz"


def two_nodes(working_dir: Path, *, dynamic: bool = True, names: str = "") -> Plan:
    """`camera/image` to `plot/image`; processes that somebody else starts, or none can start."""
    command = None if dynamic else Command(("/no/such/program",), working_dir)

    def node(node_id: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> NodePlan:
        return NodePlan(node_id + names, command, {}, outputs, inputs, ())

    return Plan(
        name="fuzz",
        working_dir=working_dir,
        nodes=(node("camera", (), ("image",)), node("plot", ("image",), ())),
        routes=(Route(f"camera{names}", "image", f"plot{names}", "image"),),
        log_routes=(),
        exit_when_nodes_finish=False,
        descriptor={},
    )


_GREET = visits.Greet(messages.PROTOCOL, VERSION)
_GREET_DAEMON = background.GreetDaemon(messages.PROTOCOL, VERSION)


def register(node: str) -> messages.Register:
    return messages.Register(messages.PROTOCOL, VERSION, None, node, None, 1)


def of_nodes() -> list[msgspec.Struct]:
    """What a node may say once it has registered."""
    return [
        messages.CloseOutputs(["image"]),
        messages.ExtensionAsk(1, "store", "space", "key", b"value"),
        messages.ExtensionAsk(2, "load", "space", "key"),
        messages.ExtensionAsk(3, "drain", "space"),
        messages.Goodbye(),
        register("camera"),
    ]


def of_visitors(working_dir: Path, *, harmless: bool = False) -> list[msgspec.Struct]:
    """What a client may ask a dataflow; nothing that stops it, or (harmless) changes it."""
    more = pack_plan(two_nodes(working_dir, dynamic=False, names="-2"))
    one = two_nodes(working_dir, dynamic=False)
    instead = pack_plan(msgspec.structs.replace(one, nodes=one.nodes[:1], routes=()))
    looks: list[msgspec.Struct] = [
        visits.AskStack("camera"),
        visits.AskState(),
        visits.Watch(from_start=True),
        visits.AskParam("list", "camera"),
        visits.AskTap("camera", "image", 3),
        _GREET,
    ]
    if harmless:
        return looks
    return [
        *looks,
        visits.AskNode("restart", "camera", 1.0),
        visits.AskNode("stop", "plot"),
        visits.AskAdd(more),
        visits.AskReplace(instead, 1.0),
        visits.AskRoute(False, "camera", "image", "plot", "image"),
        visits.AskRoute(True, "camera", "image", "plot", "more", 5, True),
        visits.AskReload("camera", "op"),
        visits.AskParam("set", "camera", "key", b"[1]"),
        visits.Publish("camera", "image", b"header", b"payload", b"\x80"),
    ]


def of_clients(working_dir: Path, *, harmless: bool = False) -> list[msgspec.Struct]:
    """What a client may ask the background daemon; nothing that ends it, or starts anything."""
    plans = [pack_plan(two_nodes(working_dir, dynamic=dynamic)) for dynamic in (True, False)]
    looks: list[msgspec.Struct] = [
        background.AskRuns(),
        background.AskPlan("some id"),
        background.HandOver(["dora"], {"NAME": "value"}),
        _GREET_DAEMON,
    ]
    if harmless:
        return looks
    return [
        *looks,
        *(background.StartDataflow(plan) for plan in plans),
        *(background.StartDataflow(plan, None, False, "other") for plan in plans),
        background.StartDataflow(plans[0], "name", True),
        background.Forget(),
    ]


class Attacks:
    """Byte streams of hostile connections.

    Args:
        openings: Messages that let a connection in.
        others: What may be said after one, by its index.
    """

    def __init__(self, openings: list[msgspec.Struct], others: list[list[msgspec.Struct]]) -> None:
        self._openings = [messages.encode(one) for one in openings]
        self._others = [[messages.encode(one) for one in group] for group in others]
        self._all = self._openings + [body for group in self._others for body in group]

    def draw(self, draw: random.Random) -> bytes:
        """All that one connection says."""
        way = draw.random()
        if way < 0.1:
            return draw.randbytes(draw.randrange(64))
        if way < 0.15:
            return struct.pack("<I", draw.randrange(1 << 32)) + draw.randbytes(draw.randrange(64))
        if way < 0.3:  # never let in
            return self._frame(draw, self._bent(draw, draw.choice(self._all)))
        which = draw.randrange(len(self._openings))
        said = frame(self._openings[which])
        for _ in range(draw.randrange(1, 4)):
            body = draw.choice(self._others[which] if draw.random() < 0.9 else self._all)
            said += self._frame(draw, self._bent(draw, body))
        return said

    def _frame(self, draw: random.Random, body: bytes) -> bytes:
        whole = frame(body)
        if draw.random() < 0.05:
            return whole[: draw.randrange(len(whole))]
        return whole

    def _bent(self, draw: random.Random, body: bytes) -> bytes:
        way = draw.random()
        if way < 0.15:
            return body
        if way < 0.6:
            fields = msgspec.msgpack.decode(body)
            names = [name for name in fields if name != "type"] or ["type"]
            for name in draw.choices(names, k=draw.randrange(1, 3)):
                fields[name] = _nonsense(draw, fields[name])
            return messages.encode(fields)
        if way < 0.63:
            return body[:-1] + b"\xa4deep" + b"\x91" * draw.choice([10, 2000]) + b"\xc0"
        if way < 0.65:  # one more field, which is deep
            return bytes([body[0] + 1]) + body[1:] + b"\xa4deep" + b"\x91" * 2000 + b"\xc0"
        bent = bytearray(body)
        for _ in range(draw.randrange(1, 5)):
            at = draw.randrange(len(bent) + 1)
            match draw.randrange(4):
                case 0:
                    bent[at : at + 1] = draw.randbytes(1)
                case 1:
                    del bent[at : at + draw.randrange(1, 9)]
                case 2:
                    bent[at:at] = draw.randbytes(draw.randrange(1, 9))
                case _:
                    other = draw.choice(self._all)
                    bent[at:] = other[draw.randrange(len(other)) :]
        return bytes(bent)


_WHOLE = (0, 1, -1, 7, 2**31, -(2**31), 2**63 - 1, 2**64 - 1, -(2**63))
_BROKEN = (0.0, -0.5, 1e300, float("nan"), float("inf"), -float("inf"))
_TEXTS = ("", "camera", "plot", "image", "camera-2", "dora", "\0", "a/b", "../x", "é" * 300, "x\n")


def _nonsense(draw: random.Random, value: Any) -> Any:
    """Another value, mostly of the same type: the others are refused early."""
    if isinstance(value, bytes) and len(value) > 100 and draw.random() < 0.9:
        return _bent_plan(draw, value)
    if draw.random() < 0.1:
        value = draw.choice([0, 0.0, "", b"", [], {}, None, True])
    match value:
        case bool():
            return not value
        case int():
            return draw.choice(_WHOLE)
        case float():
            return draw.choice(_BROKEN)
        case str():
            return draw.choice(_TEXTS)
        case bytes():
            return draw.randbytes(draw.randrange(30))
        case list() if value:
            return draw.choices(value, k=draw.randrange(4))
        case list():
            return [draw.choice(_TEXTS)]
        case dict():
            return {**value, draw.choice(_TEXTS): draw.choice(_TEXTS)}
    return draw.choice([0, 1.0, "image", "camera", ["image"], {}])


def _bent_plan(draw: random.Random, packed: bytes) -> bytes:
    """A plan with one value anywhere in it that makes no sense."""
    plan = msgspec.msgpack.decode(packed)
    here: Any = plan
    while True:
        keys = list(here) if isinstance(here, dict) else range(len(here))
        if not keys:
            break
        key = draw.choice(keys)
        if isinstance(here[key], dict | list) and here[key] and draw.random() < 0.85:
            here = here[key]
            continue
        here[key] = _nonsense(draw, here[key])
        break
    return msgspec.msgpack.encode(plan)

"""What a replay node and the command that directs it say to each other: tagged msgpack structs.

Frames: `wire.framing`. Who speaks: `recording.replay_node`, `recording.conductor`.
"""

from __future__ import annotations

import msgspec

from dora.errors import ProtocolError
from dora.recording.pace import Report  # noqa: TC001 (read when words are decoded)


class Here(msgspec.Struct, tag="here", frozen=True):
    """Node, when the dataflow has started: who I am."""

    node: str


class Played(msgspec.Struct, tag="played", frozen=True):
    """Node: the message I was asked for is sent."""


class Done(msgspec.Struct, tag="done", frozen=True):
    """Node, last of all: what I did."""

    report: Report


class Play(msgspec.Struct, tag="play", frozen=True):
    """To a node that goes step by step: send your next message."""


Word = Here | Played | Done | Play

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Word)


def encode(word: Word) -> bytes:
    """The body of a frame that holds `word`."""
    return _encoder.encode(word)


def decode(body: bytes) -> Word:
    """Read a word.

    Raises:
        ProtocolError: the bytes are none.
    """
    try:
        word: Word = _decoder.decode(body)
    except msgspec.MsgspecError as exc:
        raise ProtocolError(f"no word of a replay: {exc}") from exc
    return word

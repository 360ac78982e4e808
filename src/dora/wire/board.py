"""The board: one small shared page of counters for each node; layout and access, no I/O.

64-bit little-endian words. Each word has one writer, so no lock is needed and a reader may look at
any time, also while the node hangs. The node writes all of it but the control word, which the
daemon raises to say "look at your control socket".

    0  magic           8  control word (daemon)   16..  for each output:  messages, bytes
    1  pid                                              for each route:   sent, dropped, flushed
    2  state                                            for each input:   received, bytes, last,
    3  number of words                                                    40 latency buckets, late,
                                                                          late and dropped,
                                                                          overtaken

`last` is when the input's last message was received, ns since the epoch; 0 if none was.
A route's `sent` counts every message the node put on that edge, the dropped ones too:
sent = received + dropped + flushed + still waiting. `late` counts received messages that were past
their deadline; `late and dropped`, those of them that were not handed out; `overtaken`, those that
were put aside while the node waited for others, and dropped because newer ones came. Latency bucket
`k` counts messages that took 2^(k-1) <= ns < 2^k from send to receive; the last all longer ones.
"""

from __future__ import annotations

import struct

import msgspec

MAGIC = 0x31_64_72_61_6F_62  # "board1"
WORD_BYTES = 8
WORD_MAGIC, WORD_PID, WORD_STATE, WORD_WORDS = range(4)
WORD_CONTROL = 8
_HEADER_WORDS = 16
LATENCY_BUCKETS = 40
_OUTPUT_WORDS = 2
_ROUTE_WORDS = 3
_INPUT_WORDS = 3 + LATENCY_BUCKETS + 3

STATE_WAITING, STATE_RUNNING, STATE_CLOSED = range(3)
"""Waiting for the start barrier; running; closed."""


class BoardLayout(msgspec.Struct, frozen=True):
    """Where each counter of a node with so many outputs, routes and inputs stands (word index)."""

    outputs: int
    routes: int
    inputs: int

    def output(self, index: int) -> int:
        """Words of output `index`: messages, bytes."""
        return _HEADER_WORDS + index * _OUTPUT_WORDS

    def route(self, index: int) -> int:
        """Words of route `index` (routes of all outputs, in order): sent, dropped, flushed."""
        return self.output(self.outputs) + index * _ROUTE_WORDS

    def input(self, index: int) -> int:
        """Words of input `index`: received, bytes, last, latency, late, dropped, overtaken."""
        return self.route(self.routes) + index * _INPUT_WORDS

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole board, in whole pages."""
        return (self.input(self.inputs) * WORD_BYTES + 4095) // 4096 * 4096


class InputCounters(msgspec.Struct, frozen=True):
    """What an input has seen."""

    received: int
    bytes: int
    last_ns: int
    """When the last message was received, ns since the epoch; 0 if none was."""
    latency: tuple[int, ...]
    """Counts by power of two of nanoseconds."""
    late: int = 0
    """Received after their deadline."""
    late_dropped: int = 0
    """Those of them that were not handed out."""
    overtaken: int = 0
    """Put aside while the node waited for others, and dropped because newer ones came."""


class BoardReader:
    """Reads the counters of a board out of mapped memory.

    Args:
        words: The board's memory as 64-bit words, `uint64[layout.size_bytes // 8]`.
        layout: The layout that the board was made with.
    """

    def __init__(self, words: memoryview, layout: BoardLayout) -> None:
        self._words = words
        self._layout = layout

    @property
    def state(self) -> int:
        """Where the node stands: STATE_WAITING, STATE_RUNNING or STATE_CLOSED."""
        return self._words[WORD_STATE]

    def output(self, index: int) -> tuple[int, int]:
        """Messages and bytes sent on output `index`."""
        at = self._layout.output(index)
        return self._words[at], self._words[at + 1]

    def route(self, index: int) -> tuple[int, int]:
        """Messages sent on and dropped from route `index`."""
        at = self._layout.route(index)
        return self._words[at], self._words[at + 1]

    def flushed(self, index: int) -> int:
        """Messages of route `index` that a later one told to discard."""
        return self._words[self._layout.route(index) + 2]

    def input(self, index: int) -> InputCounters:
        """What input `index` has seen."""
        at = self._layout.input(index)
        received, size, last_ns, *others = self._words[at : at + _INPUT_WORDS]
        latency = tuple(others[:LATENCY_BUCKETS])
        return InputCounters(received, size, last_ns, latency, *others[LATENCY_BUCKETS:])


def fresh_header(layout: BoardLayout) -> bytes:
    """The first words of a new board."""
    words = [0] * _HEADER_WORDS
    words[WORD_MAGIC] = MAGIC
    words[WORD_WORDS] = layout.size_bytes // WORD_BYTES
    return struct.pack(f"<{_HEADER_WORDS}Q", *words)

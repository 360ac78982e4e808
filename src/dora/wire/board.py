"""The board: one small shared page of counters for each node; layout and access, no I/O.

64-bit little-endian words. Each word has one writer, so no lock is needed and a reader may look at
any time, also while the node hangs. The node writes all of it but the control word, which the
daemon raises to say "look at your control socket". There is room for routes and inputs that are
wired while the node runs.

    0  magic           8  control word (daemon)   16..  for each output:  messages, bytes
    1  pid                                              for each route:   sent, dropped, flushed
    2  state                                            for each input:   received, bytes, last,
    3  number of words                                                    40 latency buckets, late,
    4  turn                                                               late and dropped,
                                                                          overtaken

The turn is odd while the node waits inside dora, for an event or for room, and is raised when a
wait begins and ends: one that stands still and is even tells of a node that is busy elsewhere.
`last` is when the input's last message was received, ns since the epoch; 0 if none was.
A route's `sent` counts every message the node put on that edge, the dropped ones too:
sent = received + dropped + flushed + still waiting. `late` counts received messages that were past
their deadline; `late and dropped`, those of them that were not handed out; `overtaken`, those that
were put aside while the node waited for others, and dropped because newer ones came. Latency bucket
`k` counts messages that took 2^(k-1) <= ns < 2^k from send to receive; the last all longer ones.
"""

from __future__ import annotations

import struct
import threading

import msgspec

MAGIC = 0x31_64_72_61_6F_62  # "board1"
WORD_BYTES = 8
WORD_MAGIC, WORD_PID, WORD_STATE, WORD_WORDS = range(4)
WORD_TURN = 4
WORD_CONTROL = 8
_HEADER_WORDS = 16
LATENCY_BUCKETS = 40
_OUTPUT_WORDS = 2
_ROUTE_WORDS = 3
_INPUT_WORDS = 3 + LATENCY_BUCKETS + 3

SPARE_ROUTES, SPARE_INPUTS = 64, 64
"""Room for so many more of a node that runs. Pages of a board exist only where they are touched."""

STATE_WAITING, STATE_RUNNING, STATE_CLOSED = range(3)
"""Waiting for the start barrier; running; closed."""


class BoardLayout(msgspec.Struct, frozen=True):
    """Where each counter of a node with so many outputs, routes and inputs stands (word index)."""

    outputs: int
    routes: int
    inputs: int

    @classmethod
    def with_spare(cls, outputs: int, routes: int, inputs: int) -> BoardLayout:
        """The layout of a node's board, which starts with so many of each."""
        return cls(outputs, routes + SPARE_ROUTES, inputs + SPARE_INPUTS)

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

    @property
    def turn(self) -> int:
        """Odd while the node waits inside dora; another number whenever it has called it."""
        return self._words[WORD_TURN]

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


class Turn:
    """Writes a board's turn. Any thread may wait, and several at once.

    Args:
        words: The node's board; None where there is none.
        heartbeat_s: How long the turn may stand still and be even, in seconds, if anybody looks.
    """

    def __init__(self, words: memoryview | None = None, heartbeat_s: float | None = None) -> None:
        self._words = words or memoryview(bytearray(WORD_BYTES * _HEADER_WORDS)).cast("Q")
        self.heartbeat_s = heartbeat_s
        self.awaited_ns = 0
        """When a task of asyncio last began to wait, by `time.perf_counter_ns`; 0: none did."""
        self._lock = threading.RLock()  # a signal handler may wait too
        self._waiters = 0

    def __enter__(self) -> None:
        with self._lock:
            self._waiters += 1
            if not self._words[WORD_TURN] & 1:
                self._words[WORD_TURN] += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._waiters -= 1
            if not self._waiters and self._words[WORD_TURN] & 1:
                self._words[WORD_TURN] += 1

    def beat(self) -> None:
        """Tell that the node was here, without waiting. No lock: every message comes by here."""
        words = self._words
        words[WORD_TURN] += 2
        if (words[WORD_TURN] & 1) != (self._waiters > 0):  # another thread came in between
            with self._lock:
                if (words[WORD_TURN] & 1) != (self._waiters > 0):
                    words[WORD_TURN] += 1


def fresh_header(layout: BoardLayout) -> bytes:
    """The first words of a new board."""
    words = [0] * _HEADER_WORDS
    words[WORD_MAGIC] = MAGIC
    words[WORD_WORDS] = layout.size_bytes // WORD_BYTES
    return struct.pack(f"<{_HEADER_WORDS}Q", *words)

"""Micro-benchmarks of the hot path: encode, send, receive, decode. `make microbench` runs them.

One process holds both ends of one edge, so that nothing waits and nothing is woken: these are the
costs that a round trip adds to the kernel's.
"""

import os

import numpy as np
import pyarrow as pa
import pytest

from dora.node.inputs import InputPort
from dora.transport.arena import (
    DEFAULT_ARENA_BYTES,
    Arena,
    ArenaView,
    create_memory,
    map_words,
    reopen_read_only,
)
from dora.transport.edge import SendingEdge, open_pipes
from dora.transport.receiving_edge import ReceivingEdge
from dora.transport.sender import Sender
from dora.wire.board import BoardLayout
from dora.wire.payload import encode
from dora.wire.values import reader_of

SIZES = (8, 4096, 65536, 921_600)
VALUES = [pytest.param(np.zeros(n, np.uint8), id=f"numpy-{n}") for n in SIZES]
VALUES += [pytest.param(pa.array(np.zeros(n, np.uint8)), id=f"arrow-{n}") for n in SIZES]
VALUES += [
    pytest.param(np.zeros((480, 640, 3), np.uint8), id="image"),
    pytest.param("a text", id="text"),
    pytest.param(pa.array([{"x": 1.0, "label": "car"}]), id="struct"),
]


class Loop:
    """A sender and the input it feeds."""

    def __init__(self):
        layout = BoardLayout(1, 1, 1)
        words = map_words(create_memory("board", layout.size_bytes), layout.size_bytes)
        memory = create_memory("arena", DEFAULT_ARENA_BYTES)
        view = ArenaView(reopen_read_only(memory), DEFAULT_ARENA_BYTES)
        arena = Arena(memory, 1, DEFAULT_ARENA_BYTES)
        pipes = open_pipes(10)
        route = layout.route(0)
        edge = SendingEdge(
            0,
            pipes.ticket_write,
            os.dup(pipes.ticket_read),
            pipes.return_read,
            pipes.queue_size,
            backpressure=False,
            arena=arena,
            counters=words[route : route + 2],
        )
        self.sender = Sender(arena)
        output = layout.output(0)
        self.sender.add_output("out", [edge], words[output : output + 2])
        receiving = ReceivingEdge(pipes.ticket_read, pipes.return_write, backpressure=False)
        counters = words[layout.input(0) : layout.input(1)]
        self.port = InputPort("in", receiving, lambda _: view, counters)

    def close(self):
        self.sender.close()
        self.port.close()


@pytest.fixture
def loop():
    made = Loop()
    yield made
    made.close()


@pytest.mark.parametrize("value", VALUES)
def test_encode(benchmark, value):
    benchmark(encode, value)


@pytest.mark.parametrize("value", VALUES)
def test_decode(benchmark, value):
    header, size, body = encode(value)
    raw = bytearray(size)
    if callable(body):
        body(memoryview(raw))
    else:
        raw[:] = body
    payload = pa.py_buffer(bytes(raw))
    benchmark(lambda: reader_of(header)[0](payload))


@pytest.mark.parametrize("value", VALUES)
def test_send(benchmark, loop, value):
    """Each but the first ten sends also drops the oldest message."""
    encoded = encode(value)
    benchmark(lambda: loop.sender.send("out", encoded))


@pytest.mark.parametrize("value", VALUES)
def test_send_and_receive(benchmark, loop, value):
    encoded = encode(value)

    def once():
        loop.sender.send("out", encoded)
        assert loop.port.take() is not None

    benchmark(once)

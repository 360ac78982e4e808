"""Hostile clients at real sockets: the daemon goes on, nodes join, commands work.

The same in this process, with many more inputs, is in `test_fuzz`.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from background_rig import Background
from fault_rig import LONG, Flow, resident_bytes, until
from hostile import Attacks, of_clients, of_nodes, of_visitors, register

from dora.transport import endpoint
from dora.wire import background, messages, visits
from dora.wire.framing import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONNECTIONS = 1_000
INPUTS = 50_000 if LONG else 300
SEED = 4_711
MIB = 1 << 20

WATCHES = """
    from dora import Node
    node = Node()
    say("dataflow", node.dataflow_id())
    say("runs")
    for event in node:
        pass
    say("stopped")
"""

JOINS = """
from dora import Node
node = Node("guest")
print("joined", flush=True)
"""

GREETINGS = {
    "dataflow": visits.Greet(messages.PROTOCOL, "1"),
    "background daemon": background.GreetDaemon(messages.PROTOCOL, "1"),
}
BOTH = pytest.mark.parametrize("which", list(GREETINGS))


class Victim:
    """A dataflow of a background daemon, which waits for a guest, and where it listens."""

    def __init__(self, daemon: Background, flow: Flow, which: str) -> None:
        self.daemon = daemon
        self.dataflow = daemon.start(flow.file)
        flow.heard("runs", "watches")
        self.address = daemon.address("daemon-user" if which != "dataflow" else self.dataflow)
        self.greeting = frame(messages.encode(GREETINGS[which]))
        self._guest()  # what it opens once stays open
        self.before = daemon.descriptors()

    def connect(self) -> socket.socket:
        link = endpoint.connect(self.address)
        link.settimeout(20.0)
        return link

    def assert_it_serves(self) -> None:
        """A guest joins as a node, and commands work."""
        self._guest()
        assert self.dataflow in self.daemon.dora("list", "--quiet", "--status", "running")
        until(lambda: self.daemon.descriptors() <= self.before, "descriptors are left open")

    def _guest(self) -> None:
        joins = [sys.executable, "-c", JOINS]
        guest = subprocess.run(
            joins, env=self.daemon.env, capture_output=True, text=True, timeout=50, check=False
        )
        assert guest.stdout == "joined\n", guest.stderr


@pytest.fixture
def victim(tmp_path: Path, which: str) -> Iterator[Victim]:
    nodes = {
        "watches": (WATCHES, {"inputs": {"tick": "dora/timer/millis/100"}}),
        "guest": ("", {"id": "guest", "path": "dynamic", "inputs": {"t": "dora/timer/secs/9"}}),
    }
    with Background(tmp_path) as daemon, Flow(tmp_path, nodes) as flow:
        daemon.up()
        victim = Victim(daemon, flow, which)
        yield victim
        victim.assert_it_serves()
        daemon.dora("stop", "--all")
        flow.heard("stopped")


@BOTH
@pytest.mark.parametrize("what", ["silent", "half a message", "greeted"])
def test_a_thousand_connections_hold_nobody_up(
    what: str, which: str, victim: Victim, measured: Callable[[str, str], None]
) -> None:
    said = {"silent": b"", "half a message": victim.greeting[:-3], "greeted": victim.greeting}
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            link = stack.enter_context(victim.connect())
            link.sendall(said[what])
        victim.before += CONNECTIONS
        victim.assert_it_serves()
        victim.before -= CONNECTIONS
    measured(
        f"1,000 connections, {what}: {which}",
        "a node joined and `dora list` worked; no descriptor left",
    )


@BOTH
@pytest.mark.parametrize(
    "said",
    [b"\xff\xff\xff\xff", struct.pack("<I", 1 << 31) + b"x" * 1000, b"GET / HTTP/1.1\r\n\r\n"],
    ids=["giant length", "giant frame", "another protocol"],
)
def test_a_length_that_no_message_has_ends_the_connection(
    said: bytes, which: str, victim: Victim
) -> None:
    for greeting in (b"", victim.greeting):
        with victim.connect() as link:
            link.sendall(greeting + said)
            with contextlib.suppress(ConnectionResetError):
                while link.recv(1 << 16):
                    pass


@BOTH
def test_random_words_at_a_real_socket(
    which: str, victim: Victim, tmp_path: Path, measured: Callable[[str, str], None]
) -> None:
    if which == "dataflow":
        others = [of_visitors(tmp_path, harmless=True), of_nodes(), of_nodes()]
        openings = [GREETINGS[which], register("nobody"), register("no one")]
        attacks = Attacks(openings, others)
    else:
        attacks = Attacks([GREETINGS[which]], [of_clients(tmp_path, harmless=True)])
    draw = random.Random(SEED)
    warm = 0
    for number in range(INPUTS):
        with victim.connect() as link, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            link.sendall(attacks.draw(draw))
            if draw.random() < 0.3:
                link.shutdown(socket.SHUT_WR)
                while link.recv(1 << 16):
                    pass
        if number == INPUTS // 10:
            warm = resident_bytes(victim.daemon.pid)
    grown = resident_bytes(victim.daemon.pid) - warm
    assert grown < 64 * MIB
    measured(
        f"random words at a real socket: {which}",
        f"{INPUTS:,} connections; memory of the daemon {grown / MIB:+.0f} MiB after the first "
        "tenth, no descriptor left",
    )


@BOTH
def test_a_client_that_asks_and_never_reads_costs_no_memory(
    which: str, victim: Victim, measured: Callable[[str, str], None]
) -> None:
    asked = visits.AskState() if which == "dataflow" else background.AskRuns()
    ask = frame(messages.encode(asked))
    before = resident_bytes(victim.daemon.pid)
    sent = 0
    with victim.connect() as link:
        link.sendall(victim.greeting)
        link.settimeout(2.0 if LONG else 0.5)
        with contextlib.suppress(TimeoutError):
            while sent < 200 * MIB:
                sent += link.send(ask * 100)
        grown = resident_bytes(victim.daemon.pid, "VmHWM") - before
        victim.before += 1
        victim.assert_it_serves()
        victim.before -= 1
    assert grown < 64 * MIB
    measured(
        f"a client asks and never reads: {which}",
        f"{sent // len(ask):,} questions; memory of the daemon {grown / MIB:+.0f} MiB",
    )

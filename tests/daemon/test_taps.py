"""Taps of outputs, by clients that read, that do not, and that are killed."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dora.errors import DoraError
from dora.transport import endpoint
from dora.transport.arena import ArenaView
from dora.transport.receiving_edge import ReceivingEdge
from dora.version import VERSION
from dora.wire import messages, visits
from dora.wire.framing import Deframer, frame
from dora.wire.ticket import CLOSE, INLINE, unpack

from .live import Live, counter
from .waiting import DEADLINE_S

OUT: dict[str, Any] = {"outputs": ["out"]}
SIZE = 100_000


class Tapper:
    """A client that taps, by hand."""

    def __init__(self, address: str) -> None:
        self._socket = endpoint.connect(address)
        self._socket.settimeout(DEADLINE_S)
        self._deframer = Deframer()
        self._arrived: list[Any] = []
        self._fds: list[int] = []
        self.edges: list[ReceivingEdge] = []
        self.keeps, self.held = False, []  # type: bool, list[Any]
        self.arenas: dict[int, ArenaView] = {}
        assert isinstance(self.ask(visits.Greet(messages.PROTOCOL, VERSION)), visits.Dataflow)

    def ask(self, question: Any) -> Any:
        self._socket.sendall(frame(messages.encode(question)))
        return self.answer()

    def answer(self) -> Any:
        while True:
            while self._arrived:
                message = self._arrived.pop(0)
                if not isinstance(message, messages.Descriptors):
                    return message
            data, fds, _, _ = socket.recv_fds(self._socket, 65536, 253)
            assert data, "the daemon hung up"
            self._fds += fds
            self._arrived += map(visits.decode_answer, self._deframer.feed(data))

    def tap(self, node: str, output: str, **keys: Any) -> int:
        tap = self.ask(visits.AskTap(node, output, **keys))
        if isinstance(tap, messages.Refused):
            raise DoraError(tap.reason)
        self._new(tap.arenas)
        backpressure = keys.get("backpressure", False)
        edge = ReceivingEdge(self._fds.pop(0), self._fds.pop(0), backpressure=backpressure)
        self.edges.append(edge)
        return len(self.edges) - 1

    def _new(self, arenas: list[messages.ArenaWire]) -> None:
        for wire in arenas:
            view = ArenaView(self._fds.pop(0), wire.size_bytes)
            if self.arenas.setdefault(wire.arena, view) is not view:
                view.close()

    def next(self, number: int) -> Any:
        """The payload's size and first byte; None at the end."""
        edge, record = self.edges[number], None
        while record is None:
            assert select.select([edge.fd], [], [], DEADLINE_S)[0], "nothing comes"
            record = edge.try_receive()
        ticket = unpack(record)
        if ticket.kind == CLOSE:
            return None
        if ticket.flags & INLINE:
            return ticket.size, None
        while ticket.arena not in self.arenas:
            self._new([self.answer().arena])
        view = self.arenas[ticket.arena]
        lease = edge.lease(ticket.arena, ticket.offset, view)
        value = view.buffer(ticket.offset, ticket.size, lease)
        if self.keeps:
            self.held.append(value)
        return ticket.size, memoryview(value)[0] % 256

    def close(self) -> None:
        self._socket.close()
        for edge in self.edges:
            edge.close()
        self.edges.clear()
        for arena in self.arenas.values():
            arena.close()
        self.arenas.clear()

    def __enter__(self) -> Tapper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def address(live: Live) -> str:
    return endpoint.address_of(live.server.described().id)


def test_taps_come_and_go_while_messages_flow_and_leave_nothing(tmp_path: Path) -> None:
    sending = counter(SIZE).replace(
        "n += 1", "n += 1\n    if n % 50 == 0: say('n', n, len(os.listdir('/proc/self/fd')))"
    )
    with Live(tmp_path, {"source": (sending, OUT)}) as live:
        first = live.heard("n")
        fds = len(os.listdir("/proc/self/fd"))
        for _ in range(40):
            with Tapper(address(live)) as one:
                edge, other = one.tap("source", "out"), one.tap("source", "out", queue_size=1)
                assert one.next(edge)[0] == SIZE
                assert one.next(other)[0] == SIZE
        live.until(lambda: len(os.listdir("/proc/self/fd")) <= fds, "all is closed")
        live.all_heard("n")
        assert live.heard("n")[1] <= first[1] + 1


def test_the_memory_that_a_killed_client_held_is_free_again(tmp_path: Path) -> None:
    sending = counter(SIZE).replace(
        "n += 1", "n += 1\n    if n % 20 == 0: say('held', node._sender.arena.held_bytes)"
    )
    client = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.daemon.test_taps import Tapper
tapper = Tapper(sys.argv[1])
edge = tapper.tap("source", "out", queue_size=100)
tapper.keeps = True
for _ in range(50): tapper.next(edge)
print("holds", flush=True)
time.sleep(1e6)
"""
    with Live(tmp_path, {"source": (sending, OUT)}) as live:
        live.heard("held")
        argv = [sys.executable, "-c", client, address(live)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"holds\n"
            live.all_heard("held")
            assert live.heard("held")[0] > 50 * SIZE
            process.kill()
        live.until(lambda: live.heard("held")[0] < 10 * SIZE, "it is free")


def test_a_tap_reads_on_when_its_node_was_started_again(tmp_path: Path) -> None:
    keys = {**OUT, "restart_policy": "always"}
    with Live(tmp_path, {"source": (counter(SIZE), keys)}) as live, Tapper(address(live)) as tapper:
        live.heard("counter")
        edge = tapper.tap("source", "out")
        assert tapper.next(edge)[0] == SIZE
        for number in (1, 2):
            os.kill(live.state("source").pid or 0, signal.SIGKILL)
            assert live.heard("counter") == [number]
            before = len(tapper.arenas)
            while len(tapper.arenas) == before:
                assert tapper.next(edge)[0] == SIZE
        live.ask(visits.AskNode("stop", "source"))
        while tapper.next(edge) is not None:
            pass


def test_a_tap_may_be_there_before_its_node_is(tmp_path: Path) -> None:
    sending = "while not os.path.exists('go'): time.sleep(0.01)\n" + counter(SIZE)
    with Live(tmp_path, {"source": (sending, OUT)}) as live, Tapper(address(live)) as tapper:
        edge = tapper.tap("source", "out", queue_size=100, backpressure=True)
        (tmp_path / "go").touch()
        for number in range(10):
            assert tapper.next(edge)[1] == number


def test_lines_may_be_tapped_too(tmp_path: Path) -> None:
    code = "from dora import Node\nnode = Node()\n"
    code += "while True: print('hello', flush=True); time.sleep(0.01)\n"
    keys = {"outputs": ["lines"], "send_stdout_as": "lines"}
    with Live(tmp_path, {"talker": (code, keys)}) as live, Tapper(address(live)) as tapper:
        edge = tapper.tap("talker", "lines")
        assert tapper.next(edge)[0] > 0


def test_a_tap_with_backpressure_holds_the_sender_until_it_is_gone(tmp_path: Path) -> None:
    with Live(tmp_path, {"source": (counter(SIZE, 0.0005), OUT)}) as live:
        live.heard("counter")
        sent = tmp_path / "sent"
        live.until(sent.exists)
        with Tapper(address(live)) as tapper:
            edge = tapper.tap("source", "out", queue_size=3, backpressure=True)
            numbers = [tapper.next(edge)[1] for _ in range(200)]
            assert numbers == [(numbers[0] + n) % 251 for n in range(200)]

            def stands() -> bool:
                first = sent.read_text()
                return not select.select([], [], [], 0.2)[0] and sent.read_text() == first != ""

            live.until(stands, "the sender waits")
            held = sent.read_text()
        live.until(lambda: sent.read_text() not in ("", held), "the sender goes on")


@pytest.mark.parametrize(
    ("node", "output", "told"),
    [
        ("sorce", "out", "did you mean `source`?"),
        ("source", "uot", "did you mean `out`?"),
    ],
)
def test_what_cannot_be_tapped_is_told(node: str, output: str, told: str, tmp_path: Path) -> None:
    with Live(tmp_path, {"source": (counter(), OUT)}) as live, Tapper(address(live)) as tapper:
        with pytest.raises(DoraError) as refused:
            tapper.tap(node, output)
        assert told in str(refused.value)


def test_a_node_that_is_removed_closes_its_taps(tmp_path: Path) -> None:
    nodes = {"source": (counter(), OUT), "other": (counter(), {"outputs": ["out"]})}
    with Live(tmp_path, nodes) as live, Tapper(address(live)) as tapper:
        edge = tapper.tap("source", "out")
        tapper.next(edge)
        live.ask(visits.AskNode("remove", "source"))
        while tapper.next(edge) is not None:
            pass
        tapper.close()
        live.heard("counter", "other")
        assert live.state("other").state == "running"

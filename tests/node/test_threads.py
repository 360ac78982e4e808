"""Threads, signals and closing: who may do what at the same time."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from dora.errors import NodeClosedError
from dora.node import core
from dora.wire import messages

from .rig import DEADLINE_S, Rigs


def test_one_thread_receives_while_several_send(wire: Rigs) -> None:
    rig = wire({"a": 500}, ("one", "two"), queue_size=500)

    def send(name: str, start: int) -> None:
        for count in range(start, start + 100):
            rig.node.send_output(name, np.full(2000 if count % 3 else 2, count))

    with ThreadPoolExecutor(5) as pool:
        received = pool.submit(lambda: [event["type"] for event in rig.node])
        sends = [pool.submit(send, name, at) for name in ("one", "two") for at in (0, 1000)]
        for count in range(200):
            rig.send("a", count)
        for done in sends:
            done.result(DEADLINE_S)
        rig.close_input("a")
        assert received.result(DEADLINE_S) == [*["INPUT"] * 200, "INPUT_CLOSED", "STOP"]
    for name in ("one", "two"):
        values = [int(rig.taken(name)[0]) for _ in range(200)]
        assert [v for v in values if v < 1000] == list(range(100))
        assert [v for v in values if v >= 1000] == list(range(1000, 1100))
        assert rig.take(name) is None


def test_threads_that_receive_share_the_messages(wire: Rigs) -> None:
    rig = wire({"a": 500})

    def receive() -> list[int]:
        return [int(e["value"][0]) for e in rig.node if e["type"] == "INPUT"]

    with ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(receive) for _ in range(4)]
        for count in range(300):
            rig.send("a", np.array([count]))
        rig.close_input("a")
        piles = [thread.result(DEADLINE_S) for thread in threads]
    assert sorted(count for pile in piles for count in pile) == list(range(300))


def test_try_recv_in_one_thread_while_another_waits_never_blocks(wire: Rigs) -> None:
    rig = wire({"a": 10})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(rig.node.next)
        for _ in range(1000):
            assert rig.node.try_recv() is None
        rig.stop()
        event = waiting.result(DEADLINE_S)
    assert event == {"kind": "dora", "id": "MANUAL", "type": "STOP"}


def test_a_timeout_counts_also_while_another_thread_waits(wire: Rigs) -> None:
    rig = wire({"a": 10})
    with ThreadPoolExecutor(1) as pool:
        started = threading.Event()

        def wait() -> Any:
            started.set()
            return rig.node.next()

        waiting = pool.submit(wait)
        assert started.wait(DEADLINE_S)
        event: Any = rig.node.next(timeout=0.02)
        assert event["type"] == "ERROR"
        rig.stop()
        assert waiting.result(DEADLINE_S) is not None


def test_a_stop_wakes_every_thread_that_waits(wire: Rigs) -> None:
    rig = wire({"a": 10})
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(rig.node.next) for _ in range(4)]
        rig.stop()
        got = [thread.result(DEADLINE_S) for thread in waiting]
    assert sum(event is not None for event in got) == 1


def test_closing_wakes_threads_that_wait_and_twice_is_fine(wire: Rigs) -> None:
    rig = wire({"a": 10}, timers={"tick": 10**13})
    rig.node.next(DEADLINE_S)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(rig.node.next, *at) for at in ((), (), (30,))]
        rig.node.close()
        assert [thread.result(DEADLINE_S) for thread in waiting] == [None] * 3
    rig.node.close()
    assert rig.node.next() is None
    assert [type(message) for message in rig.heard()] == [messages.Register, messages.Goodbye]


def test_a_node_is_a_context_manager(wire: Rigs) -> None:
    rig = wire({"a": 10}, ("out",))
    with rig.node as node:
        assert node is rig.node
        node.send_output("out", 1)
    with pytest.raises(NodeClosedError, match="closed"):
        node.send_output("out", 1)
    assert rig.taken("out").to_pylist() == [1]


def test_a_closed_node_still_knows_its_facts(wire: Rigs) -> None:
    rig = wire({"a": 10}, ("out",))
    rig.node.close()
    assert rig.node.dataflow_id() == "rig"
    assert rig.node.node_config() == {"inputs": {}, "outputs": ["out"]}
    assert rig.node.dataflow_descriptor() == {"nodes": []}
    assert rig.node.restart_count() == 0
    assert not rig.node.is_restart()
    assert rig.node.timestamp().utcoffset() is not None


class ClosesWhenEncoded:
    """A value whose conversion closes the node: as if another thread had done so in the middle."""

    def __init__(self, close: Any) -> None:
        self._close = close
        self._array = np.zeros(3)

    def __dlpack__(self, **options: Any) -> Any:
        self._close()
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


def test_a_send_that_a_close_overtakes_says_that_the_node_was_closed(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    with pytest.raises(NodeClosedError):
        rig.node.send_output("out", ClosesWhenEncoded(rig.node.close))
    assert rig.take("out") is None


def test_a_send_that_the_end_of_the_process_overtakes_is_dropped_quietly(
    wire: Rigs, caplog: pytest.LogCaptureFixture
) -> None:
    rig = wire(outputs=("out",))
    rig.node.send_output("out", ClosesWhenEncoded(core._close_all_at_exit))
    rig.node.send_output("out", 1)
    rig.node.send_output("undeclared", 1)
    assert rig.take("out") is None
    assert caplog.records == []


def test_closing_frees_a_send_that_waits_for_room(wire: Rigs) -> None:
    rig = wire(outputs=("out",), queue_size=2, backpressure=True)
    rig.node.send_output("out", 1)
    rig.node.send_output("out", 2)
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(rig.node.send_output, "out", 3)
        with pytest.raises(TimeoutError):
            third.result(0.05)
        rig.node.close()
        with pytest.raises(NodeClosedError):
            third.result(DEADLINE_S)
    assert [rig.taken("out").to_pylist() for _ in range(2)] == [[1], [2]]
    assert rig.take("out") is None


def test_a_stop_frees_a_send_that_waits_for_room_and_its_message_counts_as_dropped(
    wire: Rigs,
) -> None:
    rig = wire(outputs=("out",), queue_size=2, backpressure=True)
    with ThreadPoolExecutor(1) as pool:
        sends = [pool.submit(rig.node.send_output, "out", count) for count in range(3)]
        with pytest.raises(TimeoutError):
            sends[2].result(0.05)
        rig.stop()
        sends[2].result(DEADLINE_S)
    assert rig.board.route(0) == (3, 1)
    assert rig.node.next(DEADLINE_S) == {"kind": "dora", "id": "MANUAL", "type": "STOP"}


def test_a_send_that_waits_goes_on_when_the_receiver_reads(wire: Rigs) -> None:
    rig = wire(outputs=("out",), queue_size=2, backpressure=True)
    with ThreadPoolExecutor(1) as pool:
        for count in range(2):
            rig.node.send_output("out", np.full(5000, count))
        third = pool.submit(rig.node.send_output, "out", np.full(5000, 2))
        with pytest.raises(TimeoutError):
            third.result(0.05)
        assert rig.taken("out")[0] == 0
        third.result(DEADLINE_S)
    assert [rig.taken("out")[0] for _ in range(2)] == [1, 2]


@pytest.fixture
def on_alarm(request: pytest.FixtureRequest) -> Any:
    """Calls a function of the test in a signal handler, soon."""
    before = signal.getsignal(signal.SIGALRM)

    def arm(call: Any) -> None:
        signal.signal(signal.SIGALRM, lambda _number, _frame: call())
        signal.setitimer(signal.ITIMER_REAL, 0.2)

    yield arm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_handler_may_close_the_node_while_it_waits(wire: Rigs, on_alarm: Any) -> None:
    rig = wire({"a": 10})
    on_alarm(rig.node.close)
    assert rig.node.next() is None


def test_a_signal_handler_may_send_while_the_node_waits(wire: Rigs, on_alarm: Any) -> None:
    rig = wire({"a": 10}, ("out",))
    on_alarm(lambda: (rig.node.send_output("out", 1), rig.send("a", 2)))
    event: Any = rig.node.next(DEADLINE_S)
    assert event["value"].to_pylist() == [2]
    assert rig.taken("out").to_pylist() == [1]


def test_ctrl_c_breaks_a_wait_at_once_and_nothing_is_lost(wire: Rigs, on_alarm: Any) -> None:
    rig = wire({"a": 10})
    on_alarm(lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        rig.node.next()
    rig.send("a", 1)
    event: Any = rig.node.next(DEADLINE_S)
    assert event["type"] == "INPUT"


def test_ctrl_c_breaks_a_send_that_waits_for_room(wire: Rigs, on_alarm: Any) -> None:
    rig = wire(outputs=("out",), queue_size=1, backpressure=True)
    rig.node.send_output("out", 1)
    on_alarm(lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        rig.node.send_output("out", 2)
    assert rig.taken("out").to_pylist() == [1]
    rig.node.send_output("out", 3)
    assert rig.taken("out").to_pylist() == [3]


def test_waiting_gives_up_the_interpreter_lock(wire: Rigs) -> None:
    rig = wire({"a": 10})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(rig.node.next)
        assert sum(range(100_000)) > 0
        rig.stop()
        assert waiting.result(DEADLINE_S) is not None


def test_a_signal_handler_may_send_in_the_middle_of_a_send(wire: Rigs, on_alarm: Any) -> None:
    rig = wire(outputs=("one", "two"))
    handled = 0

    def handle() -> None:
        nonlocal handled
        rig.node.send_output("two", np.full(2000 if handled % 2 else 2, -handled))
        handled += 1
        signal.setitimer(signal.ITIMER_REAL, 0.0005)

    on_alarm(handle)
    sent = 0
    while handled < 300:
        rig.node.send_output("one", np.full(2000 if sent % 3 else 2, sent))
        assert (rig.taken("one") == sent).all()
        sent += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    last = rig.take("two")
    while last is not None:
        assert last["type"] == "INPUT"
        value = int(last["value"][0])
        last = rig.take("two")
    assert value == 1 - handled
    assert [rig.board.route(index)[0] for index in range(2)] == [sent, handled]


def test_a_signal_handler_may_close_the_node_in_the_middle_of_a_send(
    wire: Rigs, on_alarm: Any
) -> None:
    rig = wire(outputs=("out",))

    def send_on_and_on() -> None:
        while True:
            rig.node.send_output("out", np.zeros(2000))

    on_alarm(rig.node.close)
    with pytest.raises(NodeClosedError):
        send_on_and_on()


def _in_child(check: Any) -> None:
    """Run `check` in a forked child; fail with what it raised."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            check()
            os.write(write, b"ok")
        except BaseException as exc:
            os.write(write, repr(exc).encode()[:4000])
        finally:
            os._exit(0)
    os.close(write)
    told = os.read(read, 5000)
    os.close(read)
    os.waitpid(pid, 0)
    assert told == b"ok", told


def test_a_forked_child_sends_nothing_receives_nothing_and_is_told_why(wire: Rigs) -> None:
    rig = wire({"a": 10}, ("out",))
    node = rig.node

    def check() -> None:
        for call in (
            lambda: node.send_output("out", 1),
            lambda: node.next(timeout=0),
            lambda: node.try_recv(),
            lambda: node.loan(3),
            lambda: node.send_output_raw("out", 3),
            lambda: next(iter(node)),
        ):
            with pytest.raises(NodeClosedError, match=rf"forked from node `n` \(pid {parent}\)"):
                call()
        node.close()

    parent = os.getpid()
    rig.send("a", 5)
    _in_child(check)
    event: Any = node.next(DEADLINE_S)
    assert event["value"].to_pylist() == [5]
    assert rig.take("out") is None
    node.send_output("out", 6)
    assert rig.taken("out").to_pylist() == [6]
    assert [type(message) for message in rig.heard()] == [messages.Register]


def test_a_forked_child_reads_what_it_inherited_and_gives_nothing_back(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.send("a", np.arange(5000))
    event: Any = rig.node.next(DEADLINE_S)
    kept = [event["value"]]
    del event

    def check() -> None:
        assert kept[0].sum() == sum(range(5000))
        kept.clear()

    _in_child(check)
    assert rig.held() == 1
    assert kept[0].sum() == sum(range(5000))
    kept.clear()
    assert rig.held() == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_waits_leaves_both_processes_well(wire: Rigs) -> None:
    rig = wire({"a": 10}, ("out",))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(rig.node.next)
        node = rig.node

        def check() -> None:
            with pytest.raises(NodeClosedError):
                node.send_output("out", 1)
            node.close()

        _in_child(check)
        rig.send("a", 1)
        event: Any = waiting.result(DEADLINE_S)
        assert event["type"] == "INPUT"

"""What an edge promises, between real processes: content, order, newest kept, drops counted."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from edge_rig import DEADLINE_S, LONG, Rig

from dora.errors import NodeClosedError
from dora.transport.edge import write_close

MESSAGES = 100_000
MIXED_SIZES = (0, 1, 447, 448, 449, 4096, 4097, 65_536, 0, 1_000_000, 64, 100_000_000, 3, 8_000_000)
SMALL_SIZES = (0, 8, 400, 449, 4096, 0, 64, 64)
POLICIES = pytest.mark.parametrize("backpressure", [False, True], ids=["drop_oldest", "lossless"])


def assert_counted(rig: Rig, number: int = 0, *, waiting: int = 0) -> None:
    """The board accounts for every message of a route."""
    sent, dropped = rig.board.route(number)
    assert sent == rig.received(number) + dropped + waiting


# ---- content and order ----


@pytest.mark.parametrize("receivers", [1, 4, 16])
def test_every_receiver_gets_every_byte_at_any_size_in_order(receivers: int) -> None:
    sizes = [size for size in MIXED_SIZES if receivers == 1 or LONG or size <= 8_000_000]
    with Rig(receivers, backpressure=True) as rig:
        peers = rig.receivers()
        for peer in peers:
            peer.start("take")
        for number, size in enumerate(sizes * 2):
            rig.send(number, size)
        rig.close_output()
        wanted = {"numbers": list(range(2 * len(sizes))), "damaged": 0, "closed": True}
        assert [peer.result() for peer in peers] == [wanted] * receivers
        for number in range(receivers):
            assert_counted(rig, number)
        assert rig.held() == 0


@pytest.mark.parametrize("receivers", [1, 16] if LONG else [1])
def test_a_hundred_thousand_messages_arrive_whole_and_in_order(receivers: int) -> None:
    with Rig(receivers, backpressure=True, queue_size=100) as rig:
        peers = rig.receivers()
        for peer in peers:
            peer.start("take")
        for number in range(MESSAGES):
            rig.send(number, SMALL_SIZES[number % len(SMALL_SIZES)])
        rig.close_output()
        for peer in peers:
            got = peer.result()
            assert got["numbers"] == list(range(MESSAGES))
            assert got["damaged"] == 0
        assert rig.board.route(0) == (MESSAGES, 0)
        assert rig.held() == 0


@pytest.mark.parametrize("queue_size", [1, 2, 10, 100])
def test_drops_keep_the_order_and_are_counted_exactly_while_both_sides_run(queue_size: int) -> None:
    count = MESSAGES if LONG else MESSAGES // 10
    with Rig(2, queue_size=queue_size) as rig:
        peers = rig.receivers()
        for peer in peers:
            peer.start("take")
        for number in range(count):
            rig.send(number, SMALL_SIZES[number % len(SMALL_SIZES)])
        rig.close_output()
        for number, peer in enumerate(peers):
            got = peer.result()
            assert got["damaged"] == 0
            assert got["numbers"] == sorted(set(got["numbers"]))
            assert got["numbers"][-1] == count - 1
            assert rig.received(number) == len(got["numbers"])
            assert rig.board.route(number)[0] == count
            assert_counted(rig, number)
        assert rig.held() == 0


def test_loans_and_copies_of_all_sizes_keep_their_order_and_content() -> None:
    with Rig(2, backpressure=True) as rig:
        peers = rig.receivers()
        for peer in peers:
            peer.start("take")
        for number in range(300):
            size = (1, 400, 5000, 200_000)[number % 4]
            (rig.send_loan if number % 3 else rig.send)(number, size)
        rig.close_output()
        for peer in peers:
            assert peer.result() == {"numbers": list(range(300)), "damaged": 0, "closed": True}
        assert rig.held() == 0


@POLICIES
def test_threads_send_on_one_output_and_each_ones_order_is_kept(backpressure: bool) -> None:
    threads, each = 4, 500
    with Rig(1, queue_size=20, backpressure=backpressure) as rig:
        (peer,) = rig.receivers()
        peer.start("take")

        def send_all(first: int) -> None:
            for number in range(first, threads * each, threads):
                rig.send(number, SMALL_SIZES[number // threads % len(SMALL_SIZES)])

        senders = [threading.Thread(target=send_all, args=(first,)) for first in range(threads)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(DEADLINE_S)
        rig.close_output()
        got = peer.result()
        for first in range(threads):
            mine = [number for number in got["numbers"] if number % threads == first]
            assert mine == sorted(set(mine))
        assert got["damaged"] == 0
        assert not backpressure or len(got["numbers"]) == threads * each
        assert rig.board.route(0)[0] == threads * each
        assert_counted(rig)
        assert rig.held() == 0


# ---- the queue ----


@pytest.mark.parametrize("queue_size", [1, 2, 7, 8, 9, 10, 16, 17, 100, 1000])
def test_after_a_burst_a_busy_receiver_gets_the_newest_queue_size_messages(queue_size: int) -> None:
    count = 3 * queue_size + 5
    with Rig(queue_size=queue_size) as rig:
        for number in range(count):
            rig.send(number, SMALL_SIZES[number % len(SMALL_SIZES)])
            assert rig.edges[0].waiting() == min(number + 1, queue_size)
        port = rig.port()
        newest = []
        while (event := port.take()) is not None:
            newest.append(event["metadata"]["number"])  # type: ignore[typeddict-item]
        assert newest == list(range(count - queue_size, count))
        assert rig.board.route(0) == (count, count - queue_size)
        assert_counted(rig)
        del event
        port.close()


def test_a_receiver_that_computes_and_reads_nothing_holds_no_more_than_its_queue() -> None:
    with Rig(queue_size=3) as rig:
        (peer,) = rig.receivers()
        rig.send(0, 4096)
        assert peer.call("take", 1, keep=True)["numbers"] == [0]
        for number in range(1, 500):  # the receiver is busy: nobody asked it to read
            rig.send(number, 4096)
            assert rig.edges[0].waiting() <= 3
        assert rig.held() == 1 + 3
        assert peer.call("take_waiting")["numbers"] == [497, 498, 499]
        assert peer.call("damaged_kept") == 0
        assert_counted(rig)


@pytest.mark.parametrize("queue_size", [1, 10, 33])
def test_backpressure_waits_when_queue_size_messages_wait_and_goes_on_with_the_next_read(
    queue_size: int,
) -> None:
    with Rig(queue_size=queue_size, backpressure=True) as rig:
        (peer,) = rig.receivers()
        for number in range(queue_size):
            rig.send(number)
        assert not rig.control.waiting.is_set()
        one_more = threading.Thread(target=rig.send, args=(queue_size,))
        one_more.start()
        assert rig.control.waiting.wait(DEADLINE_S)
        assert rig.edges[0].waiting() == queue_size
        assert peer.call("take", 1)["numbers"] == [0]
        one_more.join(DEADLINE_S)
        assert not one_more.is_alive()
        rig.close_output()
        assert peer.call("take")["numbers"] == list(range(1, queue_size + 1))
        assert rig.board.route(0) == (queue_size + 1, 0)


def test_backpressure_never_lets_more_than_queue_size_messages_wait() -> None:
    with Rig(queue_size=5, backpressure=True) as rig:
        (peer,) = rig.receivers()
        peer.start("take")
        most = 0
        for number in range(5000):
            rig.send(number, 64 if number % 10 else 5000)
            most = max(most, rig.edges[0].waiting())
        rig.close_output()
        assert peer.result()["numbers"] == list(range(5000))
        assert most <= 5


def test_a_stop_frees_a_sender_that_waits_and_what_it_gave_up_is_counted() -> None:
    with Rig(queue_size=2, backpressure=True) as rig:
        rig.send(0)
        rig.send(1)
        third = threading.Thread(target=rig.send, args=(2,))
        third.start()
        assert rig.control.waiting.wait(DEADLINE_S)
        rig.control.interrupted = True
        third.join(DEADLINE_S)
        assert not third.is_alive()
        assert rig.board.route(0) == (3, 1)
        assert_counted(rig, waiting=2)


def test_a_slow_receiver_loses_only_its_own_messages() -> None:
    with Rig(2, queue_size=4) as rig:
        fast, slow = rig.receivers()
        for number in range(200):
            rig.send(number, 5000)
            assert fast.call("take", 1)["numbers"] == [number]
        assert slow.call("take_waiting")["numbers"] == [196, 197, 198, 199]
        assert rig.board.route(0) == (200, 0)
        assert rig.board.route(1) == (200, 196)
        assert rig.held() == 0


# ---- correlated messages ----


def test_correlated_messages_are_neither_dropped_nor_reordered() -> None:
    with Rig(queue_size=3) as rig:
        (peer,) = rig.receivers()
        for number in range(60):
            if number % 10 == 0:
                rig.send(number, 5000, request_id=str(number))
            else:
                rig.send(number, 5000)
        got = peer.call("take_waiting")["numbers"]
        assert got == [0, 10, 20, 30, 40, 50, 59]
        assert_counted(rig)
        assert rig.held() == 0


def test_one_unread_request_does_not_let_the_queue_grow_past_its_size() -> None:
    with Rig(queue_size=4) as rig:
        rig.send(0, request_id="first")
        for number in range(1, 200):
            rig.send(number)
            assert rig.edges[0].waiting() <= 4
        (peer,) = rig.receivers()
        assert peer.call("take_waiting")["numbers"] == [0, 197, 198, 199]


@pytest.mark.parametrize("key", ["request_id", "goal_id", "goal_status"])
def test_correlated_messages_all_arrive_in_order_while_both_sides_run(key: str) -> None:
    with Rig(queue_size=2) as rig:
        (peer,) = rig.receivers()
        peer.start("take")
        for number in range(5000):
            facts = {key: "succeeded"} if number % 5 < 2 else {}
            rig.send(number, SMALL_SIZES[number % len(SMALL_SIZES)], **facts)
        rig.close_output()
        got = peer.result()["numbers"]
        assert got == sorted(set(got))
        assert {number for number in range(5000) if number % 5 < 2} <= set(got)
        assert_counted(rig)
        assert rig.held() == 0


# ---- ends ----


@POLICIES
def test_close_comes_after_all_data_also_through_a_full_queue(backpressure: bool) -> None:
    with Rig(queue_size=10, backpressure=backpressure) as rig:
        for number in range(10):
            rig.send(number, 5000)
        rig.close_output()
        (peer,) = rig.receivers()
        got = peer.call("take")
        assert got == {"numbers": list(range(10)), "damaged": 0, "closed": True}


def test_what_was_sent_just_before_the_sender_was_killed_is_delivered() -> None:
    sizes = [0, 64, 5000, 1_000_000, 449] * 2
    with Rig(2, queue_size=10, sends_here=False) as rig:
        sender = rig.sending_peer()
        sender.start("send_and_die", 0, sizes)
        status, _ = sender.wait()
        assert status == -9
        for peer in rig.receivers():
            got = peer.call("take", 10)
            assert got == {"numbers": list(range(10)), "damaged": 0, "closed": False}
        assert [rig.board.route(number) for number in (0, 1)] == [(10, 0)] * 2


@POLICIES
def test_a_sender_killed_in_mid_send_leaves_whole_messages_in_order(backpressure: bool) -> None:
    with Rig(queue_size=10, backpressure=backpressure, sends_here=False) as rig:
        (peer,) = rig.receivers()
        sender = rig.sending_peer()
        sender.start("send", 0, [64, 5000, 449, 300_000] * 100_000)
        first = peer.call("take", 50)["numbers"]
        sender.kill()
        rest = peer.call("take_waiting")["numbers"]
        numbers = first + rest
        assert numbers == sorted(set(numbers))
        assert not backpressure or numbers == list(range(len(numbers)))
        sent, dropped = rig.board.route(0)
        # It may have died between putting a message on the edge, or taking one off, and counting.
        assert len(numbers) - 1 <= sent - dropped <= len(numbers) + 1
        assert write_close(rig.pipes[0].ticket_write)
        assert peer.call("take") == {"numbers": [], "damaged": 0, "closed": True}


def test_values_outlive_their_sender() -> None:
    with Rig(sends_here=False) as rig:
        (peer,) = rig.receivers()
        sender = rig.sending_peer()
        sender.start("send_and_die", 0, [5000, 2_000_000])
        peer.call("take", 2, keep=True)
        sender.wait()
        assert peer.call("damaged_kept") == 0


def test_the_slots_of_a_killed_receiver_come_back_and_the_others_read_on() -> None:
    with Rig(2, queue_size=10) as rig:
        doomed, other = rig.receivers()
        for number in range(8):
            rig.send(number, 5000)
        doomed.call("take", 5, keep=True)
        doomed.kill()
        other.call("take", 8, keep=True)
        assert rig.held() == 8
        rig.sender.receiver_gone([0], died=True)
        assert rig.held() == 8  # the other one has them all
        rig.send(8, 5000)
        assert other.call("take", 1)["numbers"] == [8]
        assert other.call("damaged_kept") == 0
        other.call("let_go")
        assert rig.held() == 0


def test_a_receiver_killed_while_it_reads_leaves_the_sender_and_the_others_unharmed() -> None:
    with Rig(2, queue_size=10) as rig:
        doomed, other = rig.receivers()
        doomed.start("take", keep=True)
        other.start("take")
        for number in range(3000):
            if number == 1000:
                doomed.kill()
                rig.sender.receiver_gone([0], died=True)
            rig.send(number, 5000 if number % 2 else 64)
        rig.close_output()
        got = other.result()
        assert got["numbers"] == sorted(set(got["numbers"]))
        assert got["numbers"][-1] == 2999
        assert got["damaged"] == 0
        assert_counted(rig, 1)
        assert rig.held() == 0


def test_a_receiver_that_starts_again_reads_on_where_the_killed_one_stopped() -> None:
    with Rig(queue_size=10) as rig:
        first = rig.receiver()
        for number in range(10):
            rig.send(number, 5000)
        assert first.call("take", 4)["numbers"] == [0, 1, 2, 3]
        first.kill()
        second = rig.receiver()
        rig.send(10, 5000)
        rig.close_output()
        got = second.call("take")
        assert got == {"numbers": list(range(4, 11)), "damaged": 0, "closed": True}
        assert rig.held() == 0


def test_a_sender_that_starts_again_counts_what_the_killed_one_left_in_the_queue() -> None:
    with Rig(queue_size=8, sends_here=False) as rig:
        first = rig.sending_peer()
        first.start("send_and_die", 0, [64] * 8)
        first.wait()
        second = rig.sending_peer()
        second.call("send", 8, [64] * 20)
        (peer,) = rig.receivers()
        assert peer.call("take_waiting")["numbers"] == list(range(20, 28))


def test_closing_frees_a_sender_that_waits_and_nothing_is_written_to_its_old_descriptors() -> None:
    with Rig(queue_size=2, backpressure=True) as rig:
        rig.send(0)
        rig.send(1)
        with ThreadPoolExecutor(1) as pool:
            third = pool.submit(rig.send, 2)
            assert rig.control.waiting.wait(DEADLINE_S)
            rig.sender.close()
            pipes = [os.pipe() for _ in range(16)]  # takes every number that is free now
            with pytest.raises(NodeClosedError):
                third.result(DEADLINE_S)
        for read, write in pipes:
            os.close(write)
            assert os.read(read, 1024) == b""
            os.close(read)
        assert rig.port().take() is not None

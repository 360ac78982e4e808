"""What the shared memory of a sender promises: content while held, room again when let go."""

from __future__ import annotations

import os

import numpy as np
import pytest
from edge_messages import is_whole
from edge_rig import LONG, Rig

from dora.errors import ArenaFullError
from dora.transport.arena import Arena, ArenaView, create_memory, reopen_read_only
from dora.wire.ticket import PAGE_BYTES

MB = 1_000_000


def test_a_receiver_that_keeps_everything_finds_it_all_unchanged() -> None:
    sizes = [64, 5000, 449, 70_000, 0, 400_000] * (120 if LONG else 50)
    with Rig(2, backpressure=True) as rig:
        keeper, other = rig.receivers()
        keeper.start("take", keep=True)
        other.start("take")
        for number, size in enumerate(sizes):
            rig.send(number, size)
        rig.close_output()
        assert keeper.result()["numbers"] == list(range(len(sizes)))
        assert other.result()["numbers"] == list(range(len(sizes)))
        assert keeper.call("damaged_kept") == 0
        assert rig.held() == sum(size > 400 for size in sizes)
        keeper.call("let_go")
        assert rig.held() == 0


def test_a_full_arena_says_what_to_do_and_recovers_when_values_are_let_go() -> None:
    with Rig(queue_size=10, arena_bytes=16 * PAGE_BYTES) as rig:
        (peer,) = rig.receivers()
        for number in range(2):
            rig.send(number, 7 * PAGE_BYTES)
        assert peer.call("take", 2, keep=True)["numbers"] == [0, 1]
        with pytest.raises(ArenaFullError, match="let go of received values, or copy"):
            rig.send(2, 7 * PAGE_BYTES)
        assert peer.call("damaged_kept") == 0
        peer.call("let_go")
        rig.send(3, 7 * PAGE_BYTES)
        assert peer.call("take", 1)["numbers"] == [3]
        assert rig.board.route(0)[0] == rig.received()


def test_a_full_arena_recovers_also_for_messages_of_other_sizes() -> None:
    with Rig(queue_size=100, arena_bytes=64 * PAGE_BYTES) as rig:
        (peer,) = rig.receivers()
        for number, pages in enumerate([1] * 64):
            rig.send(number, pages * PAGE_BYTES)
        peer.call("take", 64, keep=True)
        with pytest.raises(ArenaFullError):
            rig.send(64, PAGE_BYTES)
        peer.call("let_go")
        for number, pages in enumerate([32, 16, 8, 8], 64):
            rig.send(number, pages * PAGE_BYTES)
        assert peer.call("take", 4, keep=True)["numbers"] == [64, 65, 66, 67]
        peer.call("let_go")
        rig.send(68, 64 * PAGE_BYTES)
        assert peer.call("take", 1) == {"numbers": [68], "damaged": 0, "closed": False}


def test_freed_memory_above_the_watermark_goes_back_to_the_system() -> None:
    with Rig(queue_size=100) as rig:
        (peer,) = rig.receivers()
        for number in range(40):
            rig.send(number, 8 * MB)
        assert rig.resident_bytes() >= 320 * MB
        peer.call("take", 40)
        assert rig.held() == 0
        assert rig.resident_bytes() <= 130 * (1 << 20)
        rig.send(40, 8 * MB)
        assert peer.call("take", 1) == {"numbers": [40], "damaged": 0, "closed": False}


def test_memory_does_not_grow_with_the_number_of_messages() -> None:
    with Rig(queue_size=4) as rig:
        port = rig.port()
        for number in range(2000):
            rig.send(number, 20_000)
            if number % 3 == 0:
                assert is_whole(port.take())
        assert rig.resident_bytes() <= 40 * 32_768
        port.close()


@pytest.mark.parametrize("queued", [False, True], ids=["read", "dropped"])
def test_an_empty_value_with_long_metadata_leaves_no_slot_behind(queued: bool) -> None:
    with Rig(queue_size=1) as rig:
        port = rig.port()
        for number in range(100):
            rig.send(number, 0, note="x" * 2000)
            if not queued:
                event = port.take()
                assert event is not None
                assert event["metadata"]["note"] == "x" * 2000  # type: ignore[typeddict-item]
        assert rig.held() == (1 if queued else 0)
        port.close()


def test_a_return_pipe_that_is_full_loses_nothing() -> None:
    count = 1500  # the pipe holds 512 returns
    with Rig(queue_size=count) as rig:
        (peer,) = rig.receivers()
        for number in range(count):
            rig.send(number, 500)
        peer.call("take", count, keep=True)
        assert rig.held() == count
        peer.call("let_go")
        assert 0 < rig.held() < count
        for number in range(3):  # what did not fit is returned with the next messages
            rig.send(number, 500)
            peer.call("take", 1)
            rig.held()
        assert rig.held() == 0


def test_a_receiver_under_backpressure_does_not_hoard_what_its_sender_has_no_use_for() -> None:
    with Rig(queue_size=10, backpressure=True) as rig:
        port = rig.port()
        for number in range(5000):
            rig.send(number, 8)
            assert is_whole(port.take())
        assert len(port._edge._returns.unsent) <= 1
        port.close()


def test_a_loan_that_is_never_sent_comes_back_when_it_is_collected() -> None:
    with Rig(arena_bytes=8 * PAGE_BYTES) as rig:
        for _ in range(100):
            loan = rig.sender.lend(PAGE_BYTES, 0)
            assert rig.held() == 1
            del loan
        assert rig.held() == 0


def test_memory_of_a_loan_the_sender_still_has_is_not_used_again() -> None:
    with Rig() as rig:
        (peer,) = rig.receivers()
        loan = rig.sender.lend(5000, rig.base_address)
        array = np.asarray(loan)
        array[:] = 7
        for number in range(50):
            rig.send(number, 5000)
            peer.call("take", 1)
        assert (array == 7).all()
        del loan, array
        assert rig.held() == 0


def test_receivers_cannot_write_into_a_senders_memory() -> None:
    with Rig() as rig:
        port = rig.port()
        rig.send(0, 5000)
        rig.send(1, 64)
        for _ in range(2):
            event = port.take()
            assert event is not None
            value = event["value"]  # type: ignore[typeddict-item]
            assert not value.flags.writeable
            with pytest.raises(ValueError, match="WRITEABLE"):
                value.flags.writeable = True
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.pwrite(rig.memory, b"x", 0)
        port.close()


def test_a_body_that_fails_to_be_written_leaves_no_slot_behind() -> None:
    def fail(_memory: memoryview) -> None:
        raise RuntimeError("no")

    with Rig() as rig:
        for _ in range(10):
            with pytest.raises(RuntimeError, match="no"):
                rig.sender.send("out", (b"pu1", 5000, fail))
        assert rig.held() == 0
        assert rig.edges[0].waiting() == 0
        (peer,) = rig.receivers()
        rig.send(0, 5000)
        assert peer.call("take", 1)["damaged"] == 0


def test_a_view_closed_before_it_was_used_gives_its_descriptor_up() -> None:
    memory = create_memory("arena", 4 * PAGE_BYTES)
    read_only = reopen_read_only(memory)
    view = ArenaView(read_only, 4 * PAGE_BYTES)
    view.close()
    view.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read_only)
    Arena(memory, 1, 4 * PAGE_BYTES)

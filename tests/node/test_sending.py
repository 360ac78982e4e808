"""What a node may send, what it may not, and the memory it may borrow to write in place."""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from dora.errors import (
    DoraError,
    MetadataError,
    NodeClosedError,
    OutputError,
    PayloadTypeError,
    SampleError,
)

if TYPE_CHECKING:
    from .rig import Rig, Rigs


def address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def test_what_was_sent_may_change_at_once(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    for size in (4, 4000, 400_000):
        array = np.arange(size)
        rig.node.send_output("out", array)
        array[:] = -1
        assert np.array_equal(rig.taken("out"), np.arange(size))


def test_sizes_from_nothing_to_many_pages_arrive_in_order(wire: Rigs) -> None:
    rig = wire(outputs=("out",), queue_size=100)
    sizes = [0, 1, 15, 16, 440, 447, 448, 449, 500, 4095, 4096, 4097, 65_536, 1_000_003]
    for size in sizes:
        rig.node.send_output("out", np.full(size, size % 251, np.uint8), {"size": size})
    for size in sizes:
        event = rig.take("out")
        assert event is not None
        assert event["type"] == "INPUT"
        assert event["metadata"]["size"] == size
        assert event["value"].shape == (size,)
        assert (event["value"] == size % 251).all()
        assert not event["value"].flags.writeable


def test_received_values_stay_as_they_were_however_much_is_sent_after(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    kept = []
    for number in range(60):
        rig.node.send_output("out", np.full(3000, number))
        kept.append(rig.taken("out"))
    assert all((array == number).all() for number, array in enumerate(kept))


def test_an_undeclared_output_is_named_in_one_warning_and_dropped(
    wire: Rigs, caplog: pytest.LogCaptureFixture
) -> None:
    rig = wire(outputs=("image", "boxes"))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            rig.node.send_output("imag", 1)
        rig.node.send_output("other", object())
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 2
    assert "`imag`" in texts[0]
    assert "did you mean `image`" in texts[0]
    assert "image, boxes" in texts[1]
    assert rig.board.output(0) == (0, 0)


@pytest.mark.parametrize("name", ["", "a b", "/a", "a/", "a//b", "ä", "a\n", None, 5, b"out"])
def test_an_output_that_cannot_be_one_is_an_error(wire: Rigs, name: Any) -> None:
    rig = wire(outputs=("out",))
    with pytest.raises(OutputError, match="cannot be the name of an output"):
        rig.node.send_output(name, 1)


def test_a_value_or_metadata_that_cannot_be_sent_is_an_error_and_sends_nothing(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    with pytest.raises(PayloadTypeError, match="cannot be sent"):
        rig.node.send_output("out", object())
    with pytest.raises(MetadataError, match="`key`"):
        rig.node.send_output("out", 1, {"key": object()})
    with pytest.raises(TypeError):
        rig.node.send_output("out", 1, "text")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        rig.node.send_output("out", {1: 2})
    assert rig.board.output(0) == (0, 0)
    assert rig.take("out") is None


def test_a_message_to_nobody_is_counted_and_costs_no_memory(wire: Rigs) -> None:
    rig = wire(outputs=("out",), queue_size=1)
    for number in range(50):
        rig.node.send_output("out", np.full(100_000, number))
    assert rig.board.output(0)[0] == 50
    assert rig.board.route(0) == (50, 49)
    assert (rig.taken("out") == 49).all()


def test_correlated_messages_are_never_dropped(wire: Rigs) -> None:
    rig = wire(outputs=("out",), queue_size=4)
    for number in range(20):
        rig.node.send_output("out", number, {"request_id": str(number)})
    got = [rig.taken("out").to_pylist() for _ in range(20)]
    assert got == [[number] for number in range(20)]


# ---- loans ----


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((), "f8"), (5, "f4"), ((3, 4), ">i2"), ((2, 0), "u1"), (0, "u1"), ((480, 640, 3), "u1"),
     (7, "U5"), (3, [("a", "i4"), ("b", "f8", 2)]), (np.int64(4), "M8[ns]"), ([2, 2], bool)],
)  # fmt: skip
def test_a_loan_has_the_shape_and_dtype_asked_for_and_arrives_so(
    wire: Rigs, shape: Any, dtype: Any
) -> None:
    rig = wire(outputs=("out",))
    array = rig.node.loan(shape, dtype)
    wanted: np.ndarray[Any, Any] = np.zeros(shape, dtype)
    assert array.dtype == wanted.dtype
    assert array.shape == wanted.shape
    assert array.flags.c_contiguous
    assert array.flags.writeable
    array[...] = np.ones((), array.dtype)
    rig.node.send_output("out", array, {"n": 1})
    got = rig.taken("out")
    assert got.dtype == wanted.dtype
    assert np.array_equal(got, np.ones(shape, dtype))


def test_a_loan_is_sent_where_it_lies(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    array = rig.node.loan((300, 400), np.uint8)
    array[:] = 7
    own = address(np.frombuffer(rig.node._sender.arena.memory, np.uint8))
    rig.node.send_output("out", array)
    got = rig.taken("out")
    # Two mappings of one memory: the value lies in both at the same place.
    assert address(array) - own == address(got) - rig.view_address
    assert (got == 7).all()


def test_a_loan_is_read_only_once_it_was_sent_and_so_are_views_it_was_sent_by(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    array = rig.node.loan((2, 3), "i4")
    array[:] = 1
    rig.node.send_output("out", array)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 5
    flat = rig.node.loan(6, "i4")
    flat[:] = 2
    shaped = flat.reshape(2, 3)
    rig.node.send_output("out", shaped)
    assert not shaped.flags.writeable
    assert not flat.flags.writeable
    assert np.array_equal(rig.taken("out"), np.ones((2, 3), "i4"))
    assert np.array_equal(rig.taken("out"), np.full((2, 3), 2, "i4"))


def test_a_loan_may_be_sent_again_and_to_other_outputs(wire: Rigs) -> None:
    rig = wire(outputs=("one", "two"))
    array = rig.node.loan(1000, "f8")
    array[:] = 3
    for name in ("one", "two", "one"):
        rig.node.send_output(name, array)
    for name in ("one", "two", "one"):
        assert (rig.taken(name) == 3).all()


def test_part_of_a_loan_is_copied_and_the_loan_stays_writable(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    array = rig.node.loan((100, 100), np.uint8)
    array[:] = 1
    for part in (array[:50], array[:, 3], array[::-1], array.T, array[5], array[:0]):
        rig.node.send_output("out", part)
        assert array.flags.writeable
        assert np.array_equal(rig.taken("out"), part)
    array[:] = 2
    rig.node.send_output("out", array)
    assert (rig.taken("out") == 2).all()
    assert not array.flags.writeable


def test_what_is_computed_from_a_loan_is_not_the_loan(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    array = rig.node.loan(1000, "i8")
    array[:] = 1
    rig.node.send_output("out", array + 1)
    rig.node.send_output("out", array.copy())
    rig.node.send_output("out", pa.array(array))
    assert array.flags.writeable
    assert (rig.taken("out") == 2).all()
    assert (rig.taken("out") == 1).all()
    assert rig.taken("out").to_pylist() == [1] * 1000


def test_a_loan_that_is_never_sent_is_taken_back_when_it_is_collected(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    places = set()
    for _ in range(20):
        array = rig.node.loan(10_000, "f8")
        places.add(address(array))
        del array
        gc.collect()
    assert len(places) <= 2


def test_a_loan_that_is_kept_is_never_overwritten(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    kept = []
    for number in range(30):
        array = rig.node.loan(10_000, "i8")
        array[:] = number
        if number % 2:
            rig.node.send_output("out", array)
            rig.taken("out")
        kept.append(array)
        rig.node.send_output("out", np.full(10_000, -1))
        rig.taken("out")
    assert all((array == number).all() for number, array in enumerate(kept))


def test_a_view_of_a_loan_keeps_it(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    array = rig.node.loan(10_000, "i8")
    array[:] = 5
    view = array[10:20]
    del array
    for _ in range(10):
        other = rig.node.loan(10_000, "i8")
        other[:] = 9
        rig.node.send_output("out", other)
        rig.taken("out")
    assert (view == 5).all()


def test_a_sent_loan_is_freed_when_sender_and_receiver_let_go(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    places = set()
    for _ in range(30):
        array = rig.node.loan(100_000, "u1")
        places.add(address(array))
        rig.node.send_output("out", array)
        got = rig.taken("out")
        del array, got
    assert len(places) <= 3


def test_a_loan_outlives_its_node(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    array = rig.node.loan(10_000, "i8")
    array[:] = 4
    rig.node.close()
    array[0] = 5
    assert array[:2].tolist() == [5, 4]
    with pytest.raises(NodeClosedError):
        rig.node.loan(1)
    with pytest.raises(NodeClosedError):
        rig.node.send_output("out", array)


def test_a_loan_with_metadata_larger_than_a_ticket_arrives(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    for size in (10, 600, 3000, 100_000):
        array = rig.node.loan(500, "f4")
        array[:] = size
        rig.node.send_output("out", array, {"text": "x" * size})
        event = rig.take("out")
        assert event is not None
        assert event["type"] == "INPUT"
        assert len(event["metadata"]["text"]) == size
        assert (event["value"] == size).all()


def test_a_loan_that_cannot_be_is_an_error(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    with pytest.raises(PayloadTypeError, match="Python objects"):
        rig.node.loan(3, object)
    for shape in (-1, (2, -3)):
        with pytest.raises(ValueError, match="negative"):
            rig.node.loan(shape)
    for shape in (1.5, "3", (1.5,), None):
        with pytest.raises(TypeError):
            rig.node.loan(shape)  # type: ignore[arg-type]
    with pytest.raises(DoraError, match="no room"):
        rig.node.loan(1 << 40)


# ---- raw samples ----


def raw(rig: Rig, size: int = 10) -> Any:
    return rig.node.send_output_raw("out", size, {"n": 1})


def test_a_raw_sample_is_written_in_place_and_sent_at_the_end_of_its_block(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    with raw(rig) as buffer:
        assert (buffer.format, buffer.ndim, buffer.nbytes) == ("B", 1, 10)
        assert not buffer.readonly
        np.frombuffer(buffer, np.uint8)[:] = range(10)
        assert rig.take("out") is None
    event = rig.take("out")
    assert event is not None
    assert event["type"] == "INPUT"
    assert event["value"].equals(pa.array(range(10), pa.uint8()))
    assert event["metadata"]["n"] == 1


def test_the_ways_of_dora_rs_to_write_a_sample_work(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    frame = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    with raw(rig, 24) as buffer:
        np.asarray(buffer, dtype=np.uint8).reshape(2, 4, 3)[:] = frame
    sample = raw(rig, 24)
    view = sample.as_memoryview()
    array = np.asarray(view, dtype=np.uint8).reshape(2, 4, 3)
    array[:] = frame
    del array
    view.release()
    sample.send()
    sample = raw(rig, 24)
    sample.as_buffer()[:] = frame.tobytes()
    assert sample.as_buffer() is sample.as_buffer()
    sample.send()
    for _ in range(3):
        assert rig.taken("out").to_numpy().tobytes() == frame.tobytes()


def test_a_sample_is_not_sent_after_an_exception(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    with pytest.raises(ZeroDivisionError), raw(rig) as buffer:
        buffer[0] = 1 // 0
    assert rig.take("out") is None


def test_a_sample_with_open_views_is_refused_and_can_be_sent_when_they_are_gone(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    sample = raw(rig)
    first, second = sample.as_memoryview(), sample.as_memoryview()
    with pytest.raises(SampleError, match=r"Cannot send: 2 buffer view\(s\) are still open"):
        sample.send()
    first.release()
    with pytest.raises(RuntimeError, match=r"Cannot send: 1 buffer view"):
        sample.send()
    second[:] = b"0123456789"
    del second
    sample.send()
    assert rig.taken("out").to_numpy().tobytes() == b"0123456789"


def test_an_array_made_from_the_buffer_counts_as_a_view(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    sample = raw(rig)
    array = np.frombuffer(sample.as_buffer(), np.uint8)
    with pytest.raises(SampleError, match="Cannot send: 1 buffer view"):
        sample.send()
    del array
    sample.send()


def test_a_sample_is_sent_once_and_gives_no_buffer_afterwards(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    sample = raw(rig)
    with sample as buffer:
        pass
    with pytest.raises(SampleError, match="Sample has already been sent"):
        sample.send()
    with pytest.raises(BufferError):
        sample.as_buffer()
    with pytest.raises(BufferError):
        sample.as_memoryview()
    with pytest.raises(ValueError, match="released"):
        buffer[0] = 1
    assert rig.taken("out") is not None
    assert rig.take("out") is None


@pytest.mark.parametrize("size", [0, 1, 4096, 1_000_000])
def test_a_sample_of_any_length_arrives(wire: Rigs, size: int) -> None:
    rig = wire(outputs=("out",))
    with raw(rig, size) as buffer:
        buffer[:] = b"\5" * size
    assert rig.taken("out").to_numpy().tobytes() == b"\5" * size


def test_a_raw_send_that_cannot_be_is_an_error(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    with pytest.raises(OutputError, match="`other` not in node's output list"):
        rig.node.send_output_raw("other", 5)
    with pytest.raises(ValueError, match="negative"):
        rig.node.send_output_raw("out", -1)
    with pytest.raises(MetadataError), rig.node.send_output_raw("out", 1, {"key": object()}):
        pass
    sample = raw(rig)
    rig.node.close()
    with pytest.raises(NodeClosedError):
        sample.send()
    with pytest.raises(NodeClosedError):
        raw(rig)


def test_samples_that_are_never_sent_cost_no_memory(wire: Rigs) -> None:
    rig = wire(outputs=("out",))
    before = rig.node._sender.arena.held
    for _ in range(50):
        raw(rig, 100_000)
    gc.collect()
    rig.node.loan(1)
    assert rig.node._sender.arena.held <= before + 2


# ---- received values and their slots ----


def test_slots_come_back_when_the_last_view_of_a_value_dies(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.send("a", np.arange(5000))
    event = rig.node.next(5)
    assert event is not None
    assert event["type"] == "INPUT"
    view = event["value"][10:20].reshape(2, 5)
    assert rig.held() == 1
    del event
    assert rig.held() == 1
    assert view[0, 0] == 10
    del view
    gc.collect()
    assert rig.held() == 0


@pytest.mark.parametrize(
    "data", [pa.array(range(5000)), pa.array(["text"] * 500), pa.array([{"x": [1, None]}] * 500)]
)
def test_arrow_values_give_their_slot_back_too(wire: Rigs, data: pa.Array) -> None:
    rig = wire({"a": 10})
    rig.send("a", data)
    event = rig.node.next(5)
    assert event is not None
    assert event["type"] == "INPUT"
    part = event["value"].slice(3, 5)
    del event
    assert rig.held() == 1
    assert part.to_pylist() == data.slice(3, 5).to_pylist()
    del part
    gc.collect()
    assert rig.held() == 0


def test_a_value_outlives_event_node_and_sender(wire: Rigs) -> None:
    rig = wire({"a": 10})
    rig.send("a", np.arange(5000))
    rig.send("a", pa.array(["a", "b"] * 400))
    values = [event["value"] for event in (rig.node.try_recv(), rig.node.try_recv()) if event]  # type: ignore[typeddict-item]
    rig.close()
    rig.forget_node()
    gc.collect()
    assert values[0].sum() == sum(range(5000))
    assert values[1].to_pylist() == ["a", "b"] * 400

"""A node on a stage is fed and heard as in a dataflow, without one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from dora.errors import NodeClosedError, OutputError, PayloadTypeError
from dora.node.core import Core
from dora.node.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dora.node.event_types import InputEvent


class Played:
    """A node, its stage, and what it sent."""

    def __init__(self, outputs: tuple[str, ...] | None = None) -> None:
        self.sent: list[InputEvent] = []
        self.stage = Stage("actor", self.sent.append, outputs=outputs)
        self.node = Core(self.stage)


@pytest.fixture
def played() -> Iterator[Played]:
    made = Played()
    yield made
    made.node.close()


def test_what_is_fed_arrives_as_from_another_node(played: Played) -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    played.stage.feed("image", image, {"encoding": "mono8"})
    event = played.node.next()
    assert event is not None
    assert event["type"] == "INPUT"
    np.testing.assert_array_equal(event["value"], image)
    assert not event["value"].flags.writeable
    assert event["metadata"]["encoding"] == "mono8"
    assert event["metadata"]["type_info"] == "uint8[3, 4]"


@pytest.mark.parametrize("value", [b"bytes", "text", 5, [1.5], {"x": 1}, pa.array([1, None])])
def test_what_the_node_sends_is_handed_over_at_once(played: Played, value: Any) -> None:
    played.node.send_output("out", value, {"n": 1})
    (event,) = played.sent
    assert event["id"] == "out"
    assert event["metadata"]["n"] == 1
    assert isinstance(event["value"], pa.Array)


def test_loans_and_raw_samples_can_be_sent(played: Played) -> None:
    lent = played.node.loan((2, 3), "float32")
    lent[:] = 7
    played.node.send_output("lent", lent)
    with played.node.send_output_raw("raw", 3) as buffer:
        buffer[:] = b"abc"
    assert played.sent[0]["value"].tolist() == [[7, 7, 7]] * 2
    assert bytes(played.sent[1]["value"].to_numpy()) == b"abc"


def test_stop_ends_the_stream(played: Played) -> None:
    played.stage.feed("in", 1)
    played.stage.stop()
    assert [event["type"] for event in played.node] == ["INPUT", "STOP"]
    assert played.node.next() is None


def test_a_coroutine_is_woken(played: Played) -> None:
    async def receive() -> Any:
        task = asyncio.create_task(played.node.recv_async())
        await asyncio.sleep(0)
        played.stage.feed("in", 1)
        return await task

    assert asyncio.run(receive())["id"] == "in"


def test_what_could_not_be_sent_cannot_be_fed(played: Played) -> None:
    with pytest.raises(PayloadTypeError):
        played.stage.feed("in", object())


def test_a_closed_output_takes_nothing_more(played: Played) -> None:
    only = Played(("a", "b"))
    only.node.close_outputs("a")
    only.node.send_output("a", 1)
    only.node.send_output("b", 1)
    only.node.send_output("c", 1)
    assert [event["id"] for event in only.sent] == ["b"]
    with pytest.raises(OutputError):
        only.node.close_outputs("c")
    only.node.close()


def test_where_any_output_is_taken_one_can_be_closed_twice_and_takes_nothing_more(
    played: Played, caplog: pytest.LogCaptureFixture
) -> None:
    played.node.send_output("out", 1)
    played.node.close_outputs("out")
    played.node.close_outputs("out", "other")
    played.node.send_output("out", 2)
    assert len(played.sent) == 1
    assert "this node has closed it" in caplog.text


@pytest.mark.parametrize("output", ["no such/ id", "", 5])
def test_what_cannot_name_an_output_in_a_dataflow_cannot_here(played: Played, output: Any) -> None:
    with pytest.raises(OutputError, match="cannot be the name of an output"):
        played.node.send_output(output, 1)
    assert played.sent == []


def test_a_message_sent_while_another_is_handed_over_comes_right_behind_it(
    played: Played,
) -> None:
    """As from a signal handler, which runs in the midst of a send of the same thread."""

    def took(event: InputEvent) -> None:
        if event["id"] == "first":
            played.node.send_output("second", 2)
        played.sent.append(event)

    stage = Stage("actor", took)
    played.node = Core(stage)
    played.node.send_output("first", 1)
    played.node.send_output("third", 3)
    assert [event["id"] for event in played.sent] == ["first", "second", "third"]


def test_what_a_thread_sends_on_a_stage_that_was_closed_meanwhile_is_refused(
    played: Played,
) -> None:
    played.stage.close()
    with pytest.raises(NodeClosedError):
        played.node.send_output("out", 1)

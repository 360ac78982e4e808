"""`Node.interactive()`: fed cell by cell, and nothing waits without end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dora import InputError, Node, PayloadTypeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dora.node.notebook import NotebookNode


@pytest.fixture
def node() -> Iterator[NotebookNode]:
    with Node.interactive() as made:
        yield made


def run_cell(node: NotebookNode) -> list[str]:
    """The loop of a node, as a cell that is run again and again."""
    seen = []
    for event in node:
        seen.append(f"{event['type']} {event.get('id')}")
        if event["type"] == "INPUT":
            node.send_output("out", event["value"], {"of": event["id"]})
    return seen


def test_a_loop_handles_what_was_fed_ends_and_goes_on_with_more(node: NotebookNode) -> None:
    assert run_cell(node) == []
    node.feed("image", np.zeros((2, 3), np.uint8), {"n": 1}).feed("text", "x")
    assert run_cell(node) == ["INPUT image", "INPUT text"]
    node.tick(times=2).close_input("image")
    assert run_cell(node) == ["INPUT tick", "INPUT tick", "INPUT_CLOSED image"]
    node.stop()
    assert run_cell(node) == ["STOP MANUAL"]
    assert [event["metadata"]["of"] for event in node.sent] == ["image", "text", "tick", "tick"]


def test_what_was_sent_is_there_to_look_at(node: NotebookNode) -> None:
    assert repr(node.sent) == "nothing was sent"
    node.send_output("a", np.ones((2, 2), "f4"))
    node.send_output("b", [1, 2])
    assert repr(node.sent) == (
        "a  NumPy float32[2, 2], 16 bytes\n    [[1. 1.]\n     [1. 1.]]\n"
        "b  Arrow int64, 2 elements\n    [1, 2]"
    )
    (value,) = node.sent.of("a")
    assert value.shape == (2, 2)
    node.sent.clear()
    assert node.sent.of("a") == []


def test_next_returns_at_once_without_a_timeout_and_waits_with_one(node: NotebookNode) -> None:
    assert node.next() is None
    late = node.next(timeout=0.01)
    assert late is not None
    assert late["type"] == "ERROR"


def test_coroutines_are_fed_too(node: NotebookNode) -> None:
    async def cell() -> list[str]:
        return [event["type"] async for event in node]

    node.feed("a", 1).feed("b")
    assert asyncio.run(cell()) == ["INPUT", "INPUT"]


def test_what_no_node_could_send_cannot_be_fed(node: NotebookNode) -> None:
    with pytest.raises(PayloadTypeError):
        node.feed("a", object())


def test_feeding_without_an_id_is_refused_not_taken_for_one(node: NotebookNode) -> None:
    with pytest.raises(InputError, match=r'`feed\("image", data\)`; here the id is .* `ndarray`'):
        node.feed(np.zeros(3))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="`my image` cannot be the id of an input"):
        node.feed("my image", 1)
    assert run_cell(node) == []

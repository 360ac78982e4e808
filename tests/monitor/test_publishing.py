from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.errors import DoraError, InputFormatError
from dora.monitor.publishing import message_of, value_of
from dora.monitor.topics import Topic, chosen, table
from dora.wire import metadata
from dora.wire.values import reader_of

if TYPE_CHECKING:
    from pathlib import Path

    from dora.wire.visits import Publish


def read(message: Publish) -> Any:
    reader, _ = reader_of(message.header)
    return reader(message.payload)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=20))
def test_json_is_an_arrow_array_or_with_a_dtype_a_numpy_array(numbers: list[int]) -> None:
    text = json.dumps(numbers)
    assert read(message_of("n", "o", value_of(text, None))).to_pylist() == numbers
    array = read(message_of("n", "o", value_of(text, None, "float32", [len(numbers), 1])))
    assert array.dtype == np.float32
    assert array.tolist() == [[float(number)] for number in numbers]


def test_a_file_may_hold_json_or_an_array(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{"temperature": 25.5}')
    sent = message_of("n", "o", value_of(None, tmp_path / "data.json"), '{"unit": "C"}')
    assert read(sent).to_pylist() == [{"temperature": 25.5}]
    assert metadata.decode(sent.metadata) == {"unit": "C"}
    np.save(tmp_path / "data.npy", np.eye(3))
    assert (read(message_of("n", "o", value_of(None, tmp_path / "data.npy"))) == np.eye(3)).all()


@pytest.mark.parametrize(
    ("data", "dtype", "shape", "facts", "told"),
    [
        ("{a}", None, None, None, "valid JSON"),
        ("[1, 2]", None, [3], None, "shape"),
        ("[1.5]", "uint8", None, None, "uint8"),
        ("[1]", "nonsense", None, None, "NumPy does not know"),
        ('[1, "a"]', None, None, None, "one type"),
        ("1", None, None, "[1]", "no object"),
        ("1", None, None, "{", "metadata"),
    ],
)
def test_what_cannot_be_sent_is_told(
    data: str, dtype: str | None, shape: list[int] | None, facts: str | None, told: str
) -> None:
    with pytest.raises(InputFormatError, match=told):
        message_of("n", "o", value_of(data, None, dtype, shape), facts)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for name in ("absent.json", "absent.npy"):
        with pytest.raises(InputFormatError, match=name):
            value_of(None, tmp_path / name)


TOPICS = [Topic("cam", "image", ["view/frame", "log/x"]), Topic("cam", "pose", [])]


def test_no_names_are_all_outputs_and_a_wrong_one_is_told_with_what_was_meant() -> None:
    assert chosen(TOPICS, []) == TOPICS
    assert chosen(TOPICS, ["cam/pose", "cam/pose"]) == [TOPICS[1]]
    with pytest.raises(DoraError, match="did you mean `cam/image`"):
        chosen(TOPICS, ["cam/imag"])
    with pytest.raises(DoraError, match="no node of this dataflow has an output"):
        chosen([], [])


def test_the_table_of_outputs_names_their_readers() -> None:
    assert table(TOPICS).splitlines() == [
        "Node  Name   Subscribers",
        "cam   image  view/frame, log/x",
        "cam   pose",
    ]

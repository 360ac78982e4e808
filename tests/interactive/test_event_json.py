"""An event and the JSON object that tells of it; values in files; typed lines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dora.errors import InputFormatError
from dora.node import events, typed_input, value_files
from dora.node.event_json import read_event, write_event, write_message
from dora.node.json_values import to_line
from dora.node.previews import preview_message
from dora.node.stage import input_event
from dora.wire.payload import encode

if TYPE_CHECKING:
    from pathlib import Path

SENT = datetime(2026, 1, 2, tzinfo=UTC)


def message(value: Any, **metadata: Any) -> Any:
    return input_event("in", encode(value), metadata, SENT)


@pytest.mark.parametrize(
    "event",
    [
        message(np.ones((2, 3), "f4"), n=1, raw=b"\1"),
        message(pa.array([1, None])),
        message("text"),
        message(pa.nulls(0)),
        events.input_closed("in"),
        events.stop("MANUAL"),
        events.stop("ALL_INPUTS_CLOSED"),
    ],
    ids=lambda event: event["type"],
)
def test_what_is_written_reads_as_the_same_event(event: Any) -> None:
    written = write_event(event)
    assert written is not None
    back: Any = read_event(written, SENT)
    assert back.keys() == event.keys()
    for key in event.keys() - {"value"}:
        assert back[key] == event[key]
    if "value" in event:
        assert type(back["value"]) is type(event["value"])
        assert np.array_equal(np.asarray(back["value"]), np.asarray(event["value"])) or back[
            "value"
        ].equals(event["value"])


def test_events_that_files_do_not_hold_are_left_out() -> None:
    assert write_event(events.error("x")) is None


def test_a_message_for_people_has_nested_data_and_plain_metadata() -> None:
    assert write_message(message(np.ones((1, 2), "u1"), t=SENT)) == {
        "id": "in",
        "data": [[1, 1]],
        "dtype": "uint8",
        "shape": [1, 2],
        "metadata": {"t": "2026-01-02T00:00:00+00:00"},
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([1], "an event is an object"),
        ({"data": 1}, "`id` of the input is missing"),
        ({"id": "a b"}, "`a b` cannot be the id"),
        ({"type": "InputClosed", "id": 5}, "`5` cannot be the id"),
        ({"id": "a", "type": "Inputt"}, "did you mean `Input`"),
        ({"id": "a", "type": [1]}, "one of Input"),
        ({"id": "a", "path": "none.npy"}, "there is no file `none.npy`"),
        ({"id": "a", "path": 5}, "`path` is text"),
        ({"id": "a", "metadata": [1]}, "`metadata` is no object"),
        ({"id": "a", "data": 1, "metadata": {"k": 2**70}}, "more than 64 bits"),
    ],
)
def test_an_object_that_tells_of_no_event_is_told(given: Any, words: str) -> None:
    with pytest.raises(InputFormatError) as caught:
        read_event(given)
    assert words in str(caught.value)


def arrow_file(path: Path, *, stream: bool = False) -> Path:
    batches = [
        pa.record_batch({"x": [1, 2], "y": ["a", "b"]}),
        pa.record_batch({"x": [3], "y": ["c"]}),
    ]
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as sink, make(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return path


@pytest.mark.parametrize("stream", [False, True])
def test_a_batch_or_a_column_of_an_arrow_file_is_a_value(tmp_path: Path, stream: bool) -> None:
    path = arrow_file(tmp_path / "x.arrow", stream=stream)
    whole = value_files.read_value(path)
    assert whole.to_pylist() == [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]
    assert value_files.read_value(path, 1, "y").to_pylist() == ["c"]
    given = {"id": "a", "path": "x.arrow", "batch_index": 1, "column": "x"}
    event: Any = read_event(given, beside=tmp_path)
    assert event["value"].to_pylist() == [3]
    with pytest.raises(InputFormatError, match="2 record batches, and no number 2"):
        value_files.read_value(path, 2)
    with pytest.raises(InputFormatError, match="no column `z`; there are `x`, `y`"):
        value_files.read_value(path, 0, "z")


def test_a_file_that_is_not_what_its_name_says_is_told(tmp_path: Path) -> None:
    for name in ("a.arrow", "a.npy", "a.png"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(InputFormatError, match=name):
            value_files.read_value(tmp_path / name)
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(InputFormatError, match=name):
            value_files.read_value(tmp_path / name)


def test_an_image_is_an_array_with_red_first(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    red = np.zeros((2, 3, 3), np.uint8)
    red[..., 2] = 255  # OpenCV has blue first
    cv2.imwrite(str(tmp_path / "red.png"), red)
    cv2.imwrite(str(tmp_path / "clear.png"), np.dstack([red, red[..., 0]]))
    cv2.imwrite(str(tmp_path / "grey.png"), red[..., 0])
    for name in ("red.png", "clear.png"):
        image = value_files.read_value(tmp_path / name)
        assert image.shape == (2, 3, 3)
        assert image[0, 0].tolist() == [255, 0, 0]
    assert value_files.read_value(tmp_path / "grey.png").shape == (2, 3)


def test_without_a_library_for_images_the_error_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.jpg").write_bytes(b"")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(InputFormatError, match="pip install pillow"):
        value_files.read_value(tmp_path / "x.jpg")


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("image", typed_input.Message("image")),
        ("image [1, 2]", typed_input.Message("image", "[1, 2]")),
        (":help", typed_input.Help()),
        (":meta", typed_input.Meta({})),
        (':meta {"k": [1]}', typed_input.Meta({"k": [1]})),
        (":timer t 100ms", typed_input.Ticking("t", 100_000_000)),
        (":timer t 0.5 s", typed_input.Ticking("t", 500_000_000)),
        (":timer t 30hz", typed_input.Ticking("t", 33_333_333)),
        (":timer t dora/timer/millis/5", typed_input.Ticking("t", 5_000_000)),
        (":timer t off", typed_input.Ticking("t", None)),
        (":close a/b", typed_input.Closing("a/b")),
    ],
)
def test_a_typed_line_says_what_is_to_be_done(line: str, typed: Any) -> None:
    assert typed_input.parse_line(line) == typed


@pytest.mark.parametrize(
    "line", [":timer t", ":timer t 0ms", ":timer t 0hz", ":timer t dora/timer/hz/x", ":close", ":x"]
)
def test_a_typed_line_that_says_nothing_is_told(line: str) -> None:
    with pytest.raises(InputFormatError):
        typed_input.parse_line(line)


def test_typed_data_is_json_text_bytes_or_an_array() -> None:
    def value(text: str) -> Any:
        return typed_input.parse_data(text)

    assert value("").equals(pa.nulls(0))
    assert value("5").equals(pa.array([5]))
    assert value('"5"').equals(pa.array(["5"]))
    assert value("just text") == "just text"
    assert value("HEX: 00ff") == b"\0\xff"
    assert value("NUMPY:float32 [[1], [2]]").dtype == np.float32
    assert value('"[1, 2"').equals(pa.array(["[1, 2"]))
    for slip in ("[1, 2", '{"x": 1', '"x'):
        with pytest.raises(InputFormatError, match=r"is no JSON: .*; text that begins so needs"):
            value(slip)


@pytest.mark.parametrize(
    "value",
    [np.zeros((480, 640, 3), "u1"), list(range(10_000)), ["x" * 10_000] * 50, "y" * 10_000,
     np.zeros((0, 3)), [{"a": list(range(1000))}] * 30, np.array(5.0),
     np.zeros(9, "datetime64[s]")],
    ids=lambda value: str(type(value)),
)  # fmt: skip
def test_a_preview_is_a_few_lines_however_large_the_value(value: Any) -> None:
    text = preview_message(message(value, note="z" * 500), width=80)
    assert len(text.splitlines()) <= 10
    assert max(map(len, text.splitlines())) <= 80


def test_a_file_of_another_kind_is_told_what_it_was_taken_for(tmp_path: Path) -> None:
    (tmp_path / "node.py").write_text("import numpy\n" * 20)
    with pytest.raises(InputFormatError, match=r"taken for an Arrow file; others are `\.npy`"):
        typed_input.parse_data(f"FILE:{tmp_path / 'node.py'}")
    (tmp_path / "x.npy").write_text("no array")
    with pytest.raises(InputFormatError, match=r"x\.npy` cannot be read: "):
        typed_input.parse_data(f"FILE:{tmp_path / 'x.npy'}")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "b", "Int64", "Utf8", "NaN", "PT1S", "00ff", "uint8", "<M8[s]", "U3"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["x", "Map", "List", "Float", "Struct", "Dictionary", "name"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["data", "data_type", "dtype", "shape", "metadata", "more_metadata"]), JSON
    )
)
def test_whatever_a_line_holds_it_is_an_event_that_can_be_written_or_it_is_told(
    given_json: dict[str, Any],
) -> None:
    try:
        event: Any = read_event({"id": "a", **given_json})
    except InputFormatError:
        return
    to_line(write_event(event))
    to_line(write_message(event))
    assert preview_message(event)

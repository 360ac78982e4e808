"""Recordings become Parquet, NumPy, PNG and MP4 files."""

from __future__ import annotations

import io
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dora.cli.main import main
from dora.errors import ExportError
from dora.recording.export import export
from dora.recording.pictures import as_bytes, as_rgb, pixels_of
from dora.recording.reader import Recording
from dora.recording.tables import write_npz, write_parquet

from .messages import SECOND, START, message
from .replaying import numbered, record

if TYPE_CHECKING:
    from pathlib import Path

MS = 10**6
FRAMES = [np.full((48, 64, 3), (20 * n, 100, 200), np.uint8) for n in range(10)]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    boxes = pa.array([{"x1": 1.5, "n": 3}, {"x1": 2.5, "n": 4}])
    messages = numbered("camera/image", FRAMES, 40 * MS)
    messages += numbered("detector/boxes", [boxes, boxes[:1]], SECOND)
    messages += numbered("arm/joints", [np.arange(6.0), np.ones(6)], 10 * MS)
    messages += numbered("talk/words", ["one", "two"], 10 * MS)
    return record(tmp_path / "some.mcap", None, messages)


def test_parquet_has_a_row_for_each_message(tmp_path: Path, recording: Path) -> None:
    assert main(["mcap", "export", str(recording), "--to", "parquet", "-o", str(tmp_path)]) == 0
    image = pq.read_table(tmp_path / "camera" / "image.parquet")
    assert image.num_rows == 10
    rebuilt = np.array(image["value"][3].as_py(), np.uint8).reshape(image["shape"][3].as_py())
    np.testing.assert_array_equal(rebuilt, FRAMES[3])
    assert [one.value for one in image["sent"]] == [START + n * 40 * MS for n in range(10)]
    assert image["metadata"][3].as_py() == '{"number": 3}'
    boxes = pq.read_table(tmp_path / "detector" / "boxes.parquet")
    assert boxes["value"].to_pylist() == [
        [{"x1": 1.5, "n": 3}, {"x1": 2.5, "n": 4}],
        [{"x1": 1.5, "n": 3}],
    ]


def test_numpy_has_one_array_of_all_messages(tmp_path: Path, recording: Path) -> None:
    assert main(["mcap", "export", str(recording), "--to", "numpy", "-o", str(tmp_path)]) == 0
    with np.load(tmp_path / "camera" / "image.npz") as image:
        np.testing.assert_array_equal(image["values"], np.stack(FRAMES))
        assert image["sent_ns"].tolist() == [START + n * 40 * MS for n in range(10)]
        assert image["metadata"][3] == '{"number": 3}'
    with np.load(tmp_path / "detector" / "boxes.npz") as boxes:
        assert boxes["value_0"]["x1"].tolist() == [1.5, 2.5]
        assert boxes["value_1"]["n"].tolist() == [3]


@pytest.mark.parametrize("dtype", ["f2", "i8", "?", ">i4", "M8[ms]", ">c8", [("a", ">i4")], "U3"])
def test_any_dtype_has_a_place_in_tables(tmp_path: Path, dtype: Any) -> None:
    values = [np.zeros((2, 3), dtype), np.ones((2, 3), "i4").astype(dtype)]
    messages = numbered("a/b", values, MS)
    (path,) = write_npz(lambda: messages, tmp_path / "b")
    with np.load(path) as found:
        np.testing.assert_array_equal(found["values"], np.stack(values))
    (path,) = write_parquet(lambda: messages, tmp_path / "b")
    assert [len(row) for row in pq.read_table(path)["value"].to_pylist()] == [6, 6]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.lists(
        st.one_of(st.text(), st.integers(-9, 9), st.lists(st.floats(allow_nan=False), min_size=1)),
        min_size=1,
    )
)
def test_a_topic_of_several_types_has_a_file_for_each(tmp_path: Path, values: list[Any]) -> None:
    messages = numbered("a/b", values, MS)
    found = [pq.read_table(path) for path in write_parquet(lambda: messages, tmp_path / "b")]
    assert sum(table.num_rows for table in found) == len(values)
    assert len(found) == len({one.value().type for one in messages})


def test_arrays_of_numpy_keep_their_shape_beside_arrow_ones_of_the_same_type(
    tmp_path: Path,
) -> None:
    messages = numbered("a/b", [pa.array([1, 2]), np.ones((2, 3), np.int64)], MS)
    flat, shaped = write_parquet(lambda: messages, tmp_path / "b")
    assert "shape" not in pq.read_schema(flat).names
    assert pq.read_table(shaped)["shape"].to_pylist() == [[2, 3]]


def need_export() -> None:
    if find_spec("av") is None or find_spec("PIL") is None:
        pytest.skip("needs PyAV and Pillow: pip install 'dora-py[export]'")


def test_pictures_become_png_files_without_loss(tmp_path: Path, recording: Path) -> None:
    need_export()
    from PIL import Image

    assert main(["mcap", "export", str(recording), "--to", "png", "-o", str(tmp_path)]) == 0
    files = sorted((tmp_path / "camera" / "image").iterdir())
    assert len(files) == 10
    with Image.open(files[4]) as image:
        np.testing.assert_array_equal(np.asarray(image), FRAMES[4])


def test_pictures_become_a_video_in_which_each_has_its_time(
    tmp_path: Path, recording: Path
) -> None:
    need_export()
    import av

    assert main(["mcap", "export", str(recording), "--to", "mp4", "-o", str(tmp_path)]) == 0
    with av.open(str(tmp_path / "camera" / "image.mp4")) as video:
        frames = [
            (float(one.pts * one.time_base), one.to_ndarray(format="rgb24"))
            for one in video.decode(video=0)
        ]
    assert [at for at, _ in frames] == pytest.approx([n * 0.04 for n in range(10)])
    for (_, shown), sent in zip(frames, FRAMES, strict=True):
        assert np.abs(shown.astype(int) - sent).max() < 12


def test_an_odd_size_is_padded_for_the_video(tmp_path: Path) -> None:
    need_export()
    import av

    frames = [np.full((33, 41), 100, np.uint8)] * 3
    path = record(tmp_path / "x.mcap", None, numbered("a/b", frames, MS))
    with Recording(path) as opened:
        (video,) = export(opened, "mp4", tmp_path)
    with av.open(str(video)) as opened_video:
        stream = opened_video.streams.video[0]
        assert (stream.width, stream.height) == (42, 34)


@pytest.mark.parametrize(
    ("value", "facts", "wanted"),
    [
        (np.array([[[1, 2, 3]]], np.uint8), {"encoding": "bgr8"}, [[[3, 2, 1]]]),
        (
            np.array([1, 2, 3], np.uint8),
            {"encoding": "rgb8", "width": 1, "height": 1},
            [[[1, 2, 3]]],
        ),
        (np.array([[[9], [8]]], np.uint8), {"encoding": "mono8"}, [[9, 8]]),
        (np.array([[[1, 2, 3, 4]]], np.uint8), {"encoding": "bgra8"}, [[[3, 2, 1, 4]]]),
        (np.array([[500]], np.uint16), {"encoding": "16UC1"}, [[500]]),
        (
            {"width": 1, "height": 1, "encoding": "rgb8", "data": b"\1\2\3"},
            {},
            [[[1, 2, 3]]],
        ),
        (
            np.array([[[235, 128], [16, 128]]], np.uint8),
            {"encoding": "yuyv"},
            [[[254, 254, 254], [0, 0, 0]]],
        ),
    ],
)
def test_pixels_have_red_first(value: Any, facts: dict[str, Any], wanted: Any) -> None:
    assert pixels_of(message("a/b", value, facts)).tolist() == wanted


def test_compressed_pictures_are_opened() -> None:
    need_export()
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(FRAMES[5]).save(file, "PNG")
    found = pixels_of(message("a/b", file.getvalue(), {"encoding": "png"}))
    np.testing.assert_array_equal(found, FRAMES[5])
    with pytest.raises(ExportError, match="a message of `a/b`"):
        pixels_of(message("a/b", b"\xff\xd8\xffrubbish", {"encoding": "jpeg"}))


def test_depth_is_shown_in_bytes() -> None:
    depth = np.array([[0.0, 2.0, np.nan, np.inf, 4.0]], np.float32)
    assert as_bytes(depth).tolist() == [[0, 127, 0, 0, 255]]
    assert as_rgb(np.array([[256, 65535]], np.uint16))[0].tolist() == [[1] * 3, [255] * 3]


def test_a_library_that_is_missing_is_named(
    tmp_path: Path,
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setitem(sys.modules, "rosbags.highlevel", None)
    assert main(["mcap", "export", str(recording), "-o", str(tmp_path), "--to", "mp4"]) == 1
    assert "pip install 'dora-py[export]'" in capsys.readouterr().err
    assert main(["mcap", "import", str(recording), "-o", str(tmp_path / "y.mcap")]) == 1
    assert "pip install 'dora-py[import]'" in capsys.readouterr().err


def test_what_has_no_place_is_told(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_export()
    for topics, kind, told in (
        ("talk/words", "png", "`talk/words` is no topic of images"),
        ("camra/image", "parquet", "did you mean `camera/image`"),
    ):
        command = ["mcap", "export", str(recording), "-o", str(tmp_path), "--to", kind]
        assert main([*command, "--topics", topics]) == 1
        assert told in capsys.readouterr().err
    only_text = record(tmp_path / "t.mcap", None, numbered("a/b", ["x"], MS))
    assert main(["mcap", "export", str(only_text), "-o", str(tmp_path), "--to", "mp4"]) == 1
    assert "holds nothing that has a place in mp4 files" in capsys.readouterr().err

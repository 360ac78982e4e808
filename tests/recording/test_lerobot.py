"""A LeRobot data set, layout v3.0, has what LeRobot 0.6 reads: files, columns, types, shapes."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dora.errors import ExportError
from dora.recording.lerobot import Wanted, export_lerobot
from dora.recording.reader import Recording
from dora.recording.statistics import QUANTILES, Statistics, joined
from dora.recording.vectors import vector_of

from .messages import message
from .replaying import interleaved, numbered, record

if TYPE_CHECKING:
    from pathlib import Path

MS = 10**6
FILE = "chunk-000/file-000"


def episode(path: Path, frames: int) -> Path:
    """A camera at 20 Hz, joints at 100 Hz, an action at 10 Hz that begins late."""
    images = [np.full((32, 48, 3), (10 * n, 50, 200), np.uint8) for n in range(frames)]
    joints = [
        {"names": ["hip", "knee"], "positions": [float(n), 2.0 * n]} for n in range(frames * 5)
    ]
    actions = [np.array([n, -n], np.float32) for n in range(frames // 2)]
    messages = interleaved(
        numbered("camera/image", images, 50 * MS),
        numbered("arm/state", joints, 10 * MS),
        numbered("policy/action", actions, 100 * MS, 100 * MS),
        numbered("talk/words", ["word"], MS),
    )
    return record(path, None, messages)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    if find_spec("av") is None:
        pytest.skip("needs PyAV: pip install 'dora-py[export]'")
    folder = tmp_path / "set"
    files = [episode(tmp_path / f"{n}.mcap", length) for n, length in enumerate((20, 30))]
    with Recording(files[0]) as one, Recording(files[1]) as two:
        told = export_lerobot([one, two], folder, Wanted(task="pick it up", robot="so101"))
    assert told == (
        "2 episodes, 48 frames at 20 Hz: observation.images.camera_image, observation.state, action"
    )
    return folder


def test_info_describes_every_feature(dataset: Path) -> None:
    info = json.loads((dataset / "meta" / "info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["fps"], info["total_episodes"], info["total_frames"]) == (20, 2, 48)
    assert (info["splits"], info["robot_type"]) == ({"train": "0:2"}, "so101")
    features = info["features"]
    assert features["observation.state"] == {
        "dtype": "float32",
        "shape": [2],
        "names": ["arm/state.positions.hip", "arm/state.positions.knee"],
    }
    assert features["observation.images.camera_image"]["shape"] == [32, 48, 3]
    assert features["index"] == {"dtype": "int64", "shape": [1], "names": None}
    for key in ("data_path", "video_path"):
        path = info[key].format(
            chunk_index=0, file_index=0, video_key="observation.images.camera_image"
        )
        assert (dataset / path).is_file()


def test_each_frame_holds_what_was_sent_last(dataset: Path) -> None:
    table = pq.read_table(dataset / "data" / f"{FILE}.parquet")
    first = table.filter(pa.compute.equal(table["episode_index"], 0))
    # The action begins at 100 ms: so does the episode, at the third picture of the camera.
    assert first["frame_index"].to_pylist() == list(range(first.num_rows))
    assert first["timestamp"].to_pylist() == pytest.approx([n / 20 for n in range(first.num_rows)])
    assert first["observation.state"].to_pylist()[:3] == [[10.0, 20.0], [15.0, 30.0], [20.0, 40.0]]
    assert first["action"].to_pylist()[:3] == [[0.0, 0.0], [0.0, 0.0], [1.0, -1.0]]
    assert table["index"].to_pylist() == list(range(48))
    assert set(table["task_index"].to_pylist()) == {0}
    assert table.schema.field("action").type == pa.list_(pa.float32(), 2)


def test_episodes_say_where_their_frames_are(dataset: Path) -> None:
    import av

    rows = pq.read_table(dataset / "meta" / "episodes" / f"{FILE}.parquet").to_pylist()
    spans = [(row["dataset_from_index"], row["dataset_to_index"], row["length"]) for row in rows]
    assert spans == [(0, 19, 19), (19, 48, 29)]
    assert rows[0]["tasks"] == ["pick it up"]
    camera = "observation.images.camera_image"
    with av.open(str(dataset / "videos" / camera / f"{FILE}.mp4")) as video:
        frames = [
            (float(one.pts * one.time_base), one.to_ndarray(format="rgb24")[0, 0, 0])
            for one in video.decode(video=0)
        ]
    wanted = [
        row[f"videos/{camera}/from_timestamp"] + number / 20
        for row in rows
        for number in range(row["length"])
    ]
    assert [at for at, _ in frames] == pytest.approx(wanted, abs=1e-4), "LeRobot's tolerance"
    assert [int(red) for _, red in frames[:3]] == pytest.approx([20, 30, 40], abs=8)


def test_tasks_have_their_text_as_index_for_pandas(dataset: Path) -> None:
    table = pq.read_table(dataset / "meta" / "tasks.parquet")
    assert table.to_pylist() == [{"task_index": 0, "task": "pick it up"}]
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_statistics_have_the_shapes_that_lerobot_checks(dataset: Path) -> None:
    stats = json.loads((dataset / "meta" / "stats.json").read_text())
    for name, found in stats.items():
        assert set(found) == {"min", "max", "mean", "std", "count", *QUANTILES}
        assert np.array(found["count"]).shape == (1,)
        if name.startswith("observation.images"):
            assert np.array(found["mean"]).shape == (3, 1, 1)
            assert 0 <= np.array(found["min"]).min() <= np.array(found["max"]).max() <= 1
    assert stats["observation.state"]["count"] == [48]
    assert stats["index"]["max"] == [47.0]


def test_statistics_of_episodes_join_to_those_of_all() -> None:
    rows = np.random.default_rng(0).normal(3, 2, (300, 4))
    parts = []
    for part in (rows[:100], rows[100:]):
        one = Statistics()
        one.add(part)
        parts.append({"x": one.of_vectors()})
    found = joined(parts)["x"]
    assert found["mean"] == pytest.approx(rows.mean(axis=0))
    assert found["std"] == pytest.approx(rows.std(axis=0))
    assert found["min"] == pytest.approx(rows.min(axis=0))


@pytest.mark.parametrize(
    ("value", "names", "numbers"),
    [
        (np.array([[1, 2]], np.int16), ["0", "1"], [1, 2]),
        (2.5, ["0"], [2.5]),
        ({"a": {"x": 1, "y": True}, "s": "text"}, ["a.x", "a.y"], [1, 1]),
        ({"names": ["hip"], "positions": [4.0]}, ["positions.hip"], [4]),
        ({"values": [1.0, 2.0]}, ["values.0", "values.1"], [1, 2]),
    ],
)
def test_numbers_are_called_by_where_they_are(
    value: Any, names: list[str], numbers: list[float]
) -> None:
    found = vector_of(message("a/b", value))
    assert found is not None
    assert (found[0], found[1].tolist()) == (names, numbers)


@pytest.mark.parametrize("value", ["text", np.zeros((100, 100)), {"a": "b"}, [{"x": 1}, {"x": 2}]])
def test_what_is_no_vector_is_left_out(value: Any) -> None:
    assert vector_of(message("a/b", value)) is None


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    changing = [np.zeros(2), np.zeros(3)]
    path = record(tmp_path / "x.mcap", None, numbered("arm/state", changing, 100 * MS))
    with Recording(path) as one:
        with pytest.raises(ExportError, match="hold 3 numbers here and 2"):
            export_lerobot([one], tmp_path / "a", Wanted())
        with pytest.raises(ExportError, match="`arm/x` is to be an action"):
            export_lerobot([one], tmp_path / "b", Wanted(actions=("arm/x",)))
        (tmp_path / "c").mkdir()
        (tmp_path / "c" / "x").touch()
        with pytest.raises(ExportError, match="holds something already"):
            export_lerobot([one], tmp_path / "c", Wanted())

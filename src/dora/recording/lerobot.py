"""Recordings → a LeRobot data set, layout v3.0: Parquet, MP4 and `meta/`, without LeRobot itself.

Each recording is an episode. A data set has frames at a fixed rate; a recording has messages at
times of their own. So frame `k` holds, of each topic, the last message that had been sent by
`begin + k / fps`, where `begin` is the first moment at which all topics have one.

* images → `observation.images.<node>_<output>`, an MP4 file for all episodes
* numbers → `observation.state` and `action`, the topics' vectors one behind the other

Elsewhere: what numbers a message holds (`recording.vectors`), statistics (`recording.statistics`),
what stands in `meta/` (`recording.lerobot_meta`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dora.errors import ExportError
from dora.recording.export import chosen_topics, rate_of
from dora.recording.lerobot_meta import FILE, features_of, info_of, tasks_of
from dora.recording.pictures import IMAGE_KINDS, as_rgb, pixels_of
from dora.recording.statistics import Statistics, joined
from dora.recording.vectors import vector_of
from dora.recording.videos import VideoWriter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from dora.recording.message import RecordedMessage
    from dora.recording.reader import Recording

STATE, ACTION = "observation.state", "action"
_SAMPLES = 100
"""So many pictures of an episode go into the statistics, at most."""
_NS = 10**9


class Wanted(msgspec.Struct, frozen=True):
    """What of the recordings goes into the data set."""

    topics: tuple[str, ...] | None = None
    """None: all that have a place there."""
    actions: tuple[str, ...] | None = None
    """Topics that make up `action`; None: outputs that are called `action` or `command`."""
    fps: float | None = None
    """None: the rate of the first camera, else of the first other topic."""
    task: str = ""
    robot: str | None = None


class Features(msgspec.Struct, frozen=True):
    """Which topic goes where."""

    cameras: dict[str, str]
    """Topic to feature."""
    vectors: dict[str, list[str]]
    """Feature to topics."""
    names: dict[str, list[str]]
    """Feature to the names of its numbers."""

    @property
    def topics(self) -> list[str]:
        """All of them."""
        return [*self.cameras, *(topic for topics in self.vectors.values() for topic in topics)]


def export_lerobot(recordings: Sequence[Recording], folder: Path, wanted: Wanted) -> str:
    """Write a data set.

    Args:
        recordings: The episodes.
        folder: Where to; it must not hold anything yet.
        wanted: What of them.

    Returns:
        What was written, in a sentence.

    Raises:
        ExportError: a recording does not fit.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ExportError(f"`{folder}` holds something already; name a new folder")
    features = _features(recordings[0], wanted)
    lead = features.topics[0]
    rate = wanted.fps or rate_of(one.sent_ns for one in recordings[0].messages([lead]))
    # LeRobot takes whole frames a second.
    fps = max(1, round(rate))
    writer = _Writer(folder, features, fps, wanted.task or "replay of a recording")
    try:
        for recording in recordings:
            writer.add_episode(recording)
    finally:
        writer.close()
    writer.write_meta(wanted.robot)
    return (
        f"{writer.episodes} episodes, {writer.frames} frames at {fps} Hz: "
        f"{', '.join([*features.cameras.values(), *features.vectors])}"
    )


def _features(recording: Recording, wanted: Wanted) -> Features:
    """Look at the first message of each topic."""
    chosen = chosen_topics(recording, wanted.topics)
    cameras: dict[str, str] = {}
    vectors: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {}
    for topic, channels in chosen.items():
        node, _, output = topic.partition("/")
        if channels[0].kind in IMAGE_KINDS:
            cameras[topic] = f"observation.images.{node}_{output.replace('/', '_')}"
            continue
        found = vector_of(next(recording.messages([topic])))
        if found is None:
            if wanted.topics is not None:
                raise ExportError(
                    f"`{topic}` ({channels[0].type}) holds neither images nor a few numbers"
                )
            continue
        is_action = (
            output in ("action", "command") if wanted.actions is None else (topic in wanted.actions)
        )
        feature = ACTION if is_action else STATE
        vectors.setdefault(feature, []).append(topic)
        names.setdefault(feature, []).extend(f"{topic}.{name}" for name in found[0])
    for topic in wanted.actions or ():
        if topic not in vectors.get(ACTION, ()):
            raise ExportError(
                f"`{topic}` is to be an action, but is not among the topics of numbers"
            )
    if not cameras and not vectors:
        raise ExportError(f"`{recording.path}` holds neither images nor numbers")
    return Features(cameras, vectors, names)


class _Held:
    """Of each topic the last message so far, as time goes on."""

    def __init__(self, recording: Recording, topics: Collection[str]) -> None:
        self.now: dict[str, RecordedMessage] = {}
        self._topics = set(topics)
        self._messages = recording.messages(list(topics))
        self._next: RecordedMessage | None = next(self._messages, None)

    @property
    def at_end(self) -> bool:
        return self._next is None

    def begin(self) -> int | None:
        """Go on until each topic has a message; when that is. None: one never has."""
        while self._next is not None and self.now.keys() != self._topics:
            begun_ns = self._next.sent_ns
            self._take()
        return begun_ns if self.now.keys() == self._topics else None

    def go_on(self, until_ns: int) -> None:
        while self._next is not None and self._next.sent_ns <= until_ns:
            self._take()

    def _take(self) -> None:
        assert self._next is not None
        self.now[self._next.topic] = self._next
        self._next = next(self._messages, None)


class _Writer:
    """Writes the files; `close()` completes those that hold frames."""

    def __init__(self, folder: Path, features: Features, fps: int, task: str) -> None:
        self.episodes = self.frames = 0
        self._folder, self._features, self._fps, self._task = folder, features, fps, task
        self._videos: dict[str, VideoWriter] = {}
        self._rows: list[dict[str, Any]] = []
        self._statistics: list[dict[str, dict[str, Any]]] = []
        for part in ("data", "meta/episodes"):
            (folder / part / FILE).parent.mkdir(parents=True, exist_ok=True)
        for feature in features.cameras.values():
            path = folder / "videos" / feature / f"{FILE}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._videos[feature] = VideoWriter(path, fps, keyframe_every=2)
        self._schema = self._data_schema()
        self._data = pq.ParquetWriter(
            folder / "data" / f"{FILE}.parquet", self._schema, compression="snappy"
        )

    def close(self) -> None:
        self._data.close()
        for video in self._videos.values():
            video.close()

    def add_episode(self, recording: Recording) -> None:
        """Write the frames of a recording."""
        first = self.frames
        statistics = {name: Statistics() for name in self._features.vectors}
        pictures = {name: Statistics() for name in self._videos}
        columns: dict[str, list[npt.NDArray[np.float32]]] = {
            name: [] for name in self._features.vectors
        }
        every = max(1, self._length(recording) // _SAMPLES)
        count = 0
        for count, held in enumerate(self._frames(recording), 1):
            for feature, topics in self._features.vectors.items():
                vector = self._vector(recording, feature, [held[topic] for topic in topics])
                columns[feature].append(vector)
                statistics[feature].add(vector[None, :])
            for topic, feature in self._features.cameras.items():
                picture = as_rgb(pixels_of(held[topic]))
                self._videos[feature].add(picture, (first + count - 1) * _NS // self._fps)
                if (count - 1) % every == 0:
                    pictures[feature].add(picture.reshape(-1, 3)[:: max(1, picture.size // 30000)])
        if not count:
            raise ExportError(
                f"`{recording.path}`: there is no moment at which each of "
                f"{', '.join(self._features.topics)} has been sent"
            )
        self.frames += count
        numbers = self._write_rows(first, count, columns)
        found = {**{name: one.of_vectors() for name, one in statistics.items()}, **numbers}
        found |= {name: one.of_pictures() for name, one in pictures.items()}
        self._statistics.append(found)
        self._rows.append(self._episode(first, count, found))
        self.episodes += 1

    def write_meta(self, robot: str | None) -> None:
        """Write `meta/`: what is in the data set."""
        meta = self._folder / "meta"
        pq.write_table(pa.Table.from_pylist(self._rows), meta / "episodes" / f"{FILE}.parquet")
        pq.write_table(tasks_of(self._task), meta / "tasks.parquet")
        (meta / "stats.json").write_text(json.dumps(joined(self._statistics), indent=4))
        sizes = {name: video.size for name, video in self._videos.items()}
        features = features_of(self._features.names, sizes, self._fps)
        info = info_of(features, self._fps, self.episodes, self.frames, robot)
        (meta / "info.json").write_text(json.dumps(info, indent=4))

    # ---- frames ----

    def _length(self, recording: Recording) -> int:
        """About how many frames there will be."""
        return max(1, (recording.end_ns - recording.start_ns) * self._fps // _NS)

    def _frames(self, recording: Recording) -> Iterator[dict[str, RecordedMessage]]:
        held = _Held(recording, self._features.topics)
        begin_ns = held.begin()
        if begin_ns is None:
            return
        frame = 0
        while True:
            held.go_on(begin_ns + frame * _NS // self._fps)
            yield held.now
            if held.at_end:
                return
            frame += 1

    def _vector(
        self, recording: Recording, feature: str, messages: list[RecordedMessage]
    ) -> npt.NDArray[np.float32]:
        parts = [found[1] for message in messages if (found := vector_of(message)) is not None]
        vector = np.concatenate(parts) if parts else np.empty(0, np.float32)
        wanted = len(self._features.names[feature])
        if len(vector) != wanted:
            named = ", ".join(f"`{message.topic}`" for message in messages)
            raise ExportError(
                f"`{recording.path}`: {named} hold {len(vector)} numbers here and {wanted} "
                f"elsewhere; a frame of `{feature}` has always as many. Leave them out: `--topics`"
            )
        return vector

    # ---- rows ----

    def _data_schema(self) -> pa.Schema:
        vectors = [
            (name, pa.list_(pa.float32(), len(names)) if len(names) > 1 else pa.float32())
            for name, names in self._features.names.items()
        ]
        whole = [(name, pa.int64()) for name in ("frame_index", "episode_index", "index")]
        return pa.schema(
            [*vectors, ("timestamp", pa.float32()), *whole, ("task_index", pa.int64())]
        )

    def _write_rows(
        self, first: int, count: int, columns: dict[str, list[npt.NDArray[np.float32]]]
    ) -> dict[str, dict[str, Any]]:
        """Write an episode's rows; the statistics of the columns that count."""
        frames = np.arange(count)
        counted: dict[str, npt.NDArray[Any]] = {
            "timestamp": (frames / self._fps).astype(np.float32),
            "frame_index": frames,
            "episode_index": np.full(count, self.episodes),
            "index": frames + first,
            "task_index": np.zeros(count, np.int64),
        }
        arrays = []
        for field in self._schema:
            if field.name in counted:
                arrays.append(pa.array(counted[field.name], field.type))
            else:
                flat = pa.array(np.concatenate(columns[field.name]))
                is_list = pa.types.is_fixed_size_list(field.type)
                arrays.append(
                    pa.FixedSizeListArray.from_arrays(flat, field.type.list_size)
                    if is_list
                    else flat
                )
        self._data.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        found = {}
        for name, column in counted.items():
            statistics = Statistics()
            statistics.add(column.astype(np.float64)[:, None])
            found[name] = statistics.of_vectors()
        return found

    def _episode(
        self, first: int, count: int, statistics: dict[str, dict[str, Any]]
    ) -> dict[str, Any]:
        """An episode's row in `meta/episodes`."""
        row: dict[str, Any] = {
            "episode_index": self.episodes,
            "tasks": [self._task],
            "length": count,
            "data/chunk_index": 0,
            "data/file_index": 0,
            "dataset_from_index": first,
            "dataset_to_index": first + count,
        }
        for feature in self._videos:
            row |= {
                f"videos/{feature}/chunk_index": 0,
                f"videos/{feature}/file_index": 0,
                f"videos/{feature}/from_timestamp": first / self._fps,
                f"videos/{feature}/to_timestamp": (first + count) / self._fps,
            }
        for name, found in statistics.items():
            row |= {f"stats/{name}/{key}": value for key, value in found.items()}
        return row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}

"""`meta/` of a LeRobot data set, layout v3.0: its files' contents. Pure.

Elsewhere: frames, and writing files (`recording.lerobot`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dora.recording.videos import CODEC_NAME, PIXEL_FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION = "v3.0"
FILE = "chunk-000/file-000"
"""Of each kind there is one file: LeRobot splits them to keep them small, and reads any size."""
COUNTED = ("timestamp", "frame_index", "episode_index", "index", "task_index")
"""The columns that every data set has."""


def features_of(
    names: Mapping[str, Sequence[str]], sizes: Mapping[str, tuple[int, int]], fps: int
) -> dict[str, Any]:
    """`features` of `info.json`.

    Args:
        names: Feature of numbers, to what each number is called.
        sizes: Feature of pictures, to width and height of its video.
        fps: Frames a second.
    """
    described: dict[str, Any] = {
        name: {"dtype": "float32", "shape": [len(called)], "names": list(called)}
        for name, called in names.items()
    }
    for name, (width, height) in sizes.items():
        described[name] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height,
                "video.width": width,
                "video.codec": CODEC_NAME,
                "video.pix_fmt": PIXEL_FORMAT,
                "video.fps": fps,
                "video.channels": 3,
                "is_depth_map": False,
                "has_audio": False,
            },
        }
    for name in COUNTED:
        dtype = "float32" if name == "timestamp" else "int64"
        described[name] = {"dtype": dtype, "shape": [1], "names": None}
    return described


def info_of(
    features: dict[str, Any], fps: int, episodes: int, frames: int, robot: str | None
) -> dict[str, Any]:
    """`info.json`."""
    has_videos = any(feature["dtype"] == "video" for feature in features.values())
    numbered = "chunk-{chunk_index:03d}/file-{file_index:03d}"
    return {
        "codebase_version": VERSION,
        "fps": fps,
        "features": features,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": 1,
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "data_path": f"data/{numbered}.parquet",
        "video_path": "videos/{video_key}/" + f"{numbered}.mp4" if has_videos else None,
        "robot_type": robot,
        "splits": {"train": f"0:{episodes}"},
    }


def tasks_of(task: str) -> pa.Table:
    """`tasks.parquet`, as pandas writes a table whose index is the task's text."""
    table = pa.table({"task_index": pa.array([0], pa.int64()), "task": pa.array([task])})
    types = (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": dtype}
            | {"metadata": None}
            for name, kind, dtype in types
        ],
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})

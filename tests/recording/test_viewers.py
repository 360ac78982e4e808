"""A recording of every kind of output, opened by Foxglove's own libraries and by Rerun's.

Each is left out where its package is missing; `make test-viewers` installs them all.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dora.recording import format
from dora.recording.reader import Recording
from dora.recording.writer import RecordingWriter

from .messages import START, message

PICTURES = os.environ.get("DORA_TEST_PICTURES")
"""A folder: the pictures that each library decoded are put there, to be looked at."""

BOX = pa.struct([("x1", "f8"), ("y1", "f8"), ("x2", "f8"), ("y2", "f8"), ("confidence", "f8")])
VECTOR = pa.struct([("x", "f8"), ("y", "f8"), ("z", "f8")])
QUATERNION = pa.struct([("x", "f8"), ("y", "f8"), ("z", "f8"), ("w", "f8")])
POSE = pa.struct([("position", VECTOR), ("orientation", QUATERNION)])
IMAGE = pa.struct(
    [("width", "u4"), ("height", "u4"), ("encoding", "str"), ("data", pa.large_binary())]
)
ARROW = ("arm/table", "arm/matrix")
"""What neither has a picture for."""


def picture() -> np.ndarray[Any, Any]:
    """Red grows to the right, green downwards; the upper left corner is blue."""
    rows, columns = np.mgrid[0:48, 0:64]
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0], image[..., 1] = columns * 4, rows * 5
    image[:16, :16] = (0, 0, 255)
    return image


def png(rgb: np.ndarray[Any, Any]) -> bytes:
    """A picture as a PNG file."""

    def part(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    height, width = rgb.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in rgb)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def outputs() -> dict[str, tuple[Any, dict[str, Any], str]]:
    """For each output a value, its metadata and its declared type."""
    rgb = picture()
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    height, width = rgb.shape[:2]
    flat = {"width": width, "height": height, "encoding": "bgr8"}
    fields = {"width": width, "height": height, "encoding": "rgb8", "data": rgb.tobytes()}
    matrix = np.eye(4)
    matrix[:3, 3] = 1, 2, 3
    pose = {
        "position": {"x": 1.0, "y": 2.0, "z": 3.0},
        "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0},
    }
    box = {"x1": 10.0, "y1": 20.0, "x2": 30.0, "y2": 40.0, "confidence": 0.9}
    hub = {"bbox": [10.0, 20.0, 30.0, 40.0], "conf": [0.9], "labels": ["car"]}
    log = {"level": "warn", "message": "careful", "node_id": "arm", "line": 7}
    return {
        "image/plain": (rgb, {}, ""),
        "image/declared": (bgr, {}, "std/media/v1/Image[encoding=bgr8]"),
        "image/flat": (pa.array(bgr.reshape(-1)), flat, ""),
        "image/struct": (pa.array([fields], IMAGE), {}, ""),
        "image/grey": (rgb[..., 0].copy(), {}, ""),
        "image/depth": (np.full((48, 64), 1.5, "f4"), {"encoding": "32FC1"}, ""),
        "image/png": (png(rgb), {"encoding": "png"}, ""),
        "image/sniffed": (png(rgb), {}, "std/media/v1/CompressedImage"),
        "lidar/points": (np.arange(12, dtype="f4").reshape(4, 3), {}, "std/media/v1/PointCloud"),
        "robot/pose": (pa.array([pose], POSE), {"frame_id": "map"}, ""),
        "robot/transform": (matrix, {"child_frame_id": "arm"}, "std/math/v1/Transform"),
        "detector/boxes": (pa.array([box], BOX), {}, ""),
        "detector/hub": ([hub], {"format": "xyxy"}, ""),
        "speech/text": ("hello", {}, ""),
        "arm/log": (json.dumps(log), {}, ""),
        "arm/joints": (np.array([0.5, 1.5, 2.5]), {}, ""),
        "arm/speed": (7, {}, ""),
        "arm/table": (pa.array([{"a": 1}]), {}, ""),
        "arm/matrix": (np.arange(6.0).reshape(2, 3), {}, ""),
    }


@pytest.fixture(scope="module", params=["none", "lz4", "zstd"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("viewers") / "r.mcap"
    with RecordingWriter(path, compression=request.param) as writer:
        for topic, (value, metadata, declared) in outputs().items():
            writer.add(message(topic, value, metadata), declared)
    return path


def save(rgb: np.ndarray[Any, Any], name: str) -> None:
    if PICTURES is not None:
        (Path(PICTURES) / f"{name}.png").write_bytes(png(rgb))


def test_every_output_is_of_the_kind_that_it_says(file: Path) -> None:
    with Recording(file) as recording:
        kinds = {topic.name: topic.kind for topic in recording.topics}
    assert kinds == {
        "image/plain": "image",
        "image/declared": "image",
        "image/flat": "image",
        "image/struct": "image",
        "image/grey": "image",
        "image/depth": "image",
        "image/png": "compressed image",
        "image/sniffed": "compressed image",
        "lidar/points": "point cloud",
        "robot/pose": "pose",
        "robot/transform": "transform",
        "detector/boxes": "boxes",
        "detector/hub": "boxes",
        "speech/text": "log",
        "arm/log": "log",
        "arm/joints": "numbers",
        "arm/speed": "numbers",
        "arm/table": "value",
        "arm/matrix": "value",
    }


# ---- Foxglove ----


@pytest.fixture
def decoded(file: Path) -> dict[str, Any]:
    """Each output as Foxglove's decoder of protobuf gives it."""
    decoder = pytest.importorskip("mcap_protobuf.decoder")
    reader = pytest.importorskip("mcap.reader")
    with file.open("rb") as stream:
        mcap = reader.make_reader(
            stream, validate_crcs=True, decoder_factories=[decoder.DecoderFactory()]
        )
        topics = [topic for topic in outputs() if topic not in ARROW]
        return {
            channel.topic: value
            for _, channel, _, value in mcap.iter_decoded_messages(topics=topics)
        }


def as_rgb(raw: Any) -> np.ndarray[Any, Any]:
    """A `foxglove.RawImage` in colours."""
    pixels = np.frombuffer(raw.data, np.uint8).reshape(raw.height, raw.step)
    if raw.encoding == "mono8":
        return np.repeat(pixels[..., None], 3, axis=2)
    pixels = pixels.reshape(raw.height, raw.width, 3)
    assert raw.encoding in ("rgb8", "bgr8")
    return pixels if raw.encoding == "rgb8" else pixels[..., ::-1]


@pytest.mark.parametrize("name", ["plain", "declared", "flat", "struct"])
def test_foxglove_decodes_the_picture_that_was_sent(decoded: dict[str, Any], name: str) -> None:
    raw = decoded[f"image/{name}"]
    assert (raw.width, raw.height, raw.step) == (64, 48, 192)
    assert raw.timestamp.seconds * 10**9 + raw.timestamp.nanos == START
    rgb = np.ascontiguousarray(as_rgb(raw))
    assert (rgb == picture()).all()
    save(rgb, f"foxglove-{name}")


def test_foxglove_decodes_grey_depth_and_compressed_pictures(decoded: dict[str, Any]) -> None:
    assert (as_rgb(decoded["image/grey"])[..., 0] == picture()[..., 0]).all()
    depth = decoded["image/depth"]
    assert (depth.encoding, depth.step) == ("32FC1", 256)
    assert (np.frombuffer(depth.data, "f4") == 1.5).all()
    for name in ("png", "sniffed"):
        assert decoded[f"image/{name}"].format == "png"
        assert decoded[f"image/{name}"].data == png(picture())


def test_foxglove_decodes_points_poses_boxes_logs_and_numbers(decoded: dict[str, Any]) -> None:
    cloud = decoded["lidar/points"]
    assert [(field.name, field.offset, field.type) for field in cloud.fields] == [
        ("x", 0, 7),
        ("y", 4, 7),
        ("z", 8, 7),
    ]
    assert (cloud.point_stride, cloud.frame_id) == (12, "world")
    assert np.frombuffer(cloud.data, "f4").tolist() == list(range(12))
    pose = decoded["robot/pose"]
    assert (pose.frame_id, pose.pose.position.y, pose.pose.orientation.w) == ("map", 2, 1)
    shift = decoded["robot/transform"]
    assert (shift.parent_frame_id, shift.child_frame_id) == ("world", "arm")
    assert (shift.translation.z, shift.rotation.w) == (3, 1)
    for name, text in (("boxes", "0.90"), ("hub", "car 0.90")):
        (outline,) = decoded[f"detector/{name}"].points
        corners = [(point.x, point.y) for point in outline.points]
        assert corners == [(10, 20), (30, 20), (30, 40), (10, 40)]
        assert [label.text for label in decoded[f"detector/{name}"].texts] == [text]
    assert (decoded["speech/text"].message, decoded["speech/text"].name) == ("hello", "speech")
    line = decoded["arm/log"]
    assert (line.message, line.level, line.name, line.line) == ("careful", 3, "arm", 7)
    assert list(decoded["arm/joints"].values) == [0.5, 1.5, 2.5]
    assert decoded["arm/joints"].value == 0.5
    assert (decoded["arm/speed"].value, list(decoded["arm/speed"].values)) == (7, [7])


def test_the_schemas_are_those_of_foxgloves_sdk() -> None:
    messages = pytest.importorskip("foxglove.messages")
    for name in format._schemas():
        package, _, short = name.partition(".")
        if package == "foxglove":
            schema = getattr(messages, short).get_schema()
            assert (schema.name, schema.data) == (name, format.schema_data(name))


# ---- Rerun ----


@pytest.fixture
def shown(file: Path) -> dict[str, dict[str, Any]]:
    """For each output the components of its first message as Rerun's importer gives them."""
    reader = pytest.importorskip("rerun.chunk").McapReader(str(file))
    found: dict[str, dict[str, Any]] = {}
    for chunk in reader.stream():
        batch = chunk.to_record_batch()
        components = found.setdefault(chunk.entity_path.lstrip("/"), {})
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            components.setdefault(name, column[0].as_py())
    return found


@pytest.mark.parametrize("name", ["plain", "declared", "flat", "struct", "grey"])
def test_rerun_shows_the_picture_that_was_sent(shown: dict[str, dict[str, Any]], name: str) -> None:
    components = shown[f"image/{name}"]
    (form,) = components["Image:format"]
    assert (form["width"], form["height"]) == (64, 48)
    (raw,) = components["Image:buffer"]
    pixels = np.array(raw, np.uint8).reshape(48, 64, -1)
    if name == "grey":
        assert (pixels[..., 0] == picture()[..., 0]).all()
        return
    bgr = form["color_model"] == 4
    rgb = np.ascontiguousarray(pixels[..., ::-1] if bgr else pixels)
    assert (rgb == picture()).all()
    save(rgb, f"rerun-{name}")


def test_rerun_shows_points_poses_and_logs(shown: dict[str, dict[str, Any]]) -> None:
    assert shown["image/depth"]["Image:format"][0]["channel_datatype"] == 34  # 32-bit floats
    assert shown["image/png"]["EncodedImage:media_type"] == ["image/png"]
    points = np.array(shown["lidar/points"]["Points3D:positions"]).reshape(-1)
    assert points.tolist() == list(range(12))
    assert shown["speech/text"]["TextLog:text"] == ["hello"]
    assert shown["arm/log"]["TextLog:level"] == ["WARN"]
    assert shown["robot/pose"]["InstancePoses3D:translations"] == [[1, 2, 3]]
    assert shown["robot/transform"]["Transform3D:translation"] == [[1, 2, 3]]
    assert shown["robot/transform"]["Transform3D:child_frame"] == ["arm"]


def test_rerun_finds_the_numbers_of_every_output(shown: dict[str, dict[str, Any]]) -> None:
    joints = next(value for name, value in shown["arm/joints"].items() if "Numbers" in name)
    assert joints[0]["values"] == [0.5, 1.5, 2.5]
    assert joints[0]["value"] == 0.5

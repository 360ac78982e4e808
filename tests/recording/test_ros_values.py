"""ROS messages become the values that a node wants."""

from __future__ import annotations

from types import SimpleNamespace as Fields
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora.errors import ReplayError
from dora.recording.ros_values import TYPES, values_of

HEADER = Fields(frame_id="map", stamp=Fields(sec=3, nanosec=500))


def value_of(kind: str, message: Any, fields: Any = None) -> tuple[Any, dict[str, Any]]:
    ((value, metadata),) = values_of(message, kind, fields)
    return value, metadata


def image(encoding: str, raw: bytes, width: int, height: int, step: int, big: int = 0) -> Any:
    data = np.frombuffer(raw, np.uint8)
    facts = {"encoding": encoding, "data": data, "width": width, "height": height, "step": step}
    return Fields(header=HEADER, is_bigendian=big, **facts)


@given(
    width=st.integers(1, 9), height=st.integers(1, 5), padding=st.integers(0, 7), big=st.booleans()
)
def test_images_lose_their_padding_and_keep_their_pixels(
    width: int, height: int, padding: int, big: bool
) -> None:
    pixels = np.arange(width * height * 2, dtype=np.uint16).reshape(height, width, 2)
    wire = pixels.astype(">u2" if big else "<u2").view(np.uint8).reshape(height, -1)
    rows = np.pad(wire, ((0, 0), (0, padding)))
    message = image("16UC2", rows.tobytes(), width, height, rows.shape[1], int(big))
    value, metadata = value_of("sensor_msgs/msg/Image", message)
    np.testing.assert_array_equal(value, pixels)
    assert value.dtype == np.uint16
    assert metadata == {
        "frame_id": "map",
        "stamp_ns": 3_000_000_500,
        "encoding": "16UC2",
        "width": width,
        "height": height,
    }


def test_an_image_that_is_cut_off_is_told() -> None:
    with pytest.raises(ReplayError, match="has only 5 bytes"):
        value_of("sensor_msgs/msg/Image", image("rgb8", b"12345", 2, 1, 6))


def test_a_compressed_image_says_what_it_is() -> None:
    message = Fields(header=HEADER, format="bgr8; jpeg compressed bgr8", data=[255, 216])
    value, metadata = value_of("sensor_msgs/msg/CompressedImage", message)
    assert (value.tolist(), metadata["encoding"]) == ([255, 216], "jpeg")


@pytest.mark.parametrize("big", [0, 1])
def test_points_become_columns_with_x_y_z_first(big: int) -> None:
    order = "><"[not big]
    points = np.zeros(
        (2, 3),
        {
            "names": ["ring", "z", "y", "x", "t"],
            "formats": [order + code for code in ("u2", "f4", "f4", "f4", "u4")],
            "offsets": [0, 4, 8, 12, 16],
            "itemsize": 24,
        },
    )
    points["x"], points["y"], points["z"] = 1.5, 2.5, 3.5
    points["ring"], points["t"] = 7, 90_000_000
    codes = {"u2": 4, "f4": 7, "u4": 6}
    fields = [
        Fields(name=name, offset=offset, datatype=codes[kind.str[1:]], count=1)
        for name, (kind, offset) in ((n, f[:2]) for n, f in (points.dtype.fields or {}).items())
    ]
    padded = np.pad(points.view(np.uint8).reshape(2, 72), ((0, 0), (0, 8)))
    message = Fields(
        header=HEADER,
        width=3,
        height=2,
        fields=fields,
        is_bigendian=big,
        point_step=24,
        row_step=80,
        data=padded.reshape(-1),
    )
    value, metadata = value_of("sensor_msgs/msg/PointCloud2", message)
    assert (value.dtype, value.shape) == (np.float32, (6, 5))
    assert metadata["fields"] == ["x", "y", "z", "ring", "t"]
    assert value[5].tolist() == [1.5, 2.5, 3.5, 7.0, 90_000_000.0]


def test_a_scan_is_its_ranges_with_the_angles_as_metadata() -> None:
    names = ("angle_min", "angle_max", "angle_increment", "time_increment", "scan_time")
    facts = dict.fromkeys((*names, "range_min", "range_max"), 0.5)
    message = Fields(header=HEADER, ranges=[1.0, np.inf], intensities=[9.0], **facts)
    value, metadata = value_of("sensor_msgs/msg/LaserScan", message)
    assert (value.dtype, value.tolist()) == (np.float32, [1.0, np.inf])
    assert metadata["intensities"] == [9.0]
    assert metadata.items() >= facts.items()


def vector(x: float) -> Any:
    return Fields(x=x, y=0.0, z=0.0)


TURN = Fields(x=0.0, y=0.0, z=0.0, w=1.0)
POSE = Fields(position=vector(1.0), orientation=TURN)


def test_odometry_is_the_struct_of_the_standard_library() -> None:
    message = Fields(
        header=HEADER,
        child_frame_id="base",
        pose=Fields(pose=POSE, covariance=np.zeros(36)),
        twist=Fields(twist=Fields(linear=vector(2.0), angular=vector(0.0)), covariance=np.ones(36)),
    )
    value, metadata = value_of("nav_msgs/msg/Odometry", message)
    row = value[0].as_py()
    assert row["pose"]["position"] == {"x": 1.0, "y": 0.0, "z": 0.0}
    assert (row["twist"]["linear"]["x"], row["frame_id"]) == (2.0, "map")
    assert metadata["child_frame_id"] == "base"
    assert metadata["twist_covariance"] == [1.0] * 36
    assert "pose_covariance" not in metadata, "one of zeros says nothing"


def test_each_transform_of_a_tf_message_is_a_message() -> None:
    transform = Fields(translation=vector(1.0), rotation=TURN)
    one = Fields(header=HEADER, child_frame_id="a", transform=transform)
    two = Fields(header=HEADER, child_frame_id="b", transform=transform)
    found = list(values_of(Fields(transforms=[one, two]), "tf2_msgs/msg/TFMessage", None))
    assert [metadata["child_frame_id"] for _, metadata in found] == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "data", "wanted"),
    [("Float64", 1.5, 1.5), ("String", "text", "text"), ("Bool", True, True), ("UInt8", 3, 3)],
)
def test_a_number_or_text_stays_what_it_is(kind: str, data: Any, wanted: Any) -> None:
    assert value_of(f"std_msgs/msg/{kind}", Fields(data=data)) == (wanted, {})


def test_arrays_of_numbers_have_their_layout_as_shape() -> None:
    layout = Fields(dim=[Fields(size=2), Fields(size=3)])
    message = Fields(layout=layout, data=np.arange(6, dtype=np.int16))
    value, _ = value_of("std_msgs/msg/Int16MultiArray", message)
    assert (value.shape, value.dtype) == ((2, 3), np.int16)


def test_anything_else_is_a_struct_of_all_its_fields_with_types_of_its_definition() -> None:
    definitions = {
        "my/msg/Outer": [
            ("header", "std_msgs/msg/Header"),
            ("inner", "my/msg/Inner"),
            ("many", ["my/msg/Inner"]),
            ("raw", ["uint8"]),
        ],
        "my/msg/Inner": [("name", "string"), ("levels", ["float32"])],
    }

    from dataclasses import make_dataclass

    inner = make_dataclass("Inner", ["name", "levels"])("n", np.array([1.5], np.float32))
    message = Fields(header=HEADER, inner=inner, many=[], raw=np.array([1, 2], np.uint8))
    value, metadata = value_of("my/msg/Outer", message, definitions.__getitem__)
    assert metadata == {"frame_id": "map", "stamp_ns": 3_000_000_500}
    part = pa.struct([("name", pa.string()), ("levels", pa.list_(pa.float32()))])
    assert value.type == pa.struct(
        [("inner", part), ("many", pa.list_(part)), ("raw", pa.binary())]
    )
    assert value[0].as_py() == {
        "inner": {"name": "n", "levels": [1.5]},
        "many": [],
        "raw": b"\1\2",
    }


def test_types_of_the_standard_library_are_named_as_it_has_them() -> None:
    from dora.descriptor.types_standard import STANDARD

    assert set(TYPES.values()) <= set(STANDARD)

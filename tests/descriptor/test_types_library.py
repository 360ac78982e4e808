"""The standard library of types: names and Arrow layouts of dora-rs 1.1, and arrays besides."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from dora.descriptor.types_library import Library
from dora.descriptor.types_text import parse_type
from dora.node.typecheck import layout_of, layout_of_arrow
from dora.wire.layouts import misfit

LIBRARY = Library()
VECTOR3 = pa.struct([(name, pa.float64()) for name in "xyz"])
QUATERNION = pa.struct([(name, pa.float64()) for name in "xyzw"])
POSE = pa.struct([("position", VECTOR3), ("orientation", QUATERNION)])
TWIST = pa.struct([("linear", VECTOR3), ("angular", VECTOR3)])
FLOATS, TEXTS = pa.large_list(pa.float64()), pa.large_list(pa.string())
SIZED = [("width", pa.uint32()), ("height", pa.uint32())]
BOX = pa.struct(
    [(name, pa.float32()) for name in ("x", "y", "width", "height", "confidence")]
    + [("label", pa.string())]
)
STANDARD = {
    "std/core/v1/Float32": pa.float32(),
    "std/core/v1/Float64": pa.float64(),
    "std/core/v1/Int8": pa.int8(),
    "std/core/v1/Int16": pa.int16(),
    "std/core/v1/Int32": pa.int32(),
    "std/core/v1/Int64": pa.int64(),
    "std/core/v1/UInt8": pa.uint8(),
    "std/core/v1/UInt16": pa.uint16(),
    "std/core/v1/UInt32": pa.uint32(),
    "std/core/v1/UInt64": pa.uint64(),
    "std/core/v1/String": pa.string(),
    "std/core/v1/Bytes": pa.large_binary(),
    "std/core/v1/Bool": pa.bool_(),
    "std/math/v1/Vector3": VECTOR3,
    "std/math/v1/Quaternion": QUATERNION,
    "std/math/v1/Pose": POSE,
    "std/math/v1/Transform": pa.struct([("translation", VECTOR3), ("rotation", QUATERNION)]),
    "std/control/v1/Twist": TWIST,
    "std/control/v1/JointState": pa.struct(
        [("names", TEXTS), ("positions", FLOATS), ("velocities", FLOATS), ("efforts", FLOATS)]
    ),
    "std/control/v1/Odometry": pa.struct(
        [("pose", POSE), ("twist", TWIST), ("frame_id", pa.string())]
    ),
    "std/media/v1/Image": pa.struct(
        [*SIZED, ("encoding", pa.string()), ("data", pa.large_binary())]
    ),
    "std/media/v1/CompressedImage": pa.large_binary(),
    "std/media/v1/PointCloud": pa.struct([("points", pa.large_binary()), *SIZED]),
    "std/media/v1/AudioFrame": pa.struct(
        [("sample_rate", pa.uint32()), ("channels", pa.uint32()), ("data", pa.large_binary())]
    ),
    "std/vision/v1/BoundingBox": BOX,
    "std/vision/v1/Detection": pa.struct([("boxes", pa.large_list(BOX))]),
    "std/vision/v1/Segmentation": pa.struct(
        [
            *SIZED,
            ("num_classes", pa.uint32()),
            ("mask", pa.large_binary()),
            ("class_names", TEXTS),
        ]
    ),
}


def why_not(name: str, came: object) -> str | None:
    layouts = LIBRARY.port_type(LIBRARY.resolve(parse_type(name))).layouts
    return misfit(layouts, layout_of(came))


@pytest.mark.parametrize("name", sorted(STANDARD))
def test_a_standard_type_takes_the_arrow_layout_of_dora_rs_and_no_other(name: str) -> None:
    layouts = LIBRARY.port_type(LIBRARY.resolve(parse_type(name))).layouts
    fitting = {
        other for other in STANDARD if misfit(layouts, layout_of_arrow(STANDARD[other])) is None
    }
    alike = {
        "std/core/v1/Bytes": set(STANDARD),
        "std/media/v1/CompressedImage": {"std/core/v1/Bytes"},
    }
    wider = {"std/math/v1/Vector3": {"std/math/v1/Quaternion"}}  # has more fields
    assert fitting == {name} | alike.get(name, set()) | wider.get(name, set())


@pytest.mark.parametrize("name", sorted(STANDARD))
def test_a_standard_type_has_a_short_name(name: str) -> None:
    assert LIBRARY.resolve(parse_type(name.rpartition("/")[2])).name == name


def image(*shape: int, dtype: str = "uint8") -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Image", image(4, 5, 3)),
        ("Image", image(4, 5)),
        ("Image", image(60)),
        ("Image[encoding=bgr8]", image(4, 5, 3)),
        ("Image[encoding=rgba8]", image(4, 5, 4)),
        ("Image[encoding=mono16]", image(4, 5, dtype="uint16")),
        ("PointCloud", image(9, 3, dtype="float32")),
        ("AudioFrame[sample_type=i16]", image(160, dtype="int16")),
        ("Vector3", image(7, 3, dtype="float64")),
        ("Transform", image(4, 4, dtype="float64")),
        ("Segmentation", image(4, 5)),
    ],
)
def test_what_is_an_array_by_nature_may_travel_as_one(name: str, value: object) -> None:
    assert why_not(name, value) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Image", image(1, 2, 3, 4)),
        ("Image[encoding=rgb8]", image(4, 5, 4)),
        ("Image[encoding=rgb8]", image(4, 5, 3, dtype="float32")),
        ("Image[encoding=mono8]", image(4, 5, 3)),
        ("PointCloud", image(9, 3)),
        ("AudioFrame[sample_type=f32]", image(160, dtype="int16")),
        ("Vector3", image(4, dtype="float64")),
        ("Twist", image(6, dtype="float64")),
    ],
)
def test_another_array_is_not_taken(name: str, value: object) -> None:
    assert why_not(name, value) is not None


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("std/media/v1/Imge", "std/media/v1/Image"),
        ("std/vision/v1/BoundingBx", "std/vision/v1/BoundingBox"),
        ("media/v1/Image", "std/media/v1/Image"),
        ("uint8", "std/core/v1/UInt8"),
        ("string", "std/core/v1/String"),
    ],
)
def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(wrong: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean `{meant}`"):
        LIBRARY.resolve(parse_type(wrong))


def test_a_name_with_nothing_near_is_answered_with_all() -> None:
    with pytest.raises(ValueError, match="there is no type `xyz`; types: Array, AudioFrame, Bool,"):
        LIBRARY.resolve(parse_type("xyz"))

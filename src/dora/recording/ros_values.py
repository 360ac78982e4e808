"""ROS messages → values and metadata as a node of a dataflow wants them. Pure.

    Image                 uint8[h, w, 3], uint16[h, w], ...; metadata `encoding`
    CompressedImage       the file's bytes; metadata `encoding`: `jpeg`, `png`
    PointCloud2           float32[points, fields], x y z first; metadata `fields`
    LaserScan             float32[rays], the ranges; the angles in the metadata
    Pose, Odometry, ...   the structs of `std/math/v1` and `std/control/v1`
    JointState, Twist     likewise
    a number, a text      the same; arrays of numbers with their layout as shape
    anything else         an Arrow struct of all its fields

`header` moves into the metadata, as `frame_id` and `stamp_ns`; covariances too. A TFMessage becomes
one message for each transform in it. ROS 1 and ROS 2 look the same here (`recording.bags`).
Elsewhere: images, clouds and scans (`recording.ros_arrays`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dora.recording.ros_arrays import compressed, image, points, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Value = tuple[Any, dict[str, Any]]
    Fields = Callable[[str], list[tuple[str, Any]]]
    """From a message type to its fields: names, and types as `bags.fields_of` gives them."""

VECTOR = pa.struct([(axis, pa.float64()) for axis in "xyz"])
QUATERNION = pa.struct([(axis, pa.float64()) for axis in "xyzw"])
POSE = pa.struct([("position", VECTOR), ("orientation", QUATERNION)])
TRANSFORM = pa.struct([("translation", VECTOR), ("rotation", QUATERNION)])
TWIST = pa.struct([("linear", VECTOR), ("angular", VECTOR)])
ODOMETRY = pa.struct([("pose", POSE), ("twist", TWIST), ("frame_id", pa.string())])
JOINTS = pa.struct(
    [
        ("names", pa.list_(pa.string())),
        ("positions", pa.list_(pa.float64())),
        ("velocities", pa.list_(pa.float64())),
        ("efforts", pa.list_(pa.float64())),
    ]
)
IMU = pa.struct(
    [
        ("orientation", QUATERNION),
        ("angular_velocity", VECTOR),
        ("linear_acceleration", VECTOR),
    ]
)

_LEVELS = {1: "debug", 2: "info", 4: "warn", 8: "error", 16: "critical"}
"""Of ROS 1; those of ROS 2 are ten times the place: 10, 20, 30, ..."""
_LEVELS |= {10: "debug", 20: "info", 30: "warn", 40: "error", 50: "critical"}


def values_of(message: Any, kind: str, fields: Fields) -> Iterator[Value]:
    """The values of a message, each with its metadata; seldom more than one.

    Args:
        message: As `rosbags` reads it: an object with the message's fields.
        kind: Its type: `sensor_msgs/msg/Image`.
        fields: Tells the fields of types that are converted one by one.

    Raises:
        ReplayError: it is damaged, or of a form that is not known.
    """
    if kind == "tf2_msgs/msg/TFMessage":
        for one in message.transforms:
            yield _transform_stamped(one)
        return
    convert = _CONVERSIONS.get(kind)
    if convert is None:
        yield _anything(message, kind, fields)
        return
    value, metadata = convert(message)
    yield value, {**_header(message), **metadata}


def _header(message: Any) -> dict[str, Any]:
    header = getattr(message, "header", None)
    if header is None:
        return {}
    stamp_ns = header.stamp.sec * 10**9 + header.stamp.nanosec
    return {"frame_id": header.frame_id, "stamp_ns": stamp_ns}


# ---- what stands in space, and moves ----


def _vector(message: Any) -> dict[str, float]:
    return {axis: float(getattr(message, axis)) for axis in "xyz"}


def _quaternion(message: Any) -> dict[str, float]:
    return {axis: float(getattr(message, axis)) for axis in "xyzw"}


def _pose(message: Any) -> dict[str, Any]:
    turn = _quaternion(message.orientation)
    return {"position": _vector(message.position), "orientation": turn}


def _grid(message: Any) -> Value:
    info = message.info
    facts = {"resolution": float(info.resolution), "origin": _pose(info.origin)}
    return np.asarray(message.data, np.int8).reshape(info.height, info.width), facts


def _twist(message: Any) -> dict[str, Any]:
    return {"linear": _vector(message.linear), "angular": _vector(message.angular)}


def _struct(value: dict[str, Any], kind: pa.DataType) -> Any:
    return pa.array([value], kind)


def _covariance(name: str, values: Any) -> dict[str, Any]:
    """A covariance as metadata, unless it says nothing."""
    return {name: np.asarray(values).tolist()} if np.any(values) else {}


def _odometry(message: Any) -> Value:
    value = {
        "pose": _pose(message.pose.pose),
        "twist": _twist(message.twist.twist),
        "frame_id": message.header.frame_id,
    }
    facts = {
        "child_frame_id": message.child_frame_id,
        **_covariance("pose_covariance", message.pose.covariance),
        **_covariance("twist_covariance", message.twist.covariance),
    }
    return _struct(value, ODOMETRY), facts


def _transform(message: Any) -> Any:
    value = {
        "translation": _vector(message.translation),
        "rotation": _quaternion(message.rotation),
    }
    return _struct(value, TRANSFORM)


def _transform_stamped(message: Any) -> Value:
    facts = {**_header(message), "child_frame_id": message.child_frame_id}
    return _transform(message.transform), facts


def _imu(message: Any) -> Value:
    value = {
        "orientation": _quaternion(message.orientation),
        "angular_velocity": _vector(message.angular_velocity),
        "linear_acceleration": _vector(message.linear_acceleration),
    }
    facts: dict[str, Any] = {}
    for name in value:
        facts |= _covariance(f"{name}_covariance", getattr(message, f"{name}_covariance"))
    return _struct(value, IMU), facts


def _joints(message: Any) -> Value:
    value = {
        "names": list(message.name),
        "positions": np.asarray(message.position).tolist(),
        "velocities": np.asarray(message.velocity).tolist(),
        "efforts": np.asarray(message.effort).tolist(),
    }
    return _struct(value, JOINTS), {}


# ---- text and numbers ----


def _log(message: Any) -> Value:
    facts = {"level": _LEVELS.get(message.level, "info"), "node": message.name}
    return message.msg, facts


def _plainly(message: Any) -> Value:
    return message.data, {}


def _numbers(message: Any) -> Value:
    """An array, with its layout as shape if that fits."""
    data = np.asarray(message.data)
    shape = tuple(dimension.size for dimension in message.layout.dim)
    if shape and int(np.prod(shape)) == data.size:
        data = data.reshape(shape)
    return data, {}


_NUMBERS = {
    **dict.fromkeys(("Bool", "String", "Float32", "Float64"), _plainly),
    **{f"{sign}Int{bits}": _plainly for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **{f"{sign}Int{bits}MultiArray": _numbers for sign in ("", "U") for bits in (8, 16, 32, 64)},
    **dict.fromkeys(("Float32MultiArray", "Float64MultiArray"), _numbers),
}
_CONVERSIONS: dict[str, Callable[[Any], Value]] = {
    "sensor_msgs/msg/Image": image,
    "sensor_msgs/msg/CompressedImage": compressed,
    "sensor_msgs/msg/PointCloud2": points,
    "sensor_msgs/msg/LaserScan": scan,
    "sensor_msgs/msg/Imu": _imu,
    "sensor_msgs/msg/JointState": _joints,
    "nav_msgs/msg/Odometry": _odometry,
    "nav_msgs/msg/OccupancyGrid": _grid,
    "geometry_msgs/msg/Vector3": lambda m: (_struct(_vector(m), VECTOR), {}),
    "geometry_msgs/msg/Point": lambda m: (_struct(_vector(m), VECTOR), {}),
    "geometry_msgs/msg/Vector3Stamped": lambda m: (_struct(_vector(m.vector), VECTOR), {}),
    "geometry_msgs/msg/PointStamped": lambda m: (_struct(_vector(m.point), VECTOR), {}),
    "geometry_msgs/msg/Quaternion": lambda m: (_struct(_quaternion(m), QUATERNION), {}),
    "geometry_msgs/msg/Pose": lambda m: (_struct(_pose(m), POSE), {}),
    "geometry_msgs/msg/PoseStamped": lambda m: (_struct(_pose(m.pose), POSE), {}),
    "geometry_msgs/msg/PoseWithCovarianceStamped": lambda m: (
        _struct(_pose(m.pose.pose), POSE),
        _covariance("covariance", m.pose.covariance),
    ),
    "geometry_msgs/msg/Transform": lambda m: (_transform(m), {}),
    "geometry_msgs/msg/TransformStamped": _transform_stamped,
    "geometry_msgs/msg/Twist": lambda m: (_struct(_twist(m), TWIST), {}),
    "geometry_msgs/msg/TwistStamped": lambda m: (_struct(_twist(m.twist), TWIST), {}),
    "rosgraph_msgs/msg/Log": _log,
    "rcl_interfaces/msg/Log": _log,
    **{f"std_msgs/msg/{name}": convert for name, convert in _NUMBERS.items()},
}

TYPES = {
    "sensor_msgs/msg/Image": "std/media/v1/Image",
    "sensor_msgs/msg/CompressedImage": "std/media/v1/CompressedImage",
    "sensor_msgs/msg/PointCloud2": "std/media/v1/PointCloud",
    "sensor_msgs/msg/JointState": "std/control/v1/JointState",
    "nav_msgs/msg/Odometry": "std/control/v1/Odometry",
    "geometry_msgs/msg/Twist": "std/control/v1/Twist",
    "geometry_msgs/msg/TwistStamped": "std/control/v1/Twist",
    "geometry_msgs/msg/Pose": "std/math/v1/Pose",
    "geometry_msgs/msg/PoseStamped": "std/math/v1/Pose",
    "geometry_msgs/msg/PoseWithCovarianceStamped": "std/math/v1/Pose",
    "geometry_msgs/msg/Transform": "std/math/v1/Transform",
    "geometry_msgs/msg/TransformStamped": "std/math/v1/Transform",
    "tf2_msgs/msg/TFMessage": "std/math/v1/Transform",
}
"""The types of the standard library that messages have here."""


# ---- anything else ----

_BASIC = {
    "bool": pa.bool_(),
    "byte": pa.uint8(),
    "char": pa.uint8(),
    "octet": pa.uint8(),
    "string": pa.string(),
    "wstring": pa.string(),
    **{
        name: getattr(pa, name)()
        for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
    "float32": pa.float32(),
    "float64": pa.float64(),
    "float128": pa.float64(),
}


def _anything(message: Any, kind: str, fields: Fields) -> Value:
    """A struct of all fields but the header."""
    schema = _struct_type(kind, fields, leave_out="header")
    if not schema.num_fields:
        return pa.nulls(1), _header(message)
    value = {field.name: _plain(getattr(message, field.name)) for field in schema}
    return _struct(value, schema), _header(message)


def _struct_type(kind: str, fields: Fields, leave_out: str = "") -> pa.StructType:
    return pa.struct(
        [(name, _type(given, fields)) for name, given in fields(kind) if name != leave_out]
    )


def _type(given: Any, fields: Fields) -> pa.DataType:
    """The Arrow type of a field: a name of ROS, or a list that holds the type of its elements."""
    if isinstance(given, list):
        element = _type(given[0], fields)
        return pa.binary() if element == pa.uint8() else pa.list_(element)
    return _BASIC.get(given) or _struct_type(given, fields)


def _plain(value: Any) -> Any:
    """A field's value as Python has it."""
    if isinstance(value, np.ndarray):
        return value.tobytes() if value.dtype == np.uint8 else [_plain(v) for v in value.tolist()]
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return {
            name: _plain(getattr(value, name))
            for name in value.__dataclass_fields__
            if name != "__msgtype__" and not name.isupper()
        }
    return value

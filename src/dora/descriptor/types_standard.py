"""The standard library of types: `std/core`, `math`, `control`, `media`, `vision`.

Names and Arrow layouts are those of dora-rs 1.1. What it leaves open is added here: as which NumPy
arrays the same things may travel, so that a node need not wrap an image into a struct.

Read by `descriptor.types_library`. Elsewhere: the user's own types (`descriptor.types_user`).
"""

from __future__ import annotations

import msgspec

from dora.descriptor.types_text import ArraySpec, TypeRef, parse_array, parse_type
from dora.wire.layouts import DTYPES

ARRAY = "Array"
"""A NumPy array of which nothing else is said; not of dora-rs."""
BYTES = "std/core/v1/Bytes"
TIMER = "std/core/v1/UInt64"
"""What timers count as; what arrives is an empty Arrow array."""
LOGS = "std/core/v1/String"

STRUCT = "Struct"
ARROW_KINDS = {
    **{name: name.lower() for name in ("Int8", "Int16", "Int32", "Int64")},
    **{name: name.lower() for name in ("UInt8", "UInt16", "UInt32", "UInt64")},
    **{name: name.lower() for name in ("Float16", "Float32", "Float64")},
    "Utf8": "string",
    "LargeUtf8": "string",
    "Binary": "binary",
    "LargeBinary": "binary",
    "Boolean": "bool",
}
"""Arrow's names, as definitions write them: the kind of `wire.layouts`."""

OPAQUE = frozenset(
    {
        "Date32",
        "Date64",
        "Decimal128",
        "Dictionary",
        "Duration",
        "FixedSizeBinary",
        "FixedSizeList",
        "Interval",
        "LargeList",
        "List",
        "Map",
        "Null",
        "Time32",
        "Time64",
        "Timestamp",
        "Union",
    }
)
"""Arrow's names of which a definition says too little to check a value: any will do."""


class Definition(msgspec.Struct, frozen=True):
    """One type of the library."""

    arrow: str | None = None
    """A key of `ARROW_KINDS`, one of `OPAQUE`, `Struct`, or None: only arrays."""
    fields: tuple[tuple[str, TypeRef], ...] = ()
    """Of a struct. An Arrow name (`Float64`) wins over a type of the same short name."""
    arrays: tuple[ArraySpec, ...] = ()
    """As which NumPy arrays a value may travel too."""
    by_param: dict[tuple[str, str], tuple[ArraySpec, ...]] = {}
    """In place of `arrays` when this parameter is given."""
    metadata: tuple[str, ...] = ()
    """Keys that the metadata of each message must have."""


def struct(**fields: str) -> Definition:
    """A struct; each field's type as text."""
    return Definition(STRUCT, tuple((name, parse_type(text)) for name, text in fields.items()))


def _also(definition: Definition, *arrays: str, **by_param: list[str]) -> Definition:
    """The definition, as NumPy arrays too; `encoding__rgb8` stands for `[encoding=rgb8]`."""
    cases = {}
    for name, texts in by_param.items():
        key, _, value = name.partition("__")
        cases[key, value] = tuple(map(parse_array, texts))
    specs = tuple(map(parse_array, arrays))
    return msgspec.structs.replace(definition, arrays=specs, by_param=cases)


_CORE = {
    **{name: Definition(name) for name in ARROW_KINDS if name.lower() in DTYPES - {"float16"}},
    "String": Definition("Utf8"),
    "Bytes": Definition("LargeBinary"),
    "Bool": Definition("Boolean"),
}
_MATH = {
    "Vector3": _also(
        struct(x="Float64", y="Float64", z="Float64"),
        *("float64, (3,)", "float64, (N, 3)", "float32, (3,)", "float32, (N, 3)"),
    ),
    "Quaternion": _also(
        struct(x="Float64", y="Float64", z="Float64", w="Float64"),
        *("float64, (4,)", "float64, (N, 4)", "float32, (4,)", "float32, (N, 4)"),
    ),
    "Pose": struct(position="std/math/v1/Vector3", orientation="std/math/v1/Quaternion"),
    "Transform": _also(
        struct(translation="std/math/v1/Vector3", rotation="std/math/v1/Quaternion"),
        *("float64, (4, 4)", "float32, (4, 4)"),
    ),
}
_CONTROL = {
    "Twist": struct(linear="std/math/v1/Vector3", angular="std/math/v1/Vector3"),
    "JointState": struct(
        names="List<Utf8>",
        positions="List<Float64>",
        velocities="List<Float64>",
        efforts="List<Float64>",
    ),
    "Odometry": struct(pose="std/math/v1/Pose", twist="std/control/v1/Twist", frame_id="Utf8"),
}
_MEDIA = {
    "Image": _also(
        struct(width="UInt32", height="UInt32", encoding="Utf8", data="LargeBinary"),
        *("(H, W)", "(H, W, C)", "(N,)"),
        encoding__rgb8=["uint8, (H, W, 3)", "uint8, (N,)"],
        encoding__bgr8=["uint8, (H, W, 3)", "uint8, (N,)"],
        encoding__rgba8=["uint8, (H, W, 4)", "uint8, (N,)"],
        encoding__bgra8=["uint8, (H, W, 4)", "uint8, (N,)"],
        encoding__mono8=["uint8, (H, W)", "uint8, (H, W, 1)", "uint8, (N,)"],
        encoding__mono16=["uint16, (H, W)", "uint16, (H, W, 1)", "uint16, (N,)"],
    ),
    "CompressedImage": Definition("LargeBinary"),
    "PointCloud": _also(
        struct(points="LargeBinary", width="UInt32", height="UInt32"),
        *("float32, (N, C)", "float64, (N, C)"),
    ),
    "AudioFrame": _also(
        struct(sample_rate="UInt32", channels="UInt32", data="LargeBinary"),
        *("(N,)", "(N, C)"),
        sample_type__f32=["float32, (N,)", "float32, (N, C)"],
        sample_type__i16=["int16, (N,)", "int16, (N, C)"],
    ),
}
_VISION = {
    "BoundingBox": struct(
        x="Float32",
        y="Float32",
        width="Float32",
        height="Float32",
        confidence="Float32",
        label="Utf8",
    ),
    "Detection": struct(boxes="List<std/vision/v1/BoundingBox>"),
    "Segmentation": _also(
        struct(
            width="UInt32",
            height="UInt32",
            num_classes="UInt32",
            mask="LargeBinary",
            class_names="List<Utf8>",
        ),
        *("bool, (H, W)", "uint8, (H, W)", "uint16, (H, W)", "int32, (H, W)", "int64, (H, W)"),
    ),
}
STANDARD: dict[str, Definition] = {
    ARRAY: Definition(arrays=(ArraySpec(),)),
    **{
        f"std/{folder}/v1/{name}": definition
        for folder, types in (
            ("core", _CORE),
            ("math", _MATH),
            ("control", _CONTROL),
            ("media", _MEDIA),
            ("vision", _VISION),
        )
        for name, definition in types.items()
    },
}
"""By full name."""

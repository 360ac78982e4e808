"""Which messages are images, and their pixels as red, green, blue or grey. Pure.

An image is what says so: metadata with an `encoding` (and `width`, `height` where the value is
flat, as hub packages send it), an Arrow struct like `std/media/v1/Image`, a declared type; or a
NumPy array that can hardly be anything else: uint8 `[h, w, 3]`, and numbers `[h, w]` that are too
many for a table.

Elsewhere: encoding them for a browser (`web.pictures`), all other values (`web.previews`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dora.web.pictures import Picture, picture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LEAST_SIDE = 16
"""What is smaller is a matrix, not an image, unless it says otherwise."""

_FILES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)
"""How files begin that browsers show themselves; WebP and AVIF begin with their length."""

Pixels = np.ndarray[Any, Any]


def image_of(value: Any, metadata: Mapping[str, Any], declared: str = "") -> Picture | None:
    """The picture of a value; None if it is no image.

    Args:
        value: As a node gets it.
        metadata: What came with it.
        declared: The type of the output, if it has one.

    Raises:
        ValueError: it says that it is an image, but is none of that size or encoding.
    """
    if isinstance(value, pa.StructArray):
        return _of_struct(value)
    encoding = metadata.get("encoding")
    says_so = isinstance(encoding, str) or "Image" in declared.partition("[")[0]
    flat = _numbers(value)
    if flat is None:
        return None
    if says_so and flat.dtype == np.uint8 and flat.ndim == 1:
        file = _file(flat)
        if file is not None:
            return file
    if isinstance(encoding, str):
        size = metadata.get("width"), metadata.get("height")
        if flat.ndim > 1 and not all(isinstance(one, int) for one in size):
            size = flat.shape[1], flat.shape[0]
        if all(isinstance(one, int) for one in size):
            return picture(_decoded(flat, encoding.lower(), *size))  # type: ignore[arg-type]
    return _by_shape(flat, says_so)


def _by_shape(array: Pixels, says_so: bool) -> Picture | None:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    least = 1 if says_so else _LEAST_SIDE
    if array.ndim not in (2, 3) or min(array.shape[:2]) < least:
        return None
    if array.ndim == 2 and array.dtype.kind in "biuf":
        return picture(array if array.dtype == np.uint8 else _stretched(array))
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] in (3, 4):
        return picture(array[:, :, :3])
    return None


def _of_struct(value: pa.StructArray) -> Picture | None:
    """`std/media/v1/Image`: width, height, encoding, data."""
    names = {field.name for field in value.type}
    if len(value) != 1 or not {"width", "height", "encoding", "data"} <= names:
        return None
    width, height, encoding = (
        value.field(key)[0].as_py() for key in ("width", "height", "encoding")
    )
    data = value.field("data")[0].as_py()
    if not isinstance(data, bytes | list) or not isinstance(encoding, str):
        return None
    flat = np.frombuffer(data if isinstance(data, bytes) else bytes(data), np.uint8)
    return _file(flat) or picture(_decoded(flat, encoding.lower(), int(width), int(height)))


def _file(flat: Pixels) -> Picture | None:
    """Bytes that are a picture's file already; None if they are none that browsers know."""
    head = flat[:16].tobytes()
    mime = next((mime for start, mime in _FILES if head.startswith(start)), None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        mime = "image/webp"
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        mime = "image/avif"
    return None if mime is None else Picture(mime, flat.tobytes(), 0, 0)


def _numbers(value: Any) -> Pixels | None:
    """The numbers of a value as they lie in memory."""
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "biuf" else None
    primitive = pa.types.is_integer(value.type) or pa.types.is_floating(value.type)
    if not primitive or value.null_count:
        return None
    found: Pixels = value.to_numpy(zero_copy_only=False)
    return found


def _decoded(values: Pixels, encoding: str, width: int, height: int) -> Pixels:
    """Pixels in the order that pictures have."""
    if encoding not in _DECODERS:
        raise ValueError(f"images of the encoding `{encoding}` are not shown")
    dtype, per_pixel, decode = _DECODERS[encoding]
    raw = np.ascontiguousarray(values).reshape(-1)
    if raw.dtype != dtype:
        raw = raw.view(np.uint8).view(dtype) if raw.dtype == np.uint8 else raw.astype(dtype)
    wanted = int(width * height * per_pixel) if width > 0 and height > 0 else 0
    if not wanted or raw.size != wanted:
        raise ValueError(
            f"an image of {width} x {height} in `{encoding}` has {wanted} numbers, and this one "
            f"has {raw.size}"
        )
    return decode(raw, width, height)


def _stretched(array: Pixels) -> Pixels:
    """Grey from the smallest number to the largest."""
    numbers = array.astype("f8" if array.dtype.itemsize == 8 else "f4")
    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    known = np.nan_to_num(numbers, nan=low, posinf=high, neginf=low)
    scale = 255 / (high - low) if high > low else 0.0
    return np.asarray(np.clip((known - low) * scale, 0, 255), np.uint8)


def _grey(raw: Pixels, width: int, height: int) -> Pixels:
    pixels = raw.reshape(height, width)
    return pixels if raw.dtype == np.uint8 else _stretched(pixels)


def _channels(count: int, order: slice) -> Callable[[Pixels, int, int], Pixels]:
    def decode(raw: Pixels, width: int, height: int) -> Pixels:
        return raw.reshape(height, width, count)[:, :, order]

    return decode


def _planar_yuv(raw: Pixels, width: int, height: int) -> Pixels:
    """I420: all of Y, then a quarter of U, then a quarter of V."""
    size = width * height
    luma = raw[:size].reshape(height, width)
    blue, red = raw[size:].reshape(2, height // 2, width // 2)
    return _rgb(luma, _doubled(blue), _doubled(red))


def _packed_yuv(raw: Pixels, width: int, height: int) -> Pixels:
    """YUYV: of two pixels Y, U, Y, V."""
    pairs = raw.reshape(height, width // 2, 4)
    luma = pairs[:, :, ::2].reshape(height, width)
    blue, red = (np.repeat(pairs[:, :, at], 2, axis=1) for at in (1, 3))
    return _rgb(luma, blue, red)


def _doubled(plane: Pixels) -> Pixels:
    return plane.repeat(2, axis=0).repeat(2, axis=1)


def _rgb(luma: Pixels, blue: Pixels, red: Pixels) -> Pixels:
    y, u, v = luma.astype("f4"), blue.astype("f4") - 128, red.astype("f4") - 128
    channels = (y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u)
    return np.stack([np.clip(one, 0, 255).astype(np.uint8) for one in channels], axis=2)


_RGB, _BGR = slice(0, 3), slice(2, None, -1)
_DECODERS: dict[str, tuple[str, float, Callable[[Pixels, int, int], Pixels]]] = {
    **dict.fromkeys(("rgb8", "8uc3"), ("u1", 3, _channels(3, _RGB))),
    "bgr8": ("u1", 3, _channels(3, _BGR)),
    **dict.fromkeys(("rgba8", "8uc4"), ("u1", 4, _channels(4, _RGB))),
    "bgra8": ("u1", 4, _channels(4, _BGR)),
    **dict.fromkeys(("mono8", "gray8", "8uc1"), ("u1", 1, _grey)),
    **dict.fromkeys(("mono16", "gray16", "16uc1", "z16"), ("u2", 1, _grey)),
    **dict.fromkeys(("32fc1", "depth32"), ("f4", 1, _grey)),
    **dict.fromkeys(("yuv420", "i420"), ("u1", 1.5, _planar_yuv)),
    **dict.fromkeys(("yuyv", "yuv422_yuy2"), ("u1", 2, _packed_yuv)),
}
"""By encoding: the dtype, numbers a pixel, and how it is read."""

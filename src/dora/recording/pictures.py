"""Image messages → pixels, red first, as files and videos want them. Pure but for decoding files.

What an image is, and how its pixels lie, its metadata says (`encoding`), else its shape: the rules
are those of `recording.kinds`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dora.errors import ExportError, InputFormatError
from dora.node.image_files import read_image

if TYPE_CHECKING:
    import numpy.typing as npt

    from dora.recording.message import RecordedMessage

IMAGE_KINDS = frozenset({"image", "compressed image"})
"""The kinds of topics (`recording.reader`) that hold one picture a message."""

_FILES = frozenset({"jpeg", "jpg", "png", "webp", "avif"})
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF")
_CHANNELS = {
    **dict.fromkeys(("mono8", "mono16", "8UC1", "16UC1", "32FC1"), 1),
    **dict.fromkeys(("rgb8", "bgr8", "8UC3"), 3),
    **dict.fromkeys(("rgba8", "bgra8", "8UC4"), 4),
    **dict.fromkeys((f"bayer_{order}8" for order in ("rggb", "bggr", "gbrg", "grbg")), 1),
    **dict.fromkeys(("yuyv", "yuv422_yuy2", "uyvy", "yuv422"), 2),
}


def pixels_of(message: RecordedMessage) -> npt.NDArray[Any]:
    """The picture of an image message: `[h, w]`, `[h, w, 3]` or `[h, w, 4]`, red first.

    A mosaic of Bayer stays grey, as it lies.

    Raises:
        ExportError: it is none that is known.
    """
    value, facts = message.value(), message.metadata_dict()
    encoding = facts.get("encoding")
    if isinstance(value, pa.Array):
        value, facts, encoding = _from_arrow(value, facts, encoding)
    if encoding in _FILES or (value.ndim == 1 and bytes(value[:4]).startswith(_MAGIC)):
        try:
            return read_image(value.tobytes(), f"a message of `{message.topic}`")
        except InputFormatError as exc:
            raise ExportError(str(exc)) from exc
    if value.ndim == 1:
        value = _shaped(message, value, facts, str(encoding))
    return _red_first(value, str(encoding))


def as_bytes(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A picture with a byte a channel: 16 bits lose the lower ones, depth in floats is scaled."""
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    finite = np.nan_to_num(image.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    most = finite.max(initial=0.0)
    return (finite * (255.0 / most if most > 0 else 0.0)).clip(0, 255).astype(np.uint8)


def as_rgb(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A picture as `uint8[h, w, 3]`."""
    image = as_bytes(image)
    if image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])


def _from_arrow(value: pa.Array, facts: dict[str, Any], encoding: Any) -> Any:
    """The bytes in an Arrow value, with what a struct says of them."""
    if pa.types.is_struct(value.type):
        row = value[0].as_py()
        raw = row.get("data")
        facts = {**facts, **{key: row[key] for key in ("width", "height") if key in row}}
        encoding = row.get("encoding", encoding)
    elif pa.types.is_binary(value.type) or pa.types.is_large_binary(value.type):
        raw = value[0].as_py()
    else:
        return value.to_numpy(zero_copy_only=False), facts, encoding
    return np.frombuffer(raw or b"", np.uint8), facts, encoding


def _shaped(
    message: RecordedMessage, value: npt.NDArray[Any], facts: dict[str, Any], encoding: str
) -> npt.NDArray[Any]:
    """Flat pixels with the shape that the metadata gives."""
    width, height = facts.get("width"), facts.get("height")
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise ExportError(
            f"a message of `{message.topic}` is a flat array without `width` and `height` in its "
            "metadata: it is not known how the picture lies"
        )
    wide = {"mono16": "<u2", "16UC1": "<u2", "32FC1": "<f4"}.get(encoding)
    if wide is not None and value.dtype == np.uint8:
        value = value.view(wide)
    channels = _CHANNELS.get(encoding, max(1, value.size // (width * height)))
    if value.size < width * height * channels:
        raise ExportError(
            f"a message of `{message.topic}` has {value.size} numbers, too few for {width} x "
            f"{height} pixels of `{encoding}`"
        )
    flat = value[: width * height * channels]
    return flat.reshape((height, width, channels) if channels > 1 else (height, width))


def _red_first(value: npt.NDArray[Any], encoding: str) -> npt.NDArray[Any]:
    if value.ndim == 3 and value.shape[2] == 1:
        value = value[:, :, 0]
    if value.ndim == 3 and value.shape[2] == 2:
        return _from_yuv(value, luma_first=encoding in ("yuyv", "yuv422_yuy2"))
    if encoding == "bgr8":
        return np.ascontiguousarray(value[:, :, ::-1])
    if encoding == "bgra8":
        return np.ascontiguousarray(value[:, :, [2, 1, 0, 3]])
    return value


def _from_yuv(value: npt.NDArray[Any], *, luma_first: bool) -> npt.NDArray[np.uint8]:
    """YUV 4:2:2 (BT.601, bytes from 16 to 235, as cameras send it) as RGB."""
    luma = value[:, :, 0 if luma_first else 1].astype(np.float32)
    chroma = value[:, :, 1 if luma_first else 0].astype(np.float32) - 128.0
    blue = np.repeat(chroma[:, 0::2], 2, axis=1)[:, : luma.shape[1]]
    red = np.repeat(chroma[:, 1::2], 2, axis=1)[:, : luma.shape[1]]
    luma = 1.164 * (luma - 16.0)
    channels = (luma + 1.596 * red, luma - 0.813 * red - 0.391 * blue, luma + 2.018 * blue)
    return np.stack(channels, axis=2).clip(0, 255).astype(np.uint8)

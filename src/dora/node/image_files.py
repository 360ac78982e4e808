"""Images in files ↔ arrays, by OpenCV or Pillow, whichever is installed; red comes first.

Both are optional and load on first use. Used by `node.value_files` and `recording.pictures`.
"""

from __future__ import annotations

import importlib.util
from io import BytesIO
from typing import Any

import numpy as np

from dora.errors import InputFormatError

_INSTALL = "needs Pillow or OpenCV; `pip install pillow`"


def read_image(content: bytes, name: str) -> np.ndarray[Any, Any]:
    """An image file's content: `uint8[height, width, 3]`, or `uint8[height, width]` if it is grey.

    Args:
        content: The file's bytes.
        name: What messages call it.

    Raises:
        InputFormatError: it is no image, or nothing is installed that reads it.
    """
    if importlib.util.find_spec("cv2") is not None:
        import cv2

        image = None
        if content:  # else OpenCV asserts
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise InputFormatError(f"{name} is no image that OpenCV can read")
        if image.ndim == 3:
            colours = cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
            image = cv2.cvtColor(image, colours)
        return np.asarray(image)
    if importlib.util.find_spec("PIL") is not None:
        from PIL import Image

        try:
            with Image.open(BytesIO(content)) as opened:
                return np.asarray(opened.convert("L" if opened.mode in ("1", "L") else "RGB"))
        except OSError as exc:
            raise InputFormatError(f"{name} is no image that Pillow can read: {exc}") from exc
    raise InputFormatError(f"{name} is an image: reading it {_INSTALL}")


def png_of(image: np.ndarray[Any, Any]) -> bytes:
    """An image as the bytes of a PNG file.

    Args:
        image: `uint8[h, w]`, `uint8[h, w, 3]`, `uint8[h, w, 4]` or `uint16[h, w]`.

    Raises:
        InputFormatError: nothing is installed that writes it.
    """
    if importlib.util.find_spec("PIL") is not None:
        from PIL import Image

        file = BytesIO()
        Image.fromarray(image).save(file, "PNG", compress_level=1)
        return file.getvalue()
    if importlib.util.find_spec("cv2") is not None:
        import cv2

        if image.ndim == 3:
            colours = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
            image = cv2.cvtColor(image, colours)
        _, content = cv2.imencode(".png", image)
        return bytes(content.tobytes())
    raise InputFormatError(f"writing PNG files {_INSTALL}")

"""Pixels → a picture that a browser shows, no larger than a screen needs. Knows Pillow.

Elsewhere: which value is an image, and of which encoding (`web.images`).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

MOST_PIXELS = 1280
"""Of the longer side. Larger images are made smaller."""
_QUALITY = 80
_SHARP_PIXELS = 64 * 64
"""Images so small are sent as they are: what a browser enlarges should show each pixel."""


class Picture(NamedTuple):
    """A file that a browser shows."""

    mime: str
    content: bytes
    width: int
    """Of what was sent by the node, as is the height; 0: not known."""
    height: int


def picture(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> Picture:
    """Encode pixels.

    Args:
        pixels: uint8 `[height, width]`, or `[height, width, 3]` in the order red, green, blue.
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    # Leaving out whole rows and columns costs nothing; the rest is done with care.
    step = max(1, max(height, width) // (2 * MOST_PIXELS))
    image = Image.fromarray(pixels[::step, ::step])
    if max(image.size) > MOST_PIXELS:
        image.thumbnail((MOST_PIXELS, MOST_PIXELS), Image.Resampling.BILINEAR)
    file = io.BytesIO()
    if height * width <= _SHARP_PIXELS:
        image.save(file, "PNG")
        return Picture("image/png", file.getvalue(), width, height)
    image.save(file, "JPEG", quality=_QUALITY)
    return Picture("image/jpeg", file.getvalue(), width, height)

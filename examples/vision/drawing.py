"""Draws boxes with labels: what is inside a box keeps its colour, the rest turns grey."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

CLASS_NAMES = Path(__file__).with_name("coco.txt").read_text().splitlines()
"""The classes of the COCO data set, by number."""

ROAD_USERS = frozenset({0, 1, 2, 3, 5, 7})
"""People, bicycles, cars, motorcycles, buses, trucks."""

_SCALE = 2
_COLOURS = [(80, 220, 60), (60, 170, 255), (255, 160, 60), (220, 90, 220), (70, 220, 230)]


def annotate(
    image: npt.NDArray[np.uint8],
    gray: npt.NDArray[np.uint8] | None,
    boxes: list[dict[str, float]],
) -> npt.NDArray[np.uint8]:
    """A picture `uint8[2 * height, 2 * width, 3]` (BGR) of an RGB image with its boxes.

    Args:
        image: `uint8[height, width, 3]`, RGB; not written to.
        gray: `uint8[height, width]`, shown outside the boxes; without it all keeps its colour.
        boxes: Each with `x1`, `y1`, `x2`, `y2` in pixels of the image, `confidence` and `class`.
    """
    colour = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    picture = colour if gray is None else cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
    corners = [[round(box[key]) for key in ("x1", "y1", "x2", "y2")] for box in boxes]
    for x1, y1, x2, y2 in corners:
        picture[y1:y2, x1:x2] = colour[y1:y2, x1:x2]
    picture = cv2.resize(picture, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_CUBIC)
    for box, corner in zip(boxes, corners, strict=True):
        _draw_box(picture, [side * _SCALE for side in corner], box)
    return picture


def _draw_box(picture: npt.NDArray[np.uint8], corner: list[int], box: dict[str, float]) -> None:
    x1, y1, x2, y2 = corner
    number = int(box["class"])
    colour = _COLOURS[number % len(_COLOURS)]
    label = f"{CLASS_NAMES[number]} {box['confidence']:.2f}"
    (width, height), _ = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1)
    top = max(0, y1 - height - 8)
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, 2)
    cv2.rectangle(picture, (x1, top), (x1 + width + 8, top + height + 8), colour, cv2.FILLED)
    origin = (x1 + 4, top + height + 4)
    cv2.putText(picture, label, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)

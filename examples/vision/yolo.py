"""A YOLO network of the COCO classes on ONNX Runtime: one image in, boxes out."""

import os

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

SIDE = 640
"""The longer side of what the network sees, in pixels."""
STRIDE = 32
"""Both sides of what the network sees are a multiple of this."""


class Yolo:
    """The network, loaded once.

    Args:
        path: An ONNX file whose output is `float32[1, 4 + classes, anchors]`: centre x, centre y,
            width and height in pixels, then one score for each class.
        confidence: Boxes that score less are left out.
        overlap: Of boxes of one class that overlap by more than this, the best is kept.
    """

    def __init__(self, path: str, confidence: float = 0.4, overlap: float = 0.5) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = max(1, len(os.sched_getaffinity(0)) // 2)
        # Idle threads sleep rather than spin: the other nodes need the cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._confidence = confidence
        self._overlap = overlap

    def __call__(self, image: npt.NDArray[np.uint8]) -> list[dict[str, float | int]]:
        """Boxes in an RGB image `uint8[height, width, 3]`, in its pixels, best first."""
        blob, scale, left, top = _letterbox(image)
        rows = self._session.run(None, {self._input: blob})[0][0].T
        classes = rows[:, 4:].argmax(axis=1)
        scores = rows[np.arange(len(rows)), 4 + classes]
        sure = scores >= self._confidence
        rows, classes, scores = rows[sure], classes[sure], scores[sure]
        corner = rows[:, :2] - rows[:, 2:4] / 2
        boxes = np.hstack([(corner - (left, top)) / scale, rows[:, 2:4] / scale])
        keep = cv2.dnn.NMSBoxesBatched(
            boxes.tolist(), scores.tolist(), classes.tolist(), self._confidence, self._overlap
        )
        height, width = image.shape[:2]
        return [
            {
                "x1": float(max(0.0, boxes[i, 0])),
                "y1": float(max(0.0, boxes[i, 1])),
                "x2": float(min(width, boxes[i, 0] + boxes[i, 2])),
                "y2": float(min(height, boxes[i, 1] + boxes[i, 3])),
                "confidence": float(scores[i]),
                "class": int(classes[i]),
            }
            for i in sorted(keep, key=lambda i: -scores[i])
        ]


def _letterbox(image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], float, int, int]:
    """The image scaled to `SIDE` and padded to whole strides: blob, scale, left and top margin."""
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = (round(width * scale), round(height * scale))
    padded = [-(-side // STRIDE) * STRIDE for side in size]
    left, top = (padded[0] - size[0]) // 2, (padded[1] - size[1]) // 2
    canvas = np.full((padded[1], padded[0], 3), 114, np.uint8)
    resized = image if size == (width, height) else cv2.resize(image, size)
    canvas[top : top + size[1], left : left + size[0]] = resized
    return cv2.dnn.blobFromImage(canvas, 1 / 255), scale, left, top

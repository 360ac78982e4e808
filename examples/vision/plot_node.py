"""Draws the boxes on the frames; writes an annotated video and the frame with the best detections.

Three streams meet here: frames, their grey images, and boxes, joined by frame number. A frame waits
until boxes as new as itself have come; a frame that the detector did not look at shows the boxes of
the last one it did. At the end it tells what it saw and how old the boxes were when they came.
"""

import math
import os
from collections import Counter, deque
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from drawing import CLASS_NAMES, ROAD_USERS, annotate

from dora import Node

Image = npt.NDArray[np.uint8]
Box = dict[str, float]


class Album:
    """The annotated video, the best frame so far, and a window where there is a display."""

    def __init__(self, folder: Path, fps: float = 25.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.video_path = folder / "annotated.mp4"
        self.best_path = folder / "best.png"
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._window = _can_show()
        self._best: Image | None = None
        self._best_score = -1.0

    def add(self, image: Image, gray: Image | None, boxes: list[Box], *, seen: bool) -> None:
        """Draw one frame. `seen`: the boxes were found in this very frame."""
        picture = annotate(image, gray, boxes)
        if self._writer is None:
            size = (picture.shape[1], picture.shape[0])
            fourcc = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self.video_path), fourcc, self._fps, size)
        self._writer.write(picture)
        # The surest box of each kind: many kinds at once make the best picture.
        surest: dict[float, float] = {}
        for box in boxes:
            if box["class"] in ROAD_USERS:
                surest[box["class"]] = max(box["confidence"], surest.get(box["class"], 0.0))
        score = sum(surest.values())
        if seen and score > self._best_score:
            self._best, self._best_score = picture, score
        if self._window:
            cv2.imshow("dora", picture)
            cv2.waitKey(1)

    def close(self) -> None:
        """Finish the video and write the best frame."""
        if self._writer is not None:
            self._writer.release()
        if self._best is not None:
            cv2.imwrite(str(self.best_path), self._best)
        if self._window:
            cv2.destroyAllWindows()


class Join:
    """Puts each frame together with its grey image and its boxes, in the order of the frames."""

    def __init__(self, album: Album) -> None:
        self._album = album
        self._frames: deque[tuple[int, Image]] = deque()
        self._gray: dict[int, Image] = {}
        self._boxes: dict[int, list[Box]] = {}
        self._current: list[Box] = []
        self._newest: dict[str, float] = {"processed": -1, "bbox": -1}

    def frame(self, number: int, image: Image) -> None:
        self._frames.append((number, image))
        self._draw_ready()

    def gray(self, number: int, gray: Image) -> None:
        self._gray[number] = gray
        self._newest["processed"] = number
        self._draw_ready()

    def boxes(self, number: int, boxes: list[Box]) -> None:
        self._boxes[number] = boxes
        self._newest["bbox"] = number
        self._draw_ready()

    def closed(self, name: str) -> None:
        """Nothing more comes of this stream: no frame waits for it."""
        self._newest[name] = math.inf
        self._draw_ready()

    def _draw_ready(self) -> None:
        while self._frames and self._frames[0][0] <= min(self._newest.values()):
            number, image = self._frames.popleft()
            seen = number in self._boxes
            for old in [known for known in self._boxes if known <= number]:
                self._current = self._boxes.pop(old)
            for old in [known for known in self._gray if known < number]:
                del self._gray[old]
            self._album.add(image, self._gray.pop(number, None), self._current, seen=seen)


class Tally:
    """What came, what was missed, and how old the boxes were."""

    def __init__(self) -> None:
        self.frames = 0
        self.looked_at = 0
        self.last_frame = -1
        self.objects: Counter[str] = Counter()
        self.latencies_ms: list[float] = []
        self._sent: dict[int, datetime] = {}

    def frame(self, number: int, sent: datetime) -> None:
        self.frames += 1
        self._sent[number] = sent
        self.last_frame = max(self.last_frame, number)

    def boxes(self, number: int, boxes: list[Box], now: datetime) -> None:
        if number in self._sent:
            self.latencies_ms.append((now - self._sent[number]).total_seconds() * 1e3)
        for old in [known for known in self._sent if known <= number]:
            del self._sent[old]
        self.looked_at += 1
        self.objects.update(CLASS_NAMES[int(box["class"])] for box in boxes)

    def report(self) -> str:
        sent = self.last_frame + 1
        kinds = ", ".join(f"{name} {count}" for name, count in self.objects.most_common())
        lines = [
            f"frames: {sent} sent, {self.frames} drawn, {sent - self.frames} dropped before plot",
            f"detector: {self.looked_at} frames looked at, {sent - self.looked_at} dropped "
            "(its input holds the newest frame only)",
            f"detections: {self.objects.total()} ({kinds or 'none'})",
        ]
        if self.latencies_ms:
            p50, p99 = np.percentile(self.latencies_ms, [50, 99])
            lines.append(
                f"end-to-end latency, frame sent to boxes at plot: "
                f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"
            )
        return "\n".join(lines)


def main() -> None:
    album = Album(Path(os.environ.get("PICTURES", "pictures")).resolve())
    join, tally = Join(album), Tally()
    with Node() as node:
        for event in node:
            if event["type"] == "INPUT":
                metadata, number = event["metadata"], event["metadata"]["frame"]
                if event["id"] == "image":
                    tally.frame(number, metadata["timestamp"])
                    join.frame(number, event["value"])
                elif event["id"] == "processed":
                    join.gray(number, event["value"])
                elif event["id"] == "bbox":
                    boxes = event["value"].to_pylist()
                    tally.boxes(number, boxes, node.timestamp())
                    join.boxes(number, boxes)
            elif event["type"] == "INPUT_CLOSED" and event["id"] != "image":
                join.closed(event["id"])
            elif event["type"] == "STOP":
                break
    join.closed("processed")
    join.closed("bbox")
    album.close()
    print(tally.report())
    print(f"pictures: {album.video_path}\npictures: {album.best_path}")


def _can_show() -> bool:
    """Whether there is a display, and an OpenCV that can open a window on it."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    build = "".join(cv2.getBuildInformation().split())
    return bool(display) and "GUI:NONE" not in build


if __name__ == "__main__":
    main()

"""Sends one RGB frame for each tick: of camera 0 where there is one, else of a real clip.

Each frame carries its number, so that the nodes behind can tell which frames they missed.
"""

import os
from pathlib import Path

import cv2
import numpy as np

from dora import Node


def open_source(source: str, clip: str) -> tuple[cv2.VideoCapture, str]:
    """Open what `SOURCE` asks for; the name says what it became."""
    if source == "camera" or (source == "auto" and Path("/dev/video0").exists()):
        camera = cv2.VideoCapture(0)
        if camera.isOpened():
            return camera, "camera 0"
        if source == "camera":
            raise SystemExit("camera 0 does not open; is it in use, and may you read /dev/video0?")
    path = clip if source in ("auto", "clip", "camera") else source
    video = cv2.VideoCapture(path)
    if not video.isOpened():
        raise SystemExit(f"no video at `{path}`; fetch the clip with: python fetch_assets.py")
    return video, path


def next_frame(cap: cv2.VideoCapture) -> tuple[bool, np.ndarray | None]:
    """The next frame; at its end a video begins anew, which a camera cannot."""
    ret, frame = cap.read()
    if not ret and cap.set(cv2.CAP_PROP_POS_FRAMES, 0):
        ret, frame = cap.read()
    return ret, frame


def main() -> None:
    source = os.environ.get("SOURCE", "auto")
    max_frames = int(os.environ.get("MAX_FRAMES", "250"))
    cap, name = open_source(source, os.environ.get("CLIP", "assets/bikes.mp4"))
    frames = 0
    with Node() as node:
        for event in node:
            if event["type"] == "INPUT" and event["id"] == "tick":
                if 0 < max_frames == frames:
                    break
                ret, frame = next_frame(cap)
                if not ret:
                    break
                frame_rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                node.send_output("image", frame_rgb, {"frame": frames})
                frames += 1
            elif event["type"] == "STOP":
                break
    cap.release()
    print(f"{frames} frames of {name}")


if __name__ == "__main__":
    main()

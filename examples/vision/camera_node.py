"""Sends one RGB frame for each tick: of camera 0 where there is one, else of a real clip.

Each frame carries its number and the time it was taken, so that the nodes behind can tell which
frames they missed and how old a result is.
"""

import os
import time
from pathlib import Path

import cv2

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


def main() -> None:
    source = os.environ.get("SOURCE", "auto")
    max_frames = int(os.environ.get("MAX_FRAMES", "250"))
    cap, name = open_source(source, os.environ.get("CLIP", "assets/bikes.mp4"))
    frames = 0
    with Node() as node:
        for event in node:
            if event["type"] == "INPUT" and event["id"] == "tick":
                ret, frame = cap.read()
                if not ret or frames == max_frames:
                    break
                frame_rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                metadata = {"frame": frames, "sent_ns": time.monotonic_ns()}
                node.send_output("image", frame_rgb, metadata)
                frames += 1
            elif event["type"] == "STOP":
                break
    cap.release()
    print(f"{frames} frames of {name}")


if __name__ == "__main__":
    main()

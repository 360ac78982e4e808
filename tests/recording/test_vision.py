"""A recording of the vision example, replayed, drives the detector to the same boxes."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from dora.recording.reader import Recording

from .replaying import dora

VISION = Path(__file__).resolve().parents[2] / "examples" / "vision"


def need_vision() -> None:
    missing = [name for name in ("cv2", "onnxruntime") if find_spec(name) is None]
    missing += [n for n in ("bikes.mp4", "yolo11n.onnx") if not (VISION / "assets" / n).exists()]
    if missing:
        message = f"{missing} missing: run `make assets`"
        assert "DORA_TEST_ASSETS" not in os.environ, message
        pytest.skip(message)


def boxes(path: Path) -> dict[int, Any]:
    """What the detector found, by the number of the frame."""
    with Recording(path) as recording:
        found = recording.messages(["detector/bbox"])
        return {one.metadata_dict()["frame"]: one.value().to_pylist() for one in found}


def test_a_replay_drives_the_detector_to_the_same_boxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_vision()
    folder = tmp_path / "vision"
    shutil.copytree(VISION, folder, ignore=shutil.ignore_patterns("pictures", "__pycache__"))
    monkeypatch.setenv("SOURCE", "clip")
    monkeypatch.setenv("MAX_FRAMES", "25")
    original, again = tmp_path / "original.mcap", tmp_path / "again.mcap"
    ran = dora("record", folder / "dataflow.yml", "-o", original)
    assert ran.returncode == 0, ran.stdout

    (folder / "camera_node.py").unlink()  # nobody needs the camera any more
    replayed = folder / "replayed.yml"
    ran = dora("replay", original, "--max", "--output-yaml", replayed)
    assert ran.returncode == 0, ran.stdout
    ran = dora("record", replayed, "-o", again)
    assert ran.returncode == 0, ran.stdout

    before, after = boxes(original), boxes(again)
    assert sorted(after) == list(range(25)), "with --max nothing is lost, though it looks at one"
    assert any(before.values())
    assert {frame: after[frame] for frame in before} == before
    with Recording(original) as one, Recording(again) as two:
        frames = [
            [(m.header, bytes(m.view), m.metadata) for m in recording.messages(["camera/image"])]
            for recording in (one, two)
        ]
    assert frames[0] == frames[1]

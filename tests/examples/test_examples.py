"""Every dataflow of `examples/` is run for real, and says what its `expected.txt` lists."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from dora import client
from dora.errors import DoraError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DORA = Path(sys.executable).with_name("dora")
DEADLINE_S = 50

NEEDS_MORE = {"spec_vision": "a camera and ultralytics"}
"""Examples that cannot run on every machine; what can be run of them is, below."""

NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/dataflow.yml"))


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy of all examples, so that a run writes nothing into the repository."""
    copy = tmp_path / "examples"
    unwanted = shutil.ignore_patterns("out", "pictures", "__pycache__", ".ruff_cache")
    shutil.copytree(EXAMPLES, copy, ignore=unwanted)
    return copy


def dora(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the `dora` command until it ends."""
    return subprocess.run(
        [DORA, *arguments],
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def need_vision() -> None:
    """Skip a test whose clip, weights or libraries are missing; `make test` fetches them."""
    missing = [name for name in ("cv2", "onnxruntime") if find_spec(name) is None]
    assets = EXAMPLES / "vision" / "assets"
    missing += [n for n in ("bikes.mp4", "yolo11n.onnx") if not (assets / n).exists()]
    if missing:
        message = f"{missing} missing: run `make assets`"
        assert "DORA_TEST_ASSETS" not in os.environ, message
        pytest.skip(message)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NEEDS_MORE])
def test_an_example_runs_and_says_what_it_promises(name: str, examples: Path) -> None:
    if name == "vision":
        need_vision()
    ran = dora("run", examples / name / "dataflow.yml", SOURCE="clip", MAX_FRAMES="60")
    assert ran.returncode == 0, ran.stdout
    expected = (examples / name / "expected.txt").read_text().splitlines()
    assert [line for line in expected if line not in ran.stdout] == [], ran.stdout


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_valid(name: str, examples: Path) -> None:
    checked = dora("validate", examples / name / "dataflow.yml")
    assert checked.returncode == 0, checked.stdout


def test_vision_finds_people_and_cars_and_writes_pictures_of_them(examples: Path) -> None:
    need_vision()
    import cv2

    folder = examples / "vision"
    ran = dora("run", folder / "dataflow.yml", SOURCE="clip", MAX_FRAMES="60")
    assert ran.returncode == 0, ran.stdout
    best = cv2.imread(str(folder / "pictures" / "best.png"))
    assert best is not None
    assert best.shape == (544, 1280, 3)
    video = cv2.VideoCapture(str(folder / "pictures" / "annotated.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 60
    video.release()


def test_camera_and_processor_of_the_specification_stop_when_told(examples: Path) -> None:
    """Without a camera the camera node sends nothing; it still ends at STOP as written."""
    need_vision()
    folder = examples / "spec_vision"
    text, _, _ = (folder / "dataflow.yml").read_text().partition("  - id: detector")
    (folder / "no_detector.yml").write_text(text)
    command = [DORA, "run", folder / "no_detector.yml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        wait_until_started("no_detector", "camera", "processor")
        running.send_signal(signal.SIGINT)
        words, _ = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0, words


def wait_until_started(flow: str, *nodes: str) -> None:
    """Until the nodes of a running dataflow are beyond the start barrier."""
    deadline = time.monotonic() + DEADLINE_S
    waiting = list(nodes)
    while waiting:
        try:
            with client.connect(flow, waiting[0]) as connected:
                connected.stack(waiting[0])
            waiting.pop(0)
        except DoraError:  # not there yet
            assert time.monotonic() < deadline, f"{waiting} did not start"

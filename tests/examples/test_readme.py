"""The README's first dataflow runs as it stands there, and its picture is in the repository."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder with the README's files."""
    blocks = re.findall(r"^```(?:yaml|python)\n(.*?)^```", README, re.S | re.M)
    names = ("hello.yml", "camera.py", "brightness.py", "test_brightness.py")
    for name, text in zip(names, blocks, strict=True):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_first_dataflow_runs_as_written(written: Path) -> None:
    command = [Path(sys.executable).with_name("dora"), "run", "hello.yml"]
    with subprocess.Popen(command, cwd=written, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert any("(480, 640, 3) 127." in line for line in running.stdout)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=50)
    assert running.returncode == 0


def test_the_first_test_passes_as_written(written: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_brightness.py"]
    ran = subprocess.run(
        command, cwd=written, capture_output=True, text=True, timeout=50, check=False
    )
    assert ran.returncode == 0, ran.stdout


def test_what_the_readme_links_to_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []

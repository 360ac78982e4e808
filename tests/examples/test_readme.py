"""The README's first dataflow runs as it stands there, and its picture is in the repository."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_the_first_dataflow_runs_as_written(tmp_path: Path) -> None:
    blocks = re.findall(r"^```(?:yaml|python)\n(.*?)^```", README, re.S | re.M)
    names = ("hello.yml", "camera.py", "brightness.py")
    for name, text in zip(names, blocks, strict=True):
        (tmp_path / name).write_text(text)
    ran = subprocess.run(
        [Path(sys.executable).with_name("dora"), "run", "hello.yml", "--stop-after", "1s"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "(480, 640, 3) 127." in ran.stdout


def test_what_the_readme_links_to_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []

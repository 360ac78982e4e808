"""The check for what tests leave behind (in `conftest.py`) sees what it is there for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")

CULPRITS = {
    "a child": (
        'subprocess.Popen(["sleep", "600"])',
        "processes left behind",
    ),
    "an orphan in a session of its own": (
        'subprocess.run("setsid --fork sleep 600", shell=True)',
        "processes left behind",
    ),
    "a file": (
        'open("tmp/dora-1000", "w").close()',
        "files left behind",
    ),
    "a temporary file": (
        'subprocess.run(["mktemp"])',
        "files left behind",
    ),
    "shared memory": (
        'open("dev/shm/left", "w").close()',
        "files left behind",
    ),
}


@pytest.mark.parametrize("culprit", CULPRITS)
def test_a_test_that_leaves_something_behind_fails(culprit: str, tmp_path: Path) -> None:
    statement, complaint = CULPRITS[culprit]
    check = CONFTEST.read_text().replace("DYING_S = 20.0", "DYING_S = 0.0")
    for place in ("dev/shm", "tmp"):
        (tmp_path / place).mkdir(parents=True)
        check = check.replace(f'"/{place}"', f'"{tmp_path / place}"')
    (tmp_path / "conftest.py").write_text(check)
    (tmp_path / "test_culprit.py").write_text(
        f"import subprocess\n\ndef test_culprit():\n    {statement}\n\n"
        "def test_innocent():\n    pass\n"
    )
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--basetemp",
            tmp_path / "of pytest",
            tmp_path / "test_culprit.py",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert complaint in ran.stdout, ran.stdout
    assert "2 passed, 1 error" in ran.stdout

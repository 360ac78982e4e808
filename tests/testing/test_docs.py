"""The code of `docs/testing.md` is run as a reader would: each file written down, then pytest."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"
FILE = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_example_of_the_page_passes(tmp_path: Path) -> None:
    written = FILE.findall(PAGE.read_text())
    assert len(written) == PAGE.read_text().count("file=") > 5
    for name, content in written:
        (tmp_path / name).write_text(content)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "5 passed" in ran.stdout, ran.stdout

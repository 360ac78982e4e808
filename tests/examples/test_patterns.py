"""The code of `docs/patterns.md` is that of examples, which are run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("service", "action", "streaming", "sync")


def test_every_block_of_code_is_a_file_of_an_example_and_short() -> None:
    text = (ROOT / "docs" / "patterns.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    files = [file for name in FOLDERS for file in (ROOT / "examples" / name).glob("*.py")]
    assert sorted(blocks) == sorted(file.read_text() for file in files)
    assert all(len(block.splitlines()) <= 16 for block in blocks)


def test_the_examples_are_run() -> None:
    for name in FOLDERS:
        assert (ROOT / "examples" / name / "dataflow.yml").exists()
        assert (ROOT / "examples" / name / "expected.txt").read_text()

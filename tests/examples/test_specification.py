"""The specification's code blocks stand in the examples word for word, and those are run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SPECIFICATION = Path(__file__).with_name("specification.txt").read_text()

BLOCKS = [
    (language, text.rstrip("\n"))
    for language, text in re.findall(r"^```(python|yaml)\n(.*?)^```", SPECIFICATION, re.S | re.M)
]


def test_the_specification_has_all_its_blocks() -> None:
    assert [language for language, _ in BLOCKS].count("python") == 12
    assert [language for language, _ in BLOCKS].count("yaml") == 1


@pytest.mark.parametrize(
    ("language", "text"), BLOCKS, ids=[text.splitlines()[0] for _, text in BLOCKS]
)
def test_a_block_of_the_specification_stands_in_an_example_as_written(
    language: str, text: str
) -> None:
    suffix = {"python": "*.py", "yaml": "*.yml"}[language]
    files = [path for path in EXAMPLES.rglob(suffix) if "out" not in path.parts]
    holders = [path for path in files if f"\n{text}\n" in f"\n{path.read_text()}"]
    assert holders, "no example has this block"

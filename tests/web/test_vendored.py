"""The files of other projects are those that they published, with their licences; and no others."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import dora

STATIC = Path(dora.__file__).parent / "web" / "static"
VENDOR = STATIC / "vendor"
LIST = dict(
    reversed(line.split()) for line in (VENDOR / "SHA256SUMS").read_text().splitlines() if line
)


def test_every_vendored_file_is_in_the_list() -> None:
    there = {path.name for path in VENDOR.iterdir()}
    assert there == LIST.keys() | {"SHA256SUMS", "README.md"}


@pytest.mark.parametrize("name", LIST)
def test_a_vendored_file_is_as_it_was_published(name: str) -> None:
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == LIST[name]


def test_every_library_has_its_licence_and_origin() -> None:
    readme = (VENDOR / "README.md").read_text()
    for name in LIST:
        assert f"`{name}`" in readme


def test_the_page_loads_nothing_from_elsewhere_and_has_no_script_of_its_own_in_it() -> None:
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"https?:|<script>|<style|\son\w+=|\sstyle=", page)
    for found in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert (STATIC / found.removeprefix("/static/")).is_file()


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_no_script_writes_data_as_html(path: Path) -> None:
    code = path.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", code)
    for found in re.findall(r'from "([^"]+)"', code):
        assert (STATIC / found).resolve().is_file()

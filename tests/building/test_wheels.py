"""Our own wheels: what is in them, and what installers make of them."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dora.version
from dora.building import own_wheel, stand_in
from dora.building.wheels import make_wheel

NAMES = st.text("abcdefgh_", min_size=1, max_size=8)


@given(st.dictionaries(NAMES.map(lambda name: f"pkg/{name}.py"), st.binary(max_size=200)))
def test_a_wheel_holds_its_files_and_a_record_that_is_right(files: dict[str, bytes]) -> None:
    wheel = make_wheel("my-node.x", "1.0+a", "Name: my-node.x\n", files)
    assert wheel.file_name == "my_node_x-1.0+a-py3-none-any.whl"
    with zipfile.ZipFile(io.BytesIO(wheel.content)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    info = "my_node_x-1.0+a.dist-info"
    assert {name: raw for name, raw in content.items() if not name.startswith(info)} == files
    rows = {row[0]: row[1:] for row in csv.reader(content[f"{info}/RECORD"].decode().splitlines())}
    assert rows.keys() == content.keys()
    for name, (digest, size) in rows.items():
        if name != f"{info}/RECORD":
            raw = hashlib.sha256(content[name]).digest()
            assert digest == "sha256=" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
            assert int(size) == len(content[name])


def test_the_same_files_give_the_same_bytes() -> None:
    assert make_wheel("a", "1", "x", {"b": b"1", "a": b"2"}) == make_wheel(
        "a", "1", "x", {"a": b"2", "b": b"1"}
    )


def test_the_stand_in_holds_no_file_and_needs_nothing() -> None:
    with zipfile.ZipFile(io.BytesIO(stand_in.stand_in().content)) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {
            f"dora_rs-{stand_in.RELEASE}+dora.py.dist-info"
        }
        metadata = archive.read(f"dora_rs-{stand_in.RELEASE}+dora.py.dist-info/METADATA").decode()
    assert "Requires-Dist" not in metadata


def test_the_stand_in_can_be_made_where_nothing_is_installed() -> None:
    """The wheel of dora is made in an environment that has the build backend only."""
    source = str(Path(dora.version.__file__).parent.parent)
    code = f"import sys; sys.path.insert(0, {source!r})\n"
    code += "from dora.building.stand_in import stand_in; stand_in()"
    subprocess.run([sys.executable, "-S", "-I", "-c", code], check=True)


def test_the_wheel_that_is_published_brings_the_stand_in_along(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    project = Path(__file__).resolve().parents[2]
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(build, cwd=project, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("dora_py-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        installed = {name.partition(".data/purelib/")[2]: name for name in names}
        with zipfile.ZipFile(io.BytesIO(stand_in.stand_in().content)) as alone:
            for name in alone.namelist():
                assert archive.read(installed[name]) == alone.read(name)


def test_the_wheel_of_dora_has_all_its_modules_and_requirements() -> None:
    wheel = own_wheel.own_wheel()
    with zipfile.ZipFile(io.BytesIO(wheel.content)) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("METADATA"))
    assert {"dora/__init__.py", "dora/node/node.py", "dora/py.typed"} <= names
    assert not [name for name in names if "__pycache__" in name]
    assert f"\nVersion: {own_wheel.own_version()}\n" in metadata
    assert "Requires-Dist: numpy" in metadata
    assert wheel.file_name.startswith(f"dora_py-{own_wheel.own_version()}-")

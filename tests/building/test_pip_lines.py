"""What build lines mean in an environment, and which of them need not be run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dora.building.pip_lines import deciding_files, may_install, means_pip, translate

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = "/env/bin/python"


@pytest.mark.parametrize(
    ("line", "uv", "expected"),
    [
        ("pip install x", None, f"{PYTHON} -m pip install x"),
        ("pip3 list", None, f"{PYTHON} -m pip list"),
        ("pip3.11 --version", None, f"{PYTHON} -m pip --version"),
        ("pip install x", "/bin/uv", f"/bin/uv pip install --python {PYTHON} x"),
        ("pip --version", "/bin/uv", "/bin/uv pip --version"),
        ("python3 -V", "/bin/uv", f"{PYTHON} -V"),
        ("python -m pip install x", None, f"{PYTHON} -m pip install x"),
        ("python -m pip install x", "/bin/uv", f"/bin/uv pip install --python {PYTHON} x"),
        ("make pip", "/bin/uv", "make pip"),
    ],
)
def test_pip_and_python_are_those_of_the_nodes_environment(
    line: str, uv: str | None, expected: str
) -> None:
    assert translate(tuple(line.split()), PYTHON, uv) == tuple(expected.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pip3 list", True),
        ("python -m pip install x", True),
        ("python make.py", False),
        ("pipx install x", False),
    ],
)
def test_only_commands_of_pip_need_one(line: str, expected: bool) -> None:
    assert means_pip(tuple(line.split())) is expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pip", "install", "x"), True),
        (("uv", "pip", "install", "x"), True),
        (("sh", "-c", "cd a && pip install ."), True),
        (("make", "pipeline"), False),
        (("touch", "pip-list.txt"), False),
    ],
)
def test_a_line_that_may_install_packages_is_known(words: tuple[str, ...], expected: bool) -> None:
    assert may_install(words) is expected


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("pip install numpy", []),
        ("pip install numpy>=1.26 torch==2.1.* x[y]", []),
        ("uv pip install numpy", []),
        ("python -m pip install -q numpy", []),
        ("pip install -r needs.txt --index-url http://x numpy", ["needs.txt"]),
        ("pip install --constraint=c.txt numpy", ["c.txt"]),
        ("pip install -e sub", ["sub/pyproject.toml", "sub/setup.py", "sub/setup.cfg"]),
        ("pip install -e .[all]", ["./pyproject.toml", "./setup.py", "./setup.cfg"]),
        ("pip install -U numpy", None),
        ("pip install --force-reinstall numpy", None),
        ("pip install .", None),
        ("pip install ./x.whl", None),
        ("pip install git+https://example.org/x", None),
        ("pip install here", None),
        ("pip install -r", None),
        ("pip uninstall numpy", None),
        ("make", None),
        ("python make.py", None),
    ],
)
def test_only_an_install_that_would_do_the_same_again_may_be_left_out(
    line: str, files: list[str] | None, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    found = deciding_files(tuple(line.split()), tmp_path)
    assert found == (None if files is None else [tmp_path / file for file in files])

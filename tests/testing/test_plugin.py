"""The pytest plugin is there once dora is installed, and costs nothing where it is not used."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pytest_run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *more, folder],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_pytest_finds_the_plugin_by_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"dora": "dora.pytest_plugin"}


def test_loading_the_plugin_loads_nothing_else() -> None:
    code = (
        "import sys, pytest, gc, os, contextlib, functools, pathlib\nbefore = set(sys.modules)\n"
        "import dora.pytest_plugin\nprint(*sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["dora", "dora.pytest_plugin", "dora.version"]


def test_ten_lines_test_a_node_and_paths_count_from_the_test(tmp_path: Path) -> None:
    (tmp_path / "gray.py").write_text(
        "from dora import Node\nnode = Node()\nfor event in node:\n"
        "    if event['type'] == 'INPUT':\n"
        "        node.send_output('gray', event['value'].mean(axis=2))\n"
    )
    (tmp_path / "test_gray.py").write_text(
        "import numpy as np\nfrom dora.testing import MockNode\n\n"
        "def test_gray(run_node):\n"
        "    ran = run_node('gray.py', [('image', np.ones((2, 3, 3)))])\n"
        "    assert ran.outputs['gray'][0].shape == (2, 3)\n\n"
        "def test_fails(run_node):\n"
        "    run_node('gray.py', [('image', np.ones(2))])\n\n"
        "kept = []\n"
        "def test_leaves_a_node_open(run_node):\n"
        "    kept.append(MockNode([]))\n"
    )
    ran = pytest_run(tmp_path)
    assert "1 failed, 2 passed, 1 error" in ran.stdout, ran.stdout
    assert "AxisError" in ran.stdout
    # A failed node is shown by its own traceback; where in dora that was raised says nothing.
    assert "outcome.py" not in ran.stdout
    assert "1 nodes of this test are still open" in ran.stdout

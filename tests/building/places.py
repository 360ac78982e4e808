"""Repositories, packages and environments for the tests of building."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import dora.version
from dora.building.wheels import make_wheel

SAYS_WHO = "import sys, dora\ndora.Node()\nprint('under', sys.prefix, 'with', dora.__file__)\n"


def git(folder: Path, *words: str) -> str:
    """Run git in a repository and return what it printed."""
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null"}
    who |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    return subprocess.run(
        ["git", *words],
        cwd=folder,
        env=os.environ | who,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def commit(repository: Path, text: str) -> str:
    """Commit `node.py` with a text, making the repository if need be; the commit."""
    if not repository.exists():
        repository.mkdir()
        git(repository, "init", "--quiet", "--initial-branch", "main")
    (repository / "node.py").write_text(text)
    git(repository, "add", "node.py")
    git(repository, "commit", "--quiet", "--message", "x")
    return git(repository, "rev-parse", "HEAD")


def environment(folder: Path, *, with_dora: bool) -> Path:
    """A virtual environment that sees what is installed here, with pip, or nothing at all."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if with_dora:
        seen = [sysconfig.get_path("purelib"), str(Path(dora.version.__file__).parent.parent)]
        path = folder / "lib" / version / "site-packages" / "here.pth"
        path.write_text("\n".join(seen) + "\n")
    return folder


def node_package(folder: Path, name: str, *, requires: str = "dora-rs>=0.3.9") -> Path:
    """A folder with the wheel of a node package, as they are published; its program is `name`."""
    folder.mkdir(exist_ok=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.5.0\nRequires-Dist: {requires}\n"
    module = name.replace("-", "_")
    files = {
        f"{module}/__init__.py": b"",
        f"{module}/main.py": f"def main():\n    {'; '.join(SAYS_WHO.splitlines())}\n".encode(),
        "dist-info/entry_points.txt": f"[console_scripts]\n{name} = {module}.main:main\n".encode(),
    }
    wheel = make_wheel(name, "0.5.0", metadata, files)
    (folder / wheel.file_name).write_bytes(wheel.content)
    return folder

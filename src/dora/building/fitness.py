"""Whether an interpreter is fit for nodes: its Python, its `dora`, its `dora-rs`.

Asks the interpreter itself, in a process of its own that imports nothing of what it looks at.
Judging the answer is pure.

Used by `building.environment`. Elsewhere: which interpreter a node has (`descriptor.interpreter`).
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import msgspec

from dora.building.stand_in import LABEL

if TYPE_CHECKING:
    from pathlib import Path

OLDEST_PYTHON = (3, 11)

CURE = (
    "mend it: `pip uninstall -y dora-rs`, then `pip install --force-reinstall --no-deps dora-py`; "
    "`dora prepare` keeps it from happening again"
)
"""What to do where dora-rs took the place of the dora that runs."""

FIRST_PYARROW_FOR_NUMPY_2 = 26

_ASK_S = 60.0
_QUESTION = """
import importlib.metadata as m, importlib.util as u, json, os, sys
def version(name):
    try:
        return m.version(name)
    except m.PackageNotFoundError:
        return None
spec = u.find_spec("dora")
origin = spec.origin if spec else None
ours = bool(origin) and os.path.exists(os.path.join(os.path.dirname(origin), "version.py"))
print(json.dumps({
    "python": sys.version_info[:2], "dora": origin, "ours": ours, "dora_py": version("dora-py"),
    "dora_rs": version("dora-rs"), "numpy": version("numpy"), "pyarrow": version("pyarrow"),
    "has_pip": u.find_spec("pip") is not None,
}))
"""


class Found(msgspec.Struct, frozen=True):
    """What an interpreter says of itself."""

    python: tuple[int, int]
    dora: str | None
    """The file that `import dora` would load."""
    ours: bool
    """Whether that is this project's."""
    dora_py: str | None
    """Version of the distribution `dora-py`."""
    dora_rs: str | None
    """Version of the distribution `dora-rs`, be it the stand-in or the real one."""
    has_pip: bool
    numpy: str | None = None
    pyarrow: str | None = None

    @property
    def has_stand_in(self) -> bool:
        """Whether node packages find the `dora-rs` they require, and it is only the stand-in."""
        return self.dora_rs is not None and self.dora_rs.endswith(LABEL)

    @property
    def has_real_dora_rs(self) -> bool:
        """Whether dora-rs itself is installed, whose files hide or overwrite ours."""
        return self.dora_rs is not None and not self.has_stand_in

    @property
    def has_too_new_pyarrow(self) -> bool:
        """Whether pyarrow needs a newer NumPy: from 26 on it needs NumPy 2, and requires none."""
        if self.numpy is None or self.pyarrow is None:
            return False
        return _major(self.numpy) < 2 and _major(self.pyarrow) >= FIRST_PYARROW_FOR_NUMPY_2


def ask(python: Path | str) -> Found | str:
    """What an interpreter says of itself; or, in words, why it says nothing."""
    try:
        asked = subprocess.run(
            [python, "-c", _QUESTION],
            cwd="/",  # Whatever lies in the current folder is not in the environment.
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=False,
        )
    except OSError as exc:
        return f"`{python}` cannot be run: {exc.strerror}"
    except subprocess.TimeoutExpired:
        return f"`{python}` does not answer"
    try:
        return msgspec.json.decode(asked.stdout.strip().rpartition("\n")[2], type=Found)
    except msgspec.DecodeError:
        last = (asked.stderr.strip() or asked.stdout.strip() or "nothing").splitlines()[-1]
        return f"`{python}` is no Python that can run nodes; it says: {last}"


def unfit(
    python: Path | str, found: Found | str, *, is_own: bool = False
) -> tuple[str, str] | None:
    """What keeps an interpreter from running nodes, and how to mend it.

    Args:
        python: The interpreter.
        found: What it says of itself.
        is_own: It is the one that runs dora.
    """
    if isinstance(found, str):
        return found, "name the interpreter of a virtual environment, or its folder"
    if found.python < OLDEST_PYTHON:
        have, need = (".".join(map(str, version)) for version in (found.python, OLDEST_PYTHON))
        what = f"`{python}` is Python {have}, and nodes need {need} or newer"
        return what, "make the environment with a newer Python"
    if found.has_real_dora_rs:
        what = (
            f"`{python}` has dora-rs {found.dora_rs} itself, whose `dora` takes the place of ours"
        )
        return what, CURE if is_own else f"mend it: `dora prepare {python}`"
    if not found.ours:
        what = f"`{python}` has no `dora`, without which no node runs there"
        return what, f"put it there: `dora prepare {python}`"
    return None


def _major(version: str) -> int:
    return int(version.partition(".")[0])

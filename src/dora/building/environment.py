"""The environments that nodes are built and run in: asked, made, and given what nodes need.

One object for each interpreter of a dataflow. It knows whether the environment has pip, makes a
managed one with uv, and puts the stand-in for dora-rs there before anything can be installed. The
installers that it starts can take no other dora-rs, whatever is asked of them.

Used by `building.dataflow` and `building.prepare`. Elsewhere: which interpreter
(`descriptor.interpreter`), whether it is fit (`building.fitness`).
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dora.building.commands import BuildError
from dora.building.fitness import (
    FIRST_PYARROW_FOR_NUMPY_2,
    OLDEST_PYTHON,
    Found,
    ask,
    unfit,
)
from dora.building.own_wheel import own_version, own_wheel
from dora.building.stand_in import STAND_IN, stand_in
from dora.descriptor.interpreter import find_uv, variables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from dora.building.commands import Runner
    from dora.descriptor.plan import Interpreter


class Wheelhouse:
    """A folder of our own wheels, for the installers; it is gone when the build is."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dora-wheels-")
        self.folder = Path(self._folder.name)
        wheel = stand_in()
        (self.folder / wheel.file_name).write_bytes(wheel.content)
        self.only = self.folder / "only.txt"
        self.only.write_text(f"{STAND_IN}\n", encoding="utf-8")
        self._own: str | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Wheelhouse:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def own(self) -> str:
        """Put dora itself here; the requirement that means it."""
        with self._lock:
            if self._own is None:
                wheel = own_wheel()
                (self.folder / wheel.file_name).write_bytes(wheel.content)
                self._own = f"dora-py=={wheel.file_name.split('-')[1]}"
            return self._own

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """What makes pip and uv take our dora-rs and no other."""

        def added(key: str, value: Path, separator: str) -> str:
            return separator.join(filter(None, [environ.get(key), str(value)]))

        return {
            "PIP_CONSTRAINT": added("PIP_CONSTRAINT", self.only, " "),
            "PIP_FIND_LINKS": added("PIP_FIND_LINKS", self.folder, " "),
            "UV_OVERRIDE": added("UV_OVERRIDE", self.only, " "),
            "UV_FIND_LINKS": added("UV_FIND_LINKS", self.folder, ","),
        }


class Environment:
    """One interpreter and what is installed beside it.

    Args:
        interpreter: A node's own; None for the one that runs dora.
        wheelhouse: Our wheels.
        runner: Runs the installers.
        uv: `pip` means `uv pip`.
        offline: Nothing is fetched.
    """

    def __init__(
        self,
        interpreter: Interpreter | None,
        wheelhouse: Wheelhouse,
        runner: Runner,
        *,
        uv: bool = False,
        offline: bool = False,
    ) -> None:
        self.lock = threading.Lock()
        """Held while something is installed: installers do not expect another beside them."""
        self.python = str(interpreter.executable) if interpreter else sys.executable
        self._interpreter = interpreter
        self._wheelhouse = wheelhouse
        self._runner = runner
        self._offline = offline
        self._wants_uv = uv or (interpreter is not None and interpreter.kind == "managed")
        self._is_prepared = False

    @cached_property
    def uv(self) -> str | None:
        """The command `uv` where `pip` means `uv pip`: on demand, and where there is no pip.

        Raises:
            BuildError: it is needed and not there.
        """
        answer = self._answer
        if not self._wants_uv and isinstance(answer, Found) and answer.has_pip:
            return None
        if uv := find_uv(os.environ):
            return uv
        why = "`--uv` needs it" if self._wants_uv else f"`{self.python}` has no pip"
        raise BuildError(f"there is no command `uv`, and {why}; run `pip install uv`")

    @property
    def variables(self) -> dict[str, str]:
        """The variables that commands find set here, besides those of dora itself."""
        if self._interpreter:
            own = variables(self._interpreter, os.environ)
        else:
            path = os.environ.get("PATH", os.defpath)
            own = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), path])}
            if sys.prefix != sys.base_prefix:
                own["VIRTUAL_ENV"] = sys.prefix
        still = {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1"} if self._offline else {}
        quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        return {**quiet, **own, **self._wheelhouse.variables(os.environ), **still}

    def check(self) -> Found:
        """What the interpreter says of itself.

        Raises:
            BuildError: it is not fit for nodes.
        """
        if trouble := unfit(self.python, self._answer, is_own=self._interpreter is None):
            raise BuildError(f"{trouble[0]}; {trouble[1]}")
        assert isinstance(self._answer, Found)
        return self._answer

    def prepare(self) -> None:
        """Have here what nodes and published node packages require before they are installed.

        A managed environment is made, or brought up to this dora; any other must be fit for nodes
        and gets the stand-in for dora-rs.

        Raises:
            BuildError: it is not fit, or nothing can be installed there.
        """
        if self._is_prepared:
            return
        if self._interpreter is not None and self._interpreter.kind == "managed":
            self._manage(self._interpreter.prefix)
        elif not self.check().has_stand_in:
            self._install("--no-deps", "--no-index", STAND_IN)
        self._is_prepared = True

    def settle(self) -> str | None:
        """Mend what an installer cannot know: which pyarrow goes with an old NumPy.

        Many node packages want `numpy<2`, and pyarrow does not say that it wants more.

        Returns:
            What was done, if anything.

        Raises:
            BuildError: a pyarrow that fits cannot be installed.
        """
        answer = ask(self.python)
        if not isinstance(answer, Found) or not answer.has_too_new_pyarrow:
            return None
        wanted = f"pyarrow<{FIRST_PYARROW_FOR_NUMPY_2}"
        self._install(wanted)
        return f"NumPy {answer.numpy} was asked for, so `{wanted}` was installed with it"

    def take_dora(self) -> None:
        """Put this dora and its stand-in for dora-rs here, in place of what there is of either.

        Raises:
            BuildError: the interpreter cannot run nodes, or nothing can be installed there.
        """
        answer = self._answer
        if not isinstance(answer, Found) or answer.python < OLDEST_PYTHON:
            self.check()
            return
        self._install("--no-deps", "--no-index", STAND_IN)
        own = self._wheelhouse.own()
        self._install(own)
        if answer.has_real_dora_rs:  # Its removal took files of ours along.
            self._install("--no-deps", "--no-index", "--force-reinstall", own)

    @cached_property
    def _answer(self) -> Found | str:
        return ask(self.python)

    def _manage(self, prefix: Path) -> None:
        uv = self.uv
        assert uv is not None
        if not Path(self.python).exists():
            self._run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, prefix)
        answer = ask(self.python)
        if (
            not isinstance(answer, Found)
            or not answer.has_stand_in
            or answer.dora_py != own_version()
        ):
            self._install(self._wheelhouse.own(), STAND_IN)

    def _install(self, *words: str) -> None:
        begin = [self.uv, "pip", "install", "--python", self.python] if self.uv else []
        begin = begin or [self.python, "-m", "pip", "install"]
        self._run(*begin, "--quiet", *words)

    def _run(self, *words: str | Path) -> None:
        self._runner.run(
            [str(word) for word in words],
            Path("/"),
            {**os.environ, **self.variables},
            who=f"the environment of `{self.python}`:",
        )

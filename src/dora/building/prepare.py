"""`dora prepare`: an environment made fit for nodes and for published node packages.

Puts this dora there, and the stand-in for dora-rs, so that `pip install` of a node package brings
no other `dora`. For dora's own environment the stand-in alone.

Elsewhere: the same as a part of a build (`building.dataflow`), the flag (`cli.build`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dora.building.commands import BuildError, Runner
from dora.building.environment import Environment, Wheelhouse
from dora.descriptor.interpreter import python_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def prepare(python: str | None, environ: Mapping[str, str]) -> str:
    """Make an environment fit for node packages.

    Args:
        python: As `python:` of a node; None is the environment of dora.
        environ: Where conda and PATH are looked for.

    Returns:
        The interpreter.

    Raises:
        BuildError: there is no such environment, or nothing can be installed there.
    """
    interpreter = None
    if python is not None:
        found = python_of(python, Path.cwd(), environ)
        if isinstance(found, tuple):
            raise BuildError(f"{found[0]}; {found[1]}")
        if not found.executable.samefile(sys.executable) or found.prefix != Path(sys.prefix):
            interpreter = found
    with Wheelhouse() as wheelhouse:
        environment = Environment(interpreter, wheelhouse, Runner())
        if interpreter is None:
            environment.prepare()
        else:
            environment.take_dora()
    return environment.python

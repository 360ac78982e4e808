"""`dora expand`: a dataflow without modules, printed; and one module checked by itself.

Elsewhere: the flag (`cli.main`), the expansion (`descriptor.expansion`), its text
(`descriptor.flat_text`).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from dora.descriptor.flat_text import flat_text
from dora.descriptor.planner import check_module, load_plan

if TYPE_CHECKING:
    from pathlib import Path


def expand_flow(path: Path) -> str:
    """The flat form of a dataflow file.

    Raises:
        DescriptorError: the file has mistakes; it carries all of them.
    """
    plan = load_plan(path, environ=os.environ, allow_shell=True, before_build=True)
    _warn(plan.warnings)
    return flat_text(path)


def module_checked(path: Path) -> str:
    """A word on a module file without mistakes.

    Raises:
        DescriptorError: the file has mistakes; it carries all of them.
    """
    header, warnings = check_module(path, os.environ)
    _warn(warnings)
    inputs = [*header.inputs, *(f"{port} (optional)" for port in header.inputs_optional)]
    ports = f"inputs: {', '.join(inputs) or 'none'}; outputs: {', '.join(header.outputs) or 'none'}"
    return f"{path}: all right (module `{header.name}`; {ports})\n"


def _warn(warnings: tuple[str, ...] | list[str]) -> None:
    for warning in warnings:
        print(f"WARNING {warning}", file=sys.stderr)

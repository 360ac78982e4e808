"""`dora build` and `dora prepare`: their flags and help.

Elsewhere: building and showing it (`cli.build`), preparing environments (`building.prepare`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from dora.cli.flags import FLOW, Command, fetch_flags, strict_flag

if TYPE_CHECKING:
    from pathlib import Path


@click.command(cls=Command, epilog="Example: dora build dataflow.yml")
@click.argument("flow", type=FLOW)
@click.option("--uv", is_flag=True, help="Give nodes environments of their own, made by uv.")
@click.option("--parallel", is_flag=True, help="Build nodes side by side.")
@click.option("--local", is_flag=True, hidden=True, help="Accepted; builds are always local.")
@fetch_flags
@strict_flag
def build(
    flow: Path, uv: bool, parallel: bool, local: bool, strict_types: bool, **fetch: Any
) -> int:
    """Build the nodes of FLOW: clone, fetch, and run the build lines."""
    del local
    from dora.cli.build import build_and_tell, options_of
    from dora.descriptor.planner import load_plan

    options = options_of(fetch, uv=uv, parallel=parallel)
    plan = load_plan(
        flow,
        environ=os.environ,
        uv=uv,
        allow_shell=True,
        before_build=True,
        strict_types=strict_types,
    )
    for warning in plan.all_warnings:
        click.echo(f"WARNING {warning}", err=True)
    click.echo(build_and_tell(plan, options, str(flow)))
    return 0


@click.command(cls=Command, epilog="Example: dora prepare .venv")
@click.argument("python", required=False)
def prepare(python: str | None) -> int:
    """Make an environment fit for published node packages. Without PYTHON, the one of dora.

    PYTHON is what `python:` of a node says: an environment, an interpreter or conda:NAME.
    """
    from dora.building.prepare import prepare as prepare_environment

    click.echo(f"{prepare_environment(python, os.environ)} is ready for node packages")
    return 0

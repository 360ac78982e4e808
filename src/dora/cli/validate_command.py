"""`dora validate`: its flags, and what it says, in dora-rs's words and order.

Elsewhere: what is checked (`descriptor.planner`), mistakes (`cli.main` tells them).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from dora.cli.flags import FLOW, Command, strict_flag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dora.descriptor.plan import Plan


@click.command(cls=Command, epilog="Example: dora validate dataflow.yml")
@click.argument("flow", type=FLOW)
@strict_flag
def validate(flow: Path, strict_types: bool) -> int:
    """Check FLOW, and tell all its mistakes at once."""
    from dora.descriptor.planner import load_plan

    plan = load_plan(
        flow, environ=os.environ, allow_shell=True, before_build=True, strict_types=strict_types
    )
    for warning in plan.warnings:
        click.echo(f"WARNING {warning}", err=True)
    for line in _verdict(flow, plan):
        click.echo(line)
    return 0


def _verdict(flow: Path, plan: Plan) -> Iterator[str]:
    """What is told of a dataflow without mistakes."""
    yield f"Validating {flow}..."
    yield "Input/output wiring OK."
    yield "Descriptor config OK."
    if plan.types.inferred:
        yield "Inferred types:"
        yield from (f"  {sentence}" for sentence in plan.types.inferred)
    warnings = plan.types.warnings
    if warnings:
        yield "Type warnings:"
        yield from map(str, warnings)
        yield f"{len(warnings)} type warning(s) found."
        return
    yield "All type annotations OK."
    wires = len(plan.routes) + len(plan.log_routes) + sum(len(n.timers) for n in plan.nodes)
    yield f"{flow}: all right ({_count(len(plan.nodes), 'node')}, {_count(wires, 'wire')})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

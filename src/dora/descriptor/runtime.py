"""The process of a node made of operators: its command, and what it is told to run.

The command names no file of ours, as in dora-rs: a program that looks at processes finds the same
line. Looks at which files exist, and runs none.

Called by `descriptor.planner`. Elsewhere: the message itself (`wire.runtime`), the program
(`node.operators`), what its ports are called (`descriptor.operators`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dora.descriptor.command import python_words, similar_file
from dora.descriptor.operators import operators_of
from dora.descriptor.plan import Command
from dora.descriptor.words import operator_name
from dora.wire.runtime import (
    VARIABLE,
    OperatorConfig,
    OperatorRestart,
    RuntimeConfig,
    encode_runtime,
)

if TYPE_CHECKING:
    from dora.descriptor.command import Surroundings
    from dora.descriptor.model import NodeEntry
    from dora.descriptor.operators import Operator
    from dora.descriptor.origin import Origin
    from dora.descriptor.report import Report


def runtime_command(
    index: int, node: NodeEntry, origin: Origin, around: Surroundings, report: Report
) -> Command | None:
    """The command of a node with operators; None if there is a problem."""
    folder = around.working_dir
    found = [
        _exists(operator, node, folder, around, report) for operator in operators_of(index, node)
    ]
    words = python_words(origin, around, report)
    if words is None or not all(found):
        return None
    program = f"import dora; dora.start_runtime()  # {node.id}"
    return Command((*words, "-c", program), folder)


def operator_sources(index: int, node: NodeEntry, around: Surroundings) -> dict[str, Path]:
    """The Python file of each operator of a node, absolute."""
    return {
        operator.id: Path(os.path.abspath(around.working_dir / (operator.source or "")))
        for operator in operators_of(index, node)
    }


def runtime_env(index: int, node: NodeEntry, around: Surroundings) -> dict[str, str]:
    """What the process of a node with operators finds in its environment."""
    sources = operator_sources(index, node, around)
    operators = [
        OperatorConfig(
            operator.id,
            str(sources[operator.id]),
            list(operator.entry.inputs),
            list(dict.fromkeys(operator.entry.outputs)),
        )
        for operator in operators_of(index, node)
    ]
    restart = OperatorRestart(
        policy=node.restart_policy or "never",
        max_restarts=node.max_restarts or 0,
        delay_s=node.restart_delay,
        max_delay_s=node.max_restart_delay,
        window_s=node.restart_window,
    )
    return {VARIABLE: encode_runtime(RuntimeConfig(node.id, operators, restart))}


def _exists(
    operator: Operator, node: NodeEntry, folder: Path, around: Surroundings, report: Report
) -> bool:
    source = operator.source
    if source is None or report.is_damaged(*operator.source_at):
        return False
    file = folder / source
    if file.is_file() or (node.build is not None and around.before_build):
        return True
    name = operator_name(report.source.value, operator.at)
    if file.is_dir():
        report.problem(f"{name}: `{source}` is a folder", *operator.source_at, mend="name the file")
        return False
    near = similar_file(folder, source, ".py")
    kind = report.kind_of_file(*operator.source_at)
    mend = f"`python` is relative to the folder of the {kind} file"
    what = f"{name}: the file `{source}` does not exist"
    report.problem(what, *operator.source_at, mend=f"did you mean `{near}`?" if near else mend)
    return False

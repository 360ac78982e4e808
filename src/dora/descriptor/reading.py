"""A dataflow as one flat list of nodes, whatever files and operators it was written in.

Runs the stages that come before any question about the machine: shape, support, modules,
operators. Whoever goes on sees plain nodes with ports, and a report that knows where each was
written.

Used by `descriptor.planner` and `descriptor.flat_text`. Elsewhere: each stage (`shape`, `support`,
`modules` and `expansion`, `operators`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dora.descriptor.operators import lower_operators
from dora.descriptor.report import Report
from dora.descriptor.shape import read_model
from dora.descriptor.source import load
from dora.descriptor.support import check_support

if TYPE_CHECKING:
    from pathlib import Path

    from dora.descriptor.model import Dataflow, ModuleHeader, NodeEntry
    from dora.descriptor.wiring import Running


def read_flow(path: Path) -> tuple[Dataflow, Report]:
    """Read a dataflow file with its modules; mistakes go to the report.

    Returns:
        The nodes that run, operators lowered, and the report on all files.

    Raises:
        DescriptorError: the file cannot be read, or is no YAML.
    """
    return flatten(Report(load(path)), path.resolve().parent)


def flatten(
    report: Report, folder: Path, running: Running | None = None
) -> tuple[Dataflow, Report]:
    """What `read_flow` does, with a file that was read.

    Args:
        report: Of the file.
        folder: What its paths are relative to.
        running: Nodes of a running dataflow that those of the file may read from.
    """
    flow = read_model(report)
    check_support(flow, report)
    if any(node.module is not None for node in flow.nodes):
        # Most dataflows use no modules.
        from dora.descriptor.expansion import expand
        from dora.descriptor.modules import read_parts

        flow, report = expand(flow, read_parts(flow.nodes, report, folder, running))
    return msgspec.structs.replace(flow, nodes=lower_operators(flow.nodes, report)), report


def read_module_flow(path: Path) -> tuple[ModuleHeader, list[NodeEntry], Report]:
    """Read a module file by itself, as if it were a dataflow; mistakes go to the report.

    Raises:
        DescriptorError: the file cannot be read, or is no YAML.
    """
    from dora.descriptor.expansion import expand
    from dora.descriptor.model import Dataflow, ModuleHeader
    from dora.descriptor.modules import read_one

    parts = read_one(path)
    flow, report = expand(Dataflow(nodes=parts.root.nodes), parts)
    header = parts.root.header or ModuleHeader(name="")
    return header, lower_operators(flow.nodes, report), report

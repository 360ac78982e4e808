"""What the types of a dataflow come to: the door to all of `descriptor.types_*`.

Nothing behind it is loaded for a dataflow that says nothing about types. All that is found is a
warning, until `strict_types` makes it a mistake: a dataflow without any annotation is as right as
one with all of them.

Called by `descriptor.planner`. Elsewhere: the checks (`descriptor.types_check`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dora.descriptor.plan import PlannedTypes

if TYPE_CHECKING:
    from dora.descriptor.model import Dataflow, NodeEntry, Pattern
    from dora.descriptor.report import Report
    from dora.descriptor.wiring import Wiring


_PATTERN_KEYS = {
    "service-server": ("request_id",),
    "service-client": ("request_id",),
    "action-server": ("goal_id",),
    "action-client": ("goal_id",),
}


def promised_by(pattern: Pattern) -> tuple[str, ...]:
    """Metadata that a part in a pattern gives to each message of every output.

    dora-rs counts `goal_status` among what an action server promises; feedback has none.
    """
    return _PATTERN_KEYS[pattern]


def check_types(flow: Dataflow, wiring: Wiring, report: Report, *, strict: bool) -> PlannedTypes:
    """Check all that a dataflow says about types; mistakes go into the report.

    Args:
        flow: The dataflow, flat.
        wiring: Which output leads to which input.
        report: Where things stand, and which of them are damaged.
        strict: Warnings are mistakes.
    """
    if not flow.type_rules and not any(map(_names_types, flow.nodes)):
        return PlannedTypes()
    from dora.descriptor.types_check import check

    types, problems = check(flow, wiring, report)
    if strict or flow.strict_types:
        problems += types.warnings
        types = msgspec.structs.replace(types, warnings=())
    report.take_in([], problems)
    return types


def _names_types(node: NodeEntry) -> bool:
    return bool(node.input_types or node.output_types or node.output_metadata or node.pattern)

"""What Tab offers that must be asked for: dataflows that run now, and their nodes.

A daemon that does not answer must not hold the user's shell up: after a moment nothing is offered.

Used by `cli.flags`. Elsewhere: the script for the shell (`cli.completion_command`).
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from dora import client
from dora.errors import DoraError

if TYPE_CHECKING:
    from dora.wire.visits import Dataflow

_ASK_S = 1.0


def dataflow_names(incomplete: str) -> list[str]:
    """Names of running dataflows, and their ids where the beginning of one was typed."""
    flows = _running()
    named = sorted({flow.name for flow in flows if flow.name.startswith(incomplete)})
    return named or [flow.id for flow in flows if flow.id.startswith(incomplete)]


def node_ids(incomplete: str, dataflow: str | None) -> list[str]:
    """Ids of the nodes of running dataflows, or of one that is named or begun with its id."""
    found = {
        node
        for flow in _running()
        if dataflow is None or flow.name == dataflow or flow.id.startswith(dataflow)
        for node in flow.nodes
    }
    return sorted(node for node in found if node.startswith(incomplete))


def _running() -> list[Dataflow]:
    """The dataflows that answer at once; none if one of them does not, or none can be found."""
    found: list[Dataflow] = []

    # In the midst of a line nobody wants to read of what else there is, or why there is nothing.
    logging.getLogger("dora").addHandler(logging.NullHandler())

    def ask() -> None:
        with suppress(DoraError, OSError):
            found.extend(client.running())

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_ASK_S)
    return found

"""`Node`: the calls a user makes.

Each is one line to the module that does it; receiving and sending themselves are `node.core`'s.
Elsewhere: log lines (`node.logs`), whom a process joins (`node.joining`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.node import joining, logs
from dora.node.core import Core

if TYPE_CHECKING:
    from collections.abc import Mapping


class Node(Core):
    """This process as a node of a dataflow.

    Construction waits until every node of the dataflow is there. One process is one node. The node
    may be used from several threads: receive in one, send in others.

    Args:
        node_id: Only for a node that is started by hand (`path: dynamic`): which one to be. A node
            that was spawned by a dataflow knows its id, and this is ignored.
        daemon_port: Accepted for dora-rs's sake; daemons are found without a port.

    Raises:
        NodeInitError: there is no dataflow to join, or its start failed.
    """

    def __init__(self, node_id: str | None = None, daemon_port: int | None = None) -> None:
        del daemon_port
        super().__init__(joining.join(node_id))

    # ---- log lines ----

    def log(
        self,
        level: str,
        message: str,
        target: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Log a line: `level` is error, warn, info, debug or trace; another counts as info."""
        logs.log(self.id, level, message, target, fields)

    def log_error(self, message: str) -> None:
        """Log an error."""
        self.log("error", message)

    def log_warn(self, message: str) -> None:
        """Log a warning."""
        self.log("warn", message)

    def log_info(self, message: str) -> None:
        """Log what is good to know."""
        self.log("info", message)

    def log_debug(self, message: str) -> None:
        """Log what helps to find faults."""
        self.log("debug", message)

    def log_trace(self, message: str) -> None:
        """Log every detail."""
        self.log("trace", message)

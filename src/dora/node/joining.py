"""Whom a process that makes a `Node()` joins: the dataflow that spawned it, or one by name.

Decides only that. Elsewhere: how (`node.session`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dora.errors import NodeInitError
from dora.version import VERSION
from dora.wire import messages

if TYPE_CHECKING:
    from dora.node.host import Host


def join(node_id: str | None) -> Host:
    """Join as the node that the environment names, else as dynamic node `node_id`.

    Raises:
        NodeInitError: there is nobody to join, or nobody takes the node in.
        ProtocolError: the daemon speaks another protocol.
    """
    text = os.environ.get("DORA_NODE_CONFIG")
    if text is None and node_id is None:
        raise NodeInitError(
            "this file is a node: it runs inside a dataflow, and the environment variable "
            "`DORA_NODE_CONFIG` is not set. List it in a dataflow file and `dora run` that, or "
            "name the dynamic node it is to be: `Node('id')`"
        )
    from dora.node import session

    config = None if text is None else messages.decode_config(text)
    return session.join(config, node_id, VERSION)

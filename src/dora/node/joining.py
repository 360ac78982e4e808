"""Whom a process that makes a `Node()` joins.

The dataflow that spawned it, or one by name; where there is none, a file of inputs that the
environment names, or whoever sits at the terminal or the pipe. In a test, the simulation.

Decides only that. Elsewhere: how (`node.session`, `node.scripted`, `node.interactive`,
`node.simulated`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dora.version import VERSION
from dora.wire import messages

if TYPE_CHECKING:
    from dora.node.host import Host

_SIMULATION = os.environ.pop("DORA_SIMULATION", None)
"""Only of this process, not of its children; its clock is virtual before its code reads it."""
if _SIMULATION is not None:
    from dora.node import simulated_clock, uuid7
    from dora.wire.simulation import decode_invitation

    _INVITATION = decode_invitation(_SIMULATION)
    simulated_clock.install(_INVITATION.start_ns)
    uuid7.draw_alike(_INVITATION.node)


def join(node_id: str | None) -> Host:
    """Join as the node that the environment names, else as dynamic node `node_id`, else by hand.

    Raises:
        NodeInitError: there is nobody to join, or nobody takes the node in.
        ProtocolError: the daemon speaks another protocol.
    """
    if _SIMULATION is not None:
        from dora.node import simulated

        return simulated.join(_INVITATION)
    text = os.environ.get("DORA_NODE_CONFIG")
    if text is None and "DORA_TEST_WITH_INPUTS" in os.environ:
        from dora.node import scripted

        return scripted.join()
    if text is None and node_id is None:
        from dora.node import interactive

        return interactive.join()
    from dora.node import session

    config = None if text is None else messages.decode_config(text)
    if "DORA_WRITE_EVENTS_TO" not in os.environ:
        return session.join(config, node_id, VERSION)
    from dora.node import recorded

    if config is None:
        make_stream = recorded.stream_of(node_id or "", 0)
    else:
        make_stream = recorded.stream_of(config.node_id, config.incarnation)
    return session.join(config, node_id, VERSION, make_stream)

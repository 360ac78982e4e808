"""What browsers may have done: to nodes, parameters, the dataflow. Calls block: for threads.

Elsewhere: who may (`web.browser`), what the daemon makes of it (`daemon.desks`, `daemon.params`),
recordings (`web.recorder`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from dora.client import Client
from dora.errors import DoraError, ProtocolError
from dora.transport import endpoint
from dora.wire.params import check_key, compact_json
from dora.wire.visits import AskNode, AskParam, Done, Params

_WITHIN_S = 60.0
"""Ending a node takes its grace, and half as long again."""


class Action(msgspec.Struct, frozen=True):
    """What is wanted."""

    flow: str
    action: str
    """One of `KNOWN`."""
    node: str = ""
    key: str = ""
    value: str = ""
    """JSON."""


def act(wanted: Action) -> dict[str, Any]:
    """Do it; what there is to say about it.

    Raises:
        DoraError: it cannot be done.
    """
    do = KNOWN.get(wanted.action)
    if do is None:
        raise DoraError(f"there is nothing called `{wanted.action}` to do")
    try:
        with Client(endpoint.address_of(wanted.flow)) as daemon:
            return do(daemon, wanted)
    except OSError as exc:
        raise DoraError("the dataflow has just ended") from exc


def changes(action: str) -> bool:
    """Whether it changes anything, so that one who may only look may not do it."""
    return action != "params"


def _end_node(daemon: Client, wanted: Action) -> dict[str, Any]:
    again = wanted.action == "restart"
    answer = daemon.ask(AskNode("restart" if again else "stop", wanted.node), _WITHIN_S)
    text = answer.text if isinstance(answer, Done) else ""
    done = "started again" if again else "stopped"
    return {"text": text or f"node `{wanted.node}` was {done}"}


def _start_node(daemon: Client, wanted: Action) -> dict[str, Any]:
    from dora.web.starting import start_node  # plans, and so loads all that reads dataflow files

    return {"text": start_node(daemon, wanted.node)}


def _stop_flow(daemon: Client, _wanted: Action) -> dict[str, Any]:
    daemon.stop("the web page (`dora web`)")
    return {"text": "told to stop"}


def _params(daemon: Client, wanted: Action) -> dict[str, Any]:
    answer = _ask_params(daemon, AskParam("list", wanted.node))
    return {"params": {key: value.decode() for key, value in answer.values.items()}}


def _set_param(daemon: Client, wanted: Action) -> dict[str, Any]:
    check_key(wanted.key)
    _ask_params(daemon, AskParam("set", wanted.node, wanted.key, _json(wanted.value)))
    return _params(daemon, wanted)


def _delete_param(daemon: Client, wanted: Action) -> dict[str, Any]:
    check_key(wanted.key)
    _ask_params(daemon, AskParam("delete", wanted.node, wanted.key))
    return _params(daemon, wanted)


def _json(text: str) -> bytes:
    """What was typed, as JSON: numbers, true, lists as they are; a bare word is text."""
    try:
        return compact_json(text.encode(errors="replace"))
    except DoraError:
        if text.strip()[:1] in ("{", "[", '"'):
            raise
        return compact_json(msgspec.json.encode(text))


def _ask_params(daemon: Client, question: AskParam) -> Params:
    answer = daemon.ask(question)
    if not isinstance(answer, Params):
        raise ProtocolError(f"the daemon answered {type(answer).__name__} to a question")
    return answer


KNOWN = {
    "restart": _end_node,
    "stop": _end_node,
    "start": _start_node,
    "stop_flow": _stop_flow,
    "params": _params,
    "param_set": _set_param,
    "param_delete": _delete_param,
}
"""What may be asked for."""

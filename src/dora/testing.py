"""Tests of nodes and dataflows, without a running dataflow.

    from dora.testing import MockNode

    node = MockNode([("image", np.zeros((4, 4, 3), np.uint8))])
    main(node)                                   # your function that takes a node
    assert node.outputs["gray"][0].shape == (4, 4)

`MockNode` tests a function in this process. `run_node` and `run_dataflow` run node files as they
are, each in a process of its own, in virtual time; in pytest they are fixtures too
(`dora.pytest_plugin`). `recorded` gives `run_dataflow` what `dora record` wrote.

Elsewhere: virtual time (`simulation`), files of inputs (`node.scripted`).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from dora.node import events
from dora.node.core import Core
from dora.node.event_stream import EventStream
from dora.node.node import Node
from dora.node.stage import Stage, input_event
from dora.node.uuid7 import uuid7
from dora.simulation.outcome import DataflowRun, Message, NodeRun, Outputs
from dora.wire.payload import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dora.node.event_types import Event, InputEvent
    from dora.recording.as_inputs import recorded
    from dora.simulation.running import run_dataflow, run_node

__all__ = [
    "DataflowRun",
    "Message",
    "MockNode",
    "NodeRun",
    "recorded",
    "run_dataflow",
    "run_node",
]


def __getattr__(name: str) -> Any:
    """Load what runs whole dataflows on first use: a `MockNode` needs no parser of them."""
    if name == "recorded":
        from dora.recording.as_inputs import recorded

        return recorded
    if name not in ("run_node", "run_dataflow"):
        raise AttributeError(f"module `dora.testing` has no attribute `{name}`")
    from dora.simulation import running

    return getattr(running, name)


class _Script(EventStream):
    """Events that are all there from the start, STOP at their end."""

    def post_before_stop(self, event: Event) -> None:
        """Put an event in that the node is still to see."""
        at = next((i for i, one in enumerate(self._pending) if one["type"] == "STOP"), None)
        self._pending.insert(len(self._pending) if at is None else at, event)
        self.wake_up()


class MockNode(Node):
    """A `Node` for unit tests: it is given its inputs, and keeps what it sends.

    It is a real node but for the dataflow: values arrive and are kept as a receiver gets them,
    loans and raw samples work, `async for` and `with` too. It never waits: what was given comes at
    once, then STOP.

    Args:
        inputs: `(id, data)`, `(id, data, metadata)`, or whole event dicts, which are handed on as
            they are. A STOP is added at the end unless one is among them.
        metadata: Goes along with every input that has none of its own.
        dataflow_descriptor: What `dataflow_descriptor()` returns.
        dataflow_id: What `dataflow_id()` returns.
        node_config: What `node_config()` returns.
        is_restart: What `is_restart()` returns.
        restart_count: What `restart_count()` returns.
        service_responses: For each output the answers to its service requests, in order. Each
            comes as an input of the output's name, with the request's `request_id`.

    Raises:
        ValueError: an input is neither a tuple nor an event.
        PayloadTypeError: a value is of a type that cannot be sent.
        MetadataError: metadata cannot be sent.
    """

    def __init__(
        self,
        inputs: Iterable[tuple[Any, ...] | list[Any] | dict[str, Any]],
        metadata: Mapping[str, Any] | None = None,
        *,
        dataflow_descriptor: dict[str, Any] | None = None,
        dataflow_id: str | None = None,
        node_config: dict[str, Any] | None = None,
        is_restart: bool = False,
        restart_count: int = 0,
        service_responses: Mapping[str, Iterable[Any]] | None = None,
    ) -> None:
        given = [_event(number, one, metadata) for number, one in enumerate(inputs)]
        self.outputs: dict[str, list[Any]] = Outputs()
        """The values sent on each output, as a receiver gets them."""
        self.sent: list[InputEvent] = []
        """The messages sent, in order: dicts with `id`, `value` and `metadata`."""
        self.logs: list[dict[str, Any]] = []
        """What was logged: dicts with `level`, `message`, `target` and `fields`."""
        self.service_requests: list[dict[str, Any]] = []
        """Requests made: dicts with `output_id`, `data`, `metadata` and `request_id`."""
        self.service_responses_sent: list[dict[str, Any]] = []
        """Answers given: dicts as those of `service_requests`."""
        self._responses = {id_: deque(each) for id_, each in (service_responses or {}).items()}
        self._descriptor = dict(dataflow_descriptor or {})
        self._dataflow_id = dataflow_id or ""
        self._config = dict(node_config or {})
        self._is_restart = is_restart
        self._restart_count = restart_count
        stage = Stage("mock-node", self._keep, make_stream=_Script)
        assert isinstance(stage.stream, _Script)
        self._script = stage.stream
        Core.__init__(self, stage)
        if not any(event["type"] == "STOP" for event in given):
            given.append(events.stop("ALL_INPUTS_CLOSED"))
        for event in given:
            stage.post(event)

    # ---- services ----

    def send_service_request(
        self, output_id: str, data: Any, metadata: Mapping[str, Any] | None = None
    ) -> str:
        """Note a request, and have it answered if `service_responses` has something left.

        Returns:
            The request's id.
        """
        request_id = uuid7()
        given = {"output_id": output_id, "data": data, "metadata": dict(metadata or {})}
        self.service_requests.append({**given, "request_id": request_id})
        responses = self._responses.get(output_id)
        if responses:
            answer = input_event(output_id, encode(responses.popleft()), {"request_id": request_id})
            self._script.post_before_stop(answer)
        return request_id

    def send_service_response(self, output_id: str, data: Any, metadata: Mapping[str, Any]) -> None:
        """Note an answer to a request."""
        given = {"output_id": output_id, "data": data, "metadata": dict(metadata)}
        self.service_responses_sent.append({**given, "request_id": metadata.get("request_id")})

    # ---- log lines ----

    def log(
        self,
        level: str,
        message: str,
        target: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Keep a line in `logs`."""
        entry = {"level": level, "message": message, "target": target, "fields": dict(fields or {})}
        self.logs.append(entry)

    # ---- facts ----

    def dataflow_id(self) -> str:
        """What was given as `dataflow_id`."""
        return self._dataflow_id

    def node_config(self) -> dict[str, Any]:
        """What was given as `node_config`."""
        return dict(self._config)

    def dataflow_descriptor(self) -> dict[str, Any]:
        """What was given as `dataflow_descriptor`."""
        return dict(self._descriptor)

    def is_restart(self) -> bool:
        """What was given as `is_restart`."""
        return self._is_restart

    def restart_count(self) -> int:
        """What was given as `restart_count`."""
        return self._restart_count

    def _keep(self, message: InputEvent) -> None:
        self.sent.append(message)
        self.outputs.setdefault(message["id"], []).append(message["value"])


def _event(number: int, given: Any, metadata: Mapping[str, Any] | None) -> Event:
    """The event behind one of `inputs`."""
    if isinstance(given, dict):
        if not isinstance(given.get("type"), str):
            raise ValueError(f'inputs[{number}]: an event is a dict with a "type", not {given!r}')
        event: Any = {"kind": "dora", **given}
        return event  # type: ignore[no-any-return]
    pair = isinstance(given, tuple | list) and len(given) in (2, 3)
    if not pair or not isinstance(given[0], str):
        raise ValueError(
            f"inputs[{number}]: an input is `(id, data)`, `(id, data, metadata)` or an event dict, "
            f"not {given!r}"
        )
    own = given[2] if len(given) == 3 else metadata
    return input_event(given[0], encode(given[1]), own)

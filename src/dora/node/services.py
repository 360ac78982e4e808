"""Services: a request and its answer, matched by `request_id` (dora-rs's convention).

The caller's side waits for one answer and leaves all else for `next()`; the server's side is a loop
that hands each request to a function, because an exception in a function has somewhere to go: back
to the caller, as an answer whose metadata has `error`.

Used by `node.patterns`. Elsewhere: reading some inputs apart (`node.selection`), actions
(`node.actions`).
"""

from __future__ import annotations

import inspect
import logging
import time
from typing import TYPE_CHECKING, Any

from dora.errors import (
    InputError,
    NodeClosedError,
    OutputError,
    RemoteError,
    RequestEndedError,
    RequestTimeoutError,
)
from dora.ids import suggest
from dora.node.uuid7 import uuid7

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dora.node.core import Core
    from dora.node.event_types import Event, InputEvent
    from dora.node.host import Host
    from dora.node.selection import Selection

_log = logging.getLogger("dora")
ERROR_KEY = "error"
"""In an answer's metadata: the server failed, and this is why."""


def new_request(metadata: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """A new request's id, and its metadata with it."""
    request_id = uuid7()
    return request_id, {**(metadata or {}), "request_id": request_id}


def warn_without_request(output_id: str, metadata: Mapping[str, Any]) -> None:
    """Tell of an answer that nobody can match to a request."""
    if "request_id" not in metadata:
        _log.warning(
            "the service response on `%s` has no `request_id`, so no client can match it: pass the "
            'metadata of the request, `event["metadata"]`',
            output_id,
        )


def check_inputs(host: Host, inputs: Iterable[str]) -> frozenset[str]:
    """These inputs, which the node must have.

    Raises:
        InputError: it has not.
    """
    wanted = frozenset(inputs)
    known = host.stream.input_ids
    for name in sorted(wanted - known) if known is not None else ():
        near = suggest(name, sorted(known or ()))
        hint = f"did you mean `{near}`?" if near else f"declared: {', '.join(sorted(known or ()))}"
        raise InputError(f"Input `{name}` not in node's input list; {hint}")
    return wanted


def answering_inputs(
    host: Host, output_id: str, named: Iterable[str] | None
) -> frozenset[str] | None:
    """The inputs that can bring an answer to what is sent on an output; None: any.

    They are those that are named, else all that come from a node which reads the output, but for
    the output itself.

    Raises:
        OutputError: nobody reads the output, or nothing comes from who does.
        InputError: one that is named is not there.
    """
    if host.stream.input_ids is None:
        return None if named is None else frozenset(named)
    outputs = {output.id: output.routes for output in host.welcome.outputs}
    if output_id not in outputs:
        near = suggest(output_id, outputs)
        hint = f"did you mean `{near}`?" if near else f"declared: {', '.join(outputs) or '-'}"
        raise OutputError(
            f"nothing can answer on `{output_id}`: it is no output of this node; {hint}"
        )
    routes = outputs[output_id]
    if not routes:
        raise OutputError(f"nothing can answer on `{output_id}`: no input of another node reads it")
    if not host.sender.has_output(output_id):
        raise OutputError(f"nothing can answer on `{output_id}`: this node has closed it")
    if named is not None:
        return check_inputs(host, named)
    servers, echoes = {route.receiver for route in routes}, {route.edge for route in routes}
    found = [w.id for w in host.welcome.inputs if w.sender in servers and w.edge not in echoes]
    if not found:
        raise OutputError(
            f"nothing can answer on `{output_id}`: no input of this node comes from "
            f"{', '.join(f'`{name}`' for name in sorted(servers))}, which reads it; wire one, or "
            "name the input that brings the answer"
        )
    return frozenset(found)


class Call:
    """A request on its way. `close()` when no answer is awaited any more."""

    def __init__(
        self,
        node: Core,
        host: Host,
        output_id: str,
        data: Any,
        metadata: Mapping[str, Any] | None,
        input_id: str | None,
    ) -> None:
        self._output = output_id
        request_id, user = new_request(metadata)
        inputs = answering_inputs(host, output_id, None if input_id is None else [input_id])

        def is_answer(event: InputEvent) -> bool:
            return event["metadata"].get("request_id") == request_id

        # Before it is sent: another thread may read the answer before `send_output` is back.
        self._selection = host.stream.select(inputs, is_answer)
        try:
            node.send_output(output_id, data, user)
        except BaseException:
            self.close()
            raise

    def wait(self, timeout_s: float | None) -> InputEvent:
        """The answer."""
        return self._answer(self._selection.wait(timeout_s), timeout_s)

    async def receive(self, timeout_s: float | None) -> InputEvent:
        """The answer, in asyncio."""
        return self._answer(await self._selection.receive(timeout_s), timeout_s)

    def close(self) -> None:
        """Await no answer any more."""
        self._selection.close()

    def _answer(self, event: Event | None, timeout_s: float | None) -> InputEvent:
        return answer_of(event, self._selection, f"the request on `{self._output}`", timeout_s)


def answer_of(
    event: Event | None, selection: Selection, what: str, timeout_s: float | None
) -> InputEvent:
    """The answer that was waited for.

    Raises:
        RequestTimeoutError: none came in time.
        RequestEndedError: none will come.
        RemoteError: it says that the other side failed.
    """
    if event is None and selection.over is not None:
        raise RequestEndedError(f"{what} has no answer: {selection.over}")
    if event is None:
        raise RequestTimeoutError(f"{what} had no answer within {timeout_s:g} s")
    assert event["type"] == "INPUT"
    failure = event["metadata"].get(ERROR_KEY)
    if isinstance(failure, str):
        raise RemoteError(f"{what} failed at the other side: {failure}")
    return event


def failure_text(exc: BaseException) -> str:
    """An exception as the other side is told of it."""
    text = str(exc)
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def only_output(host: Host, output_id: str | None) -> str:
    """The output to answer on: the one that is named, else the only one there is.

    Raises:
        OutputError: there is not just one.
    """
    if output_id is not None:
        return output_id
    outputs = [output.id for output in host.welcome.outputs]
    if len(outputs) != 1:
        raise OutputError(
            f"name the output to answer on, `output=...`: this node has {len(outputs)}"
            + (f" ({', '.join(outputs)})" if outputs else "")
        )
    return outputs[0]


def serve(
    node: Core,
    host: Host,
    handlers: Mapping[str, Callable[[InputEvent], Any]],
    output: str | None,
    others: Callable[[Event], object] | None,
) -> None:
    """Answer requests until nothing more comes; see `Node.serve`."""
    inputs = check_inputs(host, handlers)
    target = only_output(host, output)
    for input_id, handler in handlers.items():
        if inspect.iscoroutinefunction(handler):
            raise InputError(
                f"the handler of `{input_id}` is `async`; `serve` calls plain functions"
            )
    for event in read_inputs(host, inputs, others):
        handler = handlers[event["id"]]
        known = {
            key: value for key, value in event["metadata"].items() if key not in _OF_THE_REQUEST
        }
        warn_without_request(target, known)
        try:
            data: Any = handler(event)
            node.send_output(target, b"" if data is None else data, known)
        except NodeClosedError:
            raise
        except Exception as exc:  # goes to the caller; here it is only logged
            _log.exception("the handler of `%s` failed; the caller is told", event["id"])
            node.send_output(target, b"", {**known, ERROR_KEY: failure_text(exc)})


_OF_THE_REQUEST = frozenset({"deadline", "watermark"})
"""What the metadata of a request says of its own way, and not of the answer's."""


def read_inputs(
    host: Host, inputs: frozenset[str], others: Callable[[Event], object] | None
) -> Iterable[InputEvent]:
    """The messages of these inputs, until nothing more comes.

    What else happens stays for `next()`, or goes to `others`, which is then handed every event, as
    a loop over the node would be, STOP too.
    """
    if others is None:
        with host.stream.select(inputs, _any, exclusive=True) as selection:
            while (event := selection.wait()) is not None:
                if event["type"] == "INPUT":
                    yield event
        return
    while (event := host.stream.wait()) is not None:
        if event["type"] == "INPUT" and event["id"] in inputs:
            yield event
        else:
            others(event)


def deadline_after(timeout_s: float | None) -> float | None:
    """When a wait that begins now is over, by the monotonic clock."""
    return None if timeout_s is None else time.monotonic() + timeout_s


def _any(_event: InputEvent) -> bool:
    return True

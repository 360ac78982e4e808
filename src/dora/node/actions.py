"""Actions: a goal, its feedback, its result, matched by `goal_id` (dora-rs's convention).

The client's side is a `Goal`: its feedback to loop over, its result, a way to cancel it. The
server's side is a loop that hands each goal to a function; what the function returns is the result,
and an exception is a result too: status `aborted`, its metadata has `error`. Goals are served one
after the other; their cancellation is looked for when the function asks.

Used by `node.patterns`. Elsewhere: reading some inputs apart (`node.selection`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dora.errors import NodeClosedError, RequestError
from dora.node import services
from dora.node.uuid7 import uuid7
from dora.node.waiting import LONGEST_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from dora.node.core import Core
    from dora.node.event_types import Event, InputEvent
    from dora.node.host import Host

_log = logging.getLogger("dora")
_CANCELS_KEPT = 1024
"""Goals that were cancelled before their turn came; older ones are forgotten."""

Status: TypeAlias = Literal["succeeded", "aborted", "canceled"]


class Goal:
    """A goal that was sent: its feedback, its result. Close it when you want neither any more.

        goal = node.send_goal("goal", 10)
        for feedback in goal:
            print(feedback["value"])
        print(goal.result()["value"], goal.status)

    Messages of this goal come here only, not out of `next()`, as long as it is not closed. One
    thread, or task, may loop over its feedback while another waits for its result.
    """

    def __init__(
        self,
        node: Core,
        host: Host,
        output_id: str,
        data: Any,
        metadata: Mapping[str, Any] | None,
        cancel_output: str,
        inputs: Iterable[str] | None,
    ) -> None:
        self.id = uuid7()
        """Its `goal_id`."""
        self._node = node
        self._output = output_id
        self._cancel_output = cancel_output
        self._feedback: deque[InputEvent] = deque()
        self._result: InputEvent | None = None
        self._came = 0
        """How many messages came. Who had to wait for its turn to wait looks whether more did."""
        self._turn = threading.Lock()
        self._async_turn = asyncio.Lock()
        goal_id = self.id

        def is_mine(event: InputEvent) -> bool:
            return event["metadata"].get("goal_id") == goal_id

        answering = services.answering_inputs(host, output_id, inputs)
        self._selection = host.stream.select(answering, is_mine)
        try:
            node.send_output(output_id, data, {**(metadata or {}), "goal_id": goal_id})
        except BaseException:
            self.close()
            raise

    @property
    def status(self) -> Status | None:
        """How it ended: succeeded, aborted or canceled; None while it has no result yet."""
        if self._result is None:
            self._look()
        return None if self._result is None else self._result["metadata"]["goal_status"]

    def cancel(self) -> None:
        """Ask the server to give up this goal; its result tells whether it did."""
        if self._result is None:
            self._node.send_output(self._cancel_output, b"", {"goal_id": self.id})

    def result(self, timeout: float | None = None) -> InputEvent:
        """Wait for the result; feedback that comes meanwhile can still be read afterwards.

        Args:
            timeout: How long to wait at most, in seconds; None waits without end.

        Returns:
            The result's event. Its status is in `status`, whatever it is.

        Raises:
            RequestTimeoutError: it did not come in time. Ask again, or `cancel`.
            RequestEndedError: it will not come: the dataflow stops, or the server is gone.
            RemoteError: the server's function raised an exception.
        """
        end = services.deadline_after(timeout)
        while self._result is None:
            if not self._advance(_left(end)):
                services.answer_of(None, self._selection, self._what, timeout)
        return services.answer_of(self._result, self._selection, self._what, timeout)

    async def result_async(self, timeout: float | None = None) -> InputEvent:  # noqa: ASYNC109
        """`result` for asyncio."""
        end = services.deadline_after(timeout)
        while self._result is None:
            if not await self._advance_async(_left(end)):
                services.answer_of(None, self._selection, self._what, timeout)
        return services.answer_of(self._result, self._selection, self._what, timeout)

    def __iter__(self) -> Iterator[InputEvent]:
        """The feedback as it comes, until the result is there.

        Raises:
            RequestEndedError: the dataflow stops, or the server is gone, before the result.
        """
        while self._feedback or self._result is None:
            if not self._feedback and not self._advance(None):
                services.answer_of(None, self._selection, self._what, None)
            while self._feedback:
                yield self._feedback.popleft()

    async def __aiter__(self) -> AsyncIterator[InputEvent]:
        while self._feedback or self._result is None:
            if not self._feedback and not await self._advance_async(None):
                services.answer_of(None, self._selection, self._what, None)
            while self._feedback:
                yield self._feedback.popleft()

    def close(self) -> None:
        """Want nothing more of it; what still comes is handed out by `next()`. Twice is fine."""
        self._selection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_selection"):
            self.close()

    @property
    def _what(self) -> str:
        return f"the goal on `{self._output}`"

    def _advance(self, timeout_s: float | None) -> bool:
        """Wait until a message came, for this thread or another; False when none did."""
        came, end = self._came, services.deadline_after(timeout_s)
        if not self._turn.acquire(timeout=-1 if timeout_s is None else min(timeout_s, LONGEST_S)):
            return False
        try:
            if self._came == came:
                self._take(self._selection.wait(_left(end)))
        finally:
            self._turn.release()
        return self._came != came

    async def _advance_async(self, timeout_s: float | None) -> bool:
        """`_advance` for asyncio."""
        came = self._came
        try:
            async with asyncio.timeout(timeout_s), self._async_turn:
                if self._came == came:
                    self._take(await self._selection.receive())
        except TimeoutError:
            pass
        return self._came != came

    def _look(self) -> None:
        while (event := self._selection.try_take()) is not None:
            self._take(event)

    def _take(self, event: Event | None) -> None:
        if event is None or event["type"] != "INPUT":
            return
        self._came += 1
        if "goal_status" in event["metadata"]:
            self._result = event
            self._look()  # feedback was sent before it, but may be read behind it
        else:
            self._feedback.append(event)


def _left(end: float | None) -> float | None:
    now = services.deadline_after(0.0)
    return None if end is None or now is None else max(0.0, end - now)


class ServedGoal:
    """A goal that this node works on.

    Return the result from the function, or send it with `succeed`, `abort` or `cancel`; once.
    """

    def __init__(self, server: _Server, event: InputEvent) -> None:
        self._server = server
        self.event = event
        """The message that brought it."""
        self.value: Any = event["value"]
        """What the client sent."""
        self.metadata: dict[str, Any] = event["metadata"]
        """What it sent along."""
        self.id: str = event["metadata"].get("goal_id", "")
        """Its `goal_id`."""
        self.done = False
        """Whether the result was sent."""

    @property
    def cancel_requested(self) -> bool:
        """Whether the client asked to give it up, or the dataflow stops.

        Costs little: ask in every round of your work.
        """
        return self._server.is_cancelled(self.id)

    def feedback(self, data: Any, metadata: Mapping[str, Any] | None = None) -> None:
        """Tell the client how far the work has come."""
        self._server.send_feedback(self.id, data, metadata)

    def succeed(self, data: Any, metadata: Mapping[str, Any] | None = None) -> None:
        """Send the result: it is done."""
        self._finish("succeeded", data, metadata)

    def abort(self, data: Any = b"", metadata: Mapping[str, Any] | None = None) -> None:
        """Send the result: it cannot be done."""
        self._finish("aborted", data, metadata)

    def cancel(self, data: Any = b"", metadata: Mapping[str, Any] | None = None) -> None:
        """Send the result: it was given up, as the client asked."""
        self._finish("canceled", data, metadata)

    def _finish(self, status: Status, data: Any, metadata: Mapping[str, Any] | None) -> None:
        if self.done:
            raise RequestError(f"the result of goal `{self.id}` was sent already")
        self._server.send_result(self.id, status, data, metadata)
        self.done = True


class _Server:
    """Works on goals, one after the other."""

    def __init__(self, node: Core, host: Host, outputs: tuple[str, str], cancel: str) -> None:
        self._node = node
        self._feedback_output, self._result_output = outputs
        inputs = host.stream.input_ids
        has_cancel = inputs is None or cancel in inputs
        self._cancels = host.stream.select(
            frozenset({cancel} if has_cancel else ()), _is_goal, exclusive=True
        )
        self._cancels.hands_out = False  # it is asked while a goal is worked on
        self._cancelled: OrderedDict[str, None] = OrderedDict()

    def work(self, goal: ServedGoal, handler: Callable[[ServedGoal], Any]) -> None:
        """Have one goal done, and send its result."""
        try:
            data = handler(goal)
            if not goal.done:
                goal.succeed(b"" if data is None else data)
        except NodeClosedError:
            raise
        except Exception as exc:  # goes to the client; here it is only logged
            _log.exception("the handler of goal `%s` failed; the client is told", goal.id)
            if not goal.done:
                goal.abort(b"", {services.ERROR_KEY: services.failure_text(exc)})

    def is_cancelled(self, goal_id: str) -> bool:
        """Whether this goal is to be given up."""
        while (event := self._cancels.try_take()) is not None:
            if event["type"] == "INPUT":
                self._cancelled[event["metadata"]["goal_id"]] = None
                if len(self._cancelled) > _CANCELS_KEPT:
                    self._cancelled.popitem(last=False)
        return goal_id in self._cancelled or self._cancels.stops()

    def send_feedback(self, goal_id: str, data: Any, user: Mapping[str, Any] | None) -> None:
        """Send feedback of a goal."""
        self._node.send_output(self._feedback_output, data, {**(user or {}), "goal_id": goal_id})

    def send_result(
        self, goal_id: str, status: Status, data: Any, user: Mapping[str, Any] | None
    ) -> None:
        """Send a goal's result."""
        metadata = {**(user or {}), "goal_id": goal_id, "goal_status": status}
        self._node.send_output(self._result_output, data, metadata)
        self._cancelled.pop(goal_id, None)

    def close(self) -> None:
        """Work on no goal any more."""
        self._cancels.close()


def serve_goals(
    node: Core,
    host: Host,
    input_id: str,
    handler: Callable[[ServedGoal], Any],
    outputs: tuple[str, str],
    cancel: str,
    others: Callable[[Event], object] | None,
) -> None:
    """Work on goals until nothing more comes; see `Node.serve_goals`."""
    inputs = services.check_inputs(host, [input_id])
    server = _Server(node, host, outputs, cancel)
    try:
        for event in services.read_inputs(host, inputs, others):
            server.work(ServedGoal(server, event), handler)
    finally:
        server.close()


def _is_goal(event: InputEvent) -> bool:
    return isinstance(event["metadata"].get("goal_id"), str)

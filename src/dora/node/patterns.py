"""`Patterns`: the calls that take several messages: services, actions, streams, `sync`.

Each is one line to the module that does it, loaded on first use. What they say to each other is
metadata alone, with dora-rs's keys: the other side may be a program of either.
Elsewhere: single messages (`node.core`), all other calls (`node.node`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.node.core import Core, check_timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Literal

    from dora.node.actions import Goal, ServedGoal
    from dora.node.event_types import Event, InputEvent
    from dora.node.streams import StreamReader, StreamWriter
    from dora.node.synchroniser import Synchroniser


class Patterns(Core):
    """A node's calls that send and receive more than one message."""

    # ---- several inputs at once ----

    def sync(
        self,
        inputs: Iterable[str] | Mapping[str, str],
        *,
        tolerance_s: float | None = None,
        mode: Literal["nearest", "exact", "latest"] = "nearest",
        at_least: int | None = None,
        keep: int = 100,
        key: str = "timestamp",
        others: Callable[[Event], object] | None = None,
    ) -> Synchroniser:
        """Bring messages of several inputs together: `for group in node.sync([...], ...)`.

        A group is a dict from input to event, and has `time` and `spread_s`. Iteration ends when
        there can be no more groups, or the dataflow stops; STOP is then what `next()` hands out.

        Args:
            inputs: The inputs, in a list. Groups are made around the messages of the first (of a
                set, the first by name). Or a dict from each to the metadata key with its time.
            tolerance_s: For `nearest`: how far from the first input's message the others may be.
            mode: `nearest`: for each message of the first input the nearest of every other within
                the tolerance; a message is in one group at most. `exact`: those whose key is equal.
                `latest`: each message of the first input with the newest of every other.
            at_least: How many inputs a group needs, the first included; all, when not given.
            keep: How many messages of an input may wait for others; of more, the oldest is dropped.
            key: The metadata key that holds a message's time: a datetime, or a number of seconds;
                for `exact` anything that can be compared and grows, such as a frame's number.
            others: Called with every event that is not of these inputs, STOP too. Without it, they
                stay where they are, for `next()`. Not under `async for`.

        Raises:
            InputError: an input is not there, or is read by another pattern already.
            ValueError: the other arguments do not fit together.
        """
        from dora.node.synchroniser import Synchroniser

        self._check_open("receive")
        return Synchroniser(self._host, inputs, tolerance_s, mode, at_least, keep, key, others)

    # ---- services ----

    def send_service_request(
        self, output_id: str, data: Any, metadata: Mapping[str, Any] | None = None
    ) -> str:
        """Send a request whose response your own loop waits for; see `request`.

        Returns:
            Its `request_id`, a UUID of version 7, which the response has in its metadata too.
        """
        from dora.node import services

        request_id, user = services.new_request(metadata)
        self.send_output(output_id, data, user)
        return request_id

    def send_service_response(self, output_id: str, data: Any, metadata: Mapping[str, Any]) -> None:
        """Answer a request; pass its metadata on: `event["metadata"]`."""
        from dora.node import services

        services.warn_without_request(output_id, metadata)
        self.send_output(output_id, data, metadata)

    def request(
        self,
        output_id: str,
        data: Any,
        metadata: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        input: str | None = None,
    ) -> InputEvent:
        """Send a request and wait for its response.

        All else stays where it is meanwhile, for `next()`: other inputs in their queues, events of
        the daemon, and, in their order, other messages of the input that brings the response. Any
        number of threads may do this, also while another sits in `next()`.

        Args:
            output_id: The output that the server reads.
            data: As for `send_output`.
            metadata: As for `send_output`.
            timeout: How long to wait at most, in seconds; None waits without end.
            input: The input that brings the response; when not given, all that come from a node
                which reads the output.

        Returns:
            The event that the response came with.

        Raises:
            RequestTimeoutError: it did not come in time.
            RequestEndedError: it will not come: the dataflow stops, or the server is gone.
            RemoteError: the server's function raised an exception.
            OutputError: nobody reads the output, or nobody who does can answer.
        """
        from dora.node import services

        if timeout is not None:
            check_timeout(timeout)
        self._check_open()
        call = services.Call(self, self._host, output_id, data, metadata, input)
        try:
            return call.wait(timeout)
        finally:
            call.close()

    async def request_async(
        self,
        output_id: str,
        data: Any,
        metadata: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        input: str | None = None,
    ) -> InputEvent:
        """`request` for asyncio: waits without blocking the loop, and without a thread."""
        from dora.node import services

        if timeout is not None:
            check_timeout(timeout)
        self._check_open()
        call = services.Call(self, self._host, output_id, data, metadata, input)
        try:
            return await call.receive(timeout)
        finally:
            call.close()

    def serve(
        self,
        handlers: Mapping[str, Callable[[InputEvent], Any]],
        output: str | None = None,
        *,
        others: Callable[[Event], object] | None = None,
    ) -> None:
        """Answer requests until nothing more comes, or the dataflow stops.

        Args:
            handlers: For each input the function that is called with a request's event, and returns
                the data of the response. An exception goes to the caller, who gets a `RemoteError`.
            output: The output to answer on; may be left out where there is only one.
            others: Called with every event that is not a request, STOP too. Without it, they stay
                where they are, for `next()`.

        Raises:
            InputError: an input is not there.
            OutputError: the output is not named, and there is not just one.
        """
        from dora.node import services

        self._check_open("receive")
        services.serve(self, self._host, handlers, output, others)

    # ---- actions ----

    def send_goal(
        self,
        output_id: str,
        data: Any,
        metadata: Mapping[str, Any] | None = None,
        *,
        cancel: str = "cancel",
        inputs: Iterable[str] | None = None,
    ) -> Goal:
        """Send a goal to an action server.

        Args:
            output_id: The output that the server reads.
            data: As for `send_output`.
            metadata: As for `send_output`.
            cancel: The output on which a goal is cancelled.
            inputs: The inputs that bring feedback and result; when not given, all that come from a
                node which reads the output.

        Returns:
            The goal: loop over it for its feedback, ask for its `result`, or `cancel` it.

        Raises:
            OutputError: nobody reads the output, or nobody who does can answer.
        """
        from dora.node import actions

        self._check_open()
        return actions.Goal(self, self._host, output_id, data, metadata, cancel, inputs)

    def serve_goals(
        self,
        input_id: str,
        handler: Callable[[ServedGoal], Any],
        *,
        feedback: str = "feedback",
        result: str = "result",
        cancel: str = "cancel",
        others: Callable[[Event], object] | None = None,
    ) -> None:
        """Work on goals, one after the other, until nothing more comes or the dataflow stops.

        Args:
            input_id: The input that brings goals.
            handler: Called with each; what it returns is the result, with status `succeeded`. It
                may send another itself: `goal.abort()`, `goal.cancel()`. An exception makes the
                status `aborted`, and goes to the client, who gets a `RemoteError`.
            feedback: The output for feedback.
            result: The output for results.
            cancel: The input on which goals are cancelled, if there is one.
            others: Called with every event that is not of these inputs, STOP too. Without it, they
                stay where they are, for `next()`.

        Raises:
            InputError: the input is not there.
        """
        from dora.node import actions

        self._check_open("receive")
        actions.serve_goals(self, self._host, input_id, handler, (feedback, result), cancel, others)

    # ---- streams ----

    def stream_writer(
        self, output_id: str, metadata: Mapping[str, Any] | None = None
    ) -> StreamWriter:
        """Send chunks that belong together: `with node.stream_writer("audio") as stream: ...`.

        Args:
            output_id: The output.
            metadata: What every chunk has, beside the keys of the stream.
        """
        from dora.node.streams import StreamWriter

        return StreamWriter(self, output_id, metadata)

    def stream_reader(
        self, input_id: str, *, others: Callable[[Event], object] | None = None
    ) -> StreamReader:
        """Read an input as a stream: chunk by chunk, or by `segments()`.

        Args:
            input_id: The input.
            others: Called with every event that is not of this input, STOP too. Without it, they
                stay where they are, for `next()`.

        Raises:
            InputError: the input is not there.
        """
        from dora.node.streams import StreamReader

        self._check_open("receive")
        return StreamReader(self._host, input_id, others)

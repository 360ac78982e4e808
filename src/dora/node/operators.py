"""`start_runtime()`: runs the operators of one node, each a `class Operator`, in this process.

Every operator has an event stream of its own (`node.operator_streams`), and where there are
several, each has a thread of its own: one that computes or waits does not keep the others from
their messages, one may wait for room in the queue of another, and what releases the interpreter's
lock (NumPy, models, files) runs side by side. Python code of the operators takes turns; one that
must not share is better a node of its own. A single operator has the main thread, as in dora-rs.
All are imported and made before the node joins, so that the dataflow waits for slow ones.

An operator ends by `DoraStatus.STOP`, or behind the STOP event; then its outputs close. What is
sent to it afterwards is read and dropped, so that no sender waits for it. The process ends with the
last. One that raises is made anew if the node's `restart_policy` says so, with its inputs waiting
in their queues meanwhile. Else the node fails: the others get STOP, and the process exits with
status 1.

Elsewhere: files and classes (`node.operator_source`), when to restart (`node.operator_restart`).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from dora.errors import NodeInitError, OperatorError, OutputError
from dora.node import events, logs, operator_source, session
from dora.node.core import Core
from dora.node.event_stream import EventStream
from dora.node.operator_source import OperatorSource
from dora.node.operator_streams import OperatorStreams
from dora.node.status import DoraStatus
from dora.version import VERSION
from dora.wire import messages
from dora.wire.restarts import Restarts
from dora.wire.runtime import VARIABLE, decode_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dora.node.event_types import Event
    from dora.node.host import Stream
    from dora.node.session import Session
    from dora.wire.runtime import OperatorConfig, OperatorRestart, RuntimeConfig

_HANDED = frozenset({"INPUT", "INPUT_CLOSED", "STOP", "RELOAD"})
_FAREWELL_S = 5.0
"""How long the other operators may take to end when one has failed."""
_STATUS_FAILED = 1
_OWN_FILES = frozenset({__file__, operator_source.__file__})

_log = logging.getLogger("dora")


def start_runtime() -> None:
    """Run the operators of the node that this process was started as, until all have ended.

    Raises:
        NodeInitError: this process was not started by a dataflow, or its start failed.
        SystemExit: an operator failed; its traceback is on stderr.
    """
    text = os.environ.get(VARIABLE)
    node_text = os.environ.get("DORA_NODE_CONFIG")
    if text is None or node_text is None:
        missing = VARIABLE if text is None else "DORA_NODE_CONFIG"
        raise NodeInitError(
            "`dora.start_runtime()` runs the operators of a node, as the dataflow that starts it "
            f"says, and the environment variable `{missing}` is not set. List your operator in a "
            "dataflow file (`operator: {python: op.py}`) and `dora run` that"
        )
    logs.install()
    runtime = Runtime(decode_runtime(text), messages.decode_config(node_text))
    if not runtime.run():
        sys.exit(_STATUS_FAILED)


class Runtime:
    """A node that is made of operators."""

    def __init__(self, config: RuntimeConfig, node: messages.NodeConfig) -> None:
        self._config = config
        self._node = node
        self._ended = threading.Event()
        """Whether the node is over: every operator has ended, or one has failed."""
        self._lock = threading.Lock()
        self._left = len(config.operators)
        self._failed = False

    def run(self) -> bool:
        """Run until the last operator has ended; whether none has failed."""
        try:
            runners = [
                Runner(operator, self._config.restart, self) for operator in self._config.operators
            ]
        except ToldError:
            return False
        ids = [operator.id for operator in self._config.operators]
        joined = session.join(
            self._node,
            None,
            VERSION,
            # The node itself never receives: each operator does, on its part of this.
            lambda *args, **options: cast(
                "EventStream", OperatorStreams(ids, *args, maker_of=self._maker_of, **options)
            ),
        )
        self._session: Session = joined
        self.streams = cast("OperatorStreams", joined.stream)
        self.core = Core(joined)
        joined.pump()  # what the daemon said in one breath with its start
        try:
            with self.core:
                self._run_all(runners)
                if self._failed:  # no goodbye: consumers are to hear of the failure first
                    raise ToldError
        except ToldError:
            return False
        return True

    def stream_of(self, operator: str) -> Stream:
        """The events of one operator, behind checks if the environment asks for them."""
        stream = self.streams[operator]
        if "DORA_RUNTIME_TYPE_CHECK" in os.environ:
            from dora.node.typecheck import checked_part

            return checked_part(self._session, operator, stream)
        return stream

    def _maker_of(self, operator: str) -> Callable[..., EventStream]:
        """What makes the event stream of an operator, which keeps it if the environment asks."""
        if "DORA_WRITE_EVENTS_TO" not in os.environ:
            return EventStream
        from dora.node import recorded

        return recorded.stream_of(f"{self._node.node_id}.{operator}", self._node.incarnation)

    def _run_all(self, runners: list[Runner]) -> None:
        if len(runners) == 1:
            runners[0].run()
            return
        threads = [
            threading.Thread(target=runner.run, name=runner.id, daemon=True) for runner in runners
        ]
        for thread in threads:
            thread.start()
        self._ended.wait()
        deadline = time.monotonic() + _FAREWELL_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def stop_dataflow(self, operator: str) -> None:
        """Have the daemon stop everything."""
        self._session.ask_stop(f"operator `{self._config.node}/{operator}` returned STOP_ALL")

    def restarted(self, operator: str) -> None:
        """Have the daemon tell those who read from an operator that it was made anew."""
        self._session.tell_restarted(operator)

    def ended(self, operator: str) -> None:
        """An operator has ended well."""
        if self._failed:  # its outputs close behind the failure, with the process
            return
        outputs = [output.id for output in self._session.welcome.outputs]
        self.core.close_outputs(*(name for name in outputs if name.startswith(f"{operator}/")))
        with self._lock:
            self._left -= 1
            if self._left:
                return
        self.streams.close()
        self._ended.set()

    def failed(self) -> None:
        """An operator has failed for good: have the others end."""
        self._failed = True
        self._session.interrupted = True  # none may wait for room that the failed one would make
        self.streams.post(events.stop("MANUAL"))
        self._ended.set()


class ToldError(Exception):
    """An operator failed, and the user was told."""


class Runner:
    """One operator: made, handed its events, made anew, ended.

    Args:
        config: The operator.
        restart: When it is made anew.
        runtime: The node it belongs to.

    Raises:
        ToldError: it could not be made.
    """

    def __init__(self, config: OperatorConfig, restart: OperatorRestart, runtime: Runtime) -> None:
        self.id = config.id
        self._config = config
        self._restarts = Restarts(restart)
        self._runtime = runtime
        try:
            self._source = OperatorSource(config)
            self._operator = self._source.make()
        except (Exception, SystemExit) as exc:
            self._tell(exc, " while it was made")
            raise ToldError from exc

    def run(self) -> None:
        """Hand out events until the operator has ended or failed."""
        try:
            stream = self._runtime.stream_of(self.id)
            self._operator.dataflow_descriptor = self._runtime.core.dataflow_descriptor()
            if not self._serve(stream):
                self._runtime.failed()
                return
            self._runtime.ended(self.id)
            while stream.wait() is not None:  # so that no sender waits for room
                pass
        except BaseException:
            self._runtime.failed()
            raise

    def _serve(self, stream: Stream) -> bool:
        """Hand out events until the operator has ended; False when it failed for good."""
        while (event := stream.wait()) is not None:
            try:
                goes_on = self._goes_on(event)
            except (Exception, SystemExit) as exc:
                if not self._made_anew(exc, f" on {_named(event)}", stream):
                    return False
                continue
            if not goes_on:
                break
        return True

    def _goes_on(self, event: Event) -> bool:
        """Hand out one event; whether the operator wants more."""
        if event["type"] not in _HANDED:
            self._log_what_is_not_handed(event)
            return True
        if event["type"] == "RELOAD":
            self._reload()
        answer = self._operator.on_event(event, self._send_output)
        if answer is DoraStatus.CONTINUE:
            return True
        status = self._status(answer, event)
        if status is DoraStatus.STOP_ALL:
            self._runtime.stop_dataflow(self.id)
        return status is DoraStatus.CONTINUE

    def _log_what_is_not_handed(self, event: Event) -> None:
        if event["type"] == "ERROR":
            _log.error("operator `%s`: %s", self.id, event["error"])
        elif event["type"] == "NODE_FAILED":
            _log.warning("operator `%s`: a node that feeds it failed: %s", self.id, event["value"])
        else:
            _log.info("operator `%s`: %s", self.id, _named(event))

    def _status(self, answer: Any, event: Event) -> DoraStatus:
        """What an answer means. An enum of the user's own with the same values is as good."""
        if isinstance(answer, Enum) and answer.value in (0, 1, 2):
            return DoraStatus(answer.value)
        shown = "None" if answer is None else f"{answer!r}, of type `{type(answer).__name__}`,"
        raise OperatorError(
            f"operator `{self.id}`: `on_event` of `{self._source.path}` returned {shown} for "
            f"{_named(event)}; return `DoraStatus.CONTINUE`, `DoraStatus.STOP` or "
            "`DoraStatus.STOP_ALL` (`from dora import DoraStatus`)"
        )

    def _send_output(
        self, output_id: str, data: Any, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """What the operator sends with: `Core.send_output` by the operator's own names."""
        if not isinstance(output_id, str):
            raise OutputError(f"`{output_id!r}` cannot be the name of an output: it is no text")
        self._runtime.core.send_output(f"{self.id}/{output_id}", data, metadata)

    def _reload(self) -> None:
        try:
            self._operator = self._source.reload(self._operator)
        except Exception as exc:
            _log.error(
                "operator `%s` was not reloaded and goes on as it was:\n%s", self.id, _trace(exc)
            )
            return
        _log.info("operator `%s` was reloaded from `%s`", self.id, self._source.path)

    def _made_anew(self, exc: Exception | SystemExit, when: str, stream: Stream) -> bool:
        """Tell of a failure; make the operator anew if it may be, and as often as that fails."""
        while True:
            self._tell(exc, when)
            if stream.ended:  # it failed on STOP: there is nothing left that a new one could do
                return False
            delay_s = self._restarts.after_failure(time.monotonic())
            if delay_s is None or self._runtime.streams.wait_for_stop(delay_s):
                return False
            _log.warning("operator `%s` is made anew (restart %d)", self.id, self._restarts.count)
            try:
                self._operator = self._source.make()
            except (Exception, SystemExit) as again:
                exc, when = again, " while it was made anew"
                continue
            self._operator.dataflow_descriptor = self._runtime.core.dataflow_descriptor()
            self._runtime.restarted(self.id)
            return True

    def _tell(self, exc: Exception | SystemExit, when: str) -> None:
        """Write on stderr what failed: the user's frames, and at the end the operator's name."""
        if isinstance(exc, OperatorError):
            text = f"Error: {exc}\n"
        else:
            last = traceback.format_exception_only(exc)[-1].strip()
            file = os.path.basename(self._config.source)
            text = f"{_trace(exc)}operator `{self.id}` ({file}) failed{when}: {last}\n"
        sys.stderr.write(text)
        sys.stderr.flush()


def _trace(exc: BaseException) -> str:
    """The traceback without the frames of this runtime."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in _OWN_FILES:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(exc), exc, trace))


def _named(event: Event) -> str:
    """An event in an error message."""
    if event["type"] == "ERROR" or event["type"] == "EXTERNAL":
        return event["type"]
    return f"{event['type']} `{event['id']}`"

"""`Core`: the calls on which all others of a node are built: join, receive, send, leave.

Receives from `node.event_stream`, sends through `transport.sender`; `node.joining` finds who hosts
both. In a forked child the node is dead: the child sends nothing, receives nothing and gives
nothing back; values it inherited stay readable.
Elsewhere: what users call beyond this (`node.node`), loans (`node.samples`).
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import sys
import threading
import time
import weakref
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dora.errors import NodeClosedError, OutputError
from dora.node import exit_status
from dora.node.samples import Lender, SampleHandler
from dora.wire import metadata as wire_metadata
from dora.wire.board import STATE_CLOSED, WORD_CONTROL, WORD_STATE
from dora.wire.payload import encode, primitive_header

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    import numpy.typing as npt

    from dora.node.async_receive import AsyncReceiver
    from dora.node.event_types import Event
    from dora.node.host import Host
    from dora.transport.loan import Loan

_log = logging.getLogger("dora")
_nodes: weakref.WeakSet[Core] = weakref.WeakSet()


class Core:
    """A node with a host; see `Node`. Owns the host from construction to `close`.

    Args:
        host: Who feeds it and takes what it sends.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._stream = host.stream
        self._sender = host.sender
        self._words = host.words
        self._lender = Lender(self._sender)
        self._async: AsyncReceiver | None = None
        self._undeclared: set[str] = set()
        self._closing = threading.RLock()
        self._closed: str | None = None
        _nodes.add(self)
        if "DORA_RUNTIME_TYPE_CHECK" in os.environ:  # else sending and receiving pay nothing
            from dora.node.typecheck import checked

            self._sender, self._stream = checked(host)

    # ---- receiving ----

    def next(self, timeout: float | None = None) -> Event | None:
        """Wait for the next event.

        Args:
            timeout: How long to wait at most, in seconds; None waits without end.

        Returns:
            The event, or None when the stream has ended: after STOP was handed out. When the time
            is over, an event of type ERROR.

        Raises:
            ValueError: `timeout` is negative or not finite.
            NodeClosedError: in a forked child.
        """
        if self._closed is not None:
            self._refuse_fork()
            return None
        if timeout is not None:
            check_timeout(timeout)
        if self._words[WORD_CONTROL] != self._host.seen_control:
            self._host.pump()
        return self._stream.wait(timeout)

    def try_recv(self) -> Event | None:
        """The next event if one is there now; None when there is none, or the stream has ended."""
        if self._closed is not None:
            self._refuse_fork()
            return None
        if self._words[WORD_CONTROL] != self._host.seen_control:
            self._host.pump()
        return self._stream.try_take()

    async def recv_async(self, timeout: float | None = None) -> Event | None:  # noqa: ASYNC109
        """`next` for asyncio: waits without blocking the loop, and without a thread."""
        if self._closed is not None:
            self._refuse_fork()
            return None
        if timeout is not None:
            check_timeout(timeout)
        if self._async is None:
            from dora.node.async_receive import AsyncReceiver

            self._async = AsyncReceiver(self._stream)
        return await self._async.receive(timeout)

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = self.next()
        if event is None:
            raise StopIteration
        return event

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        event = await self.recv_async()
        if event is None:
            raise StopAsyncIteration
        return event

    # ---- sending ----

    def send_output(
        self, output_id: str, data: Any, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Send one message on an output.

        The bytes are written once, into shared memory that every reader on this machine maps;
        `data` may be changed or dropped as soon as this returns. Never waits for a slow reader,
        unless that reader asked for it with `queue_policy: backpressure`, or unless this is a
        request or goal (`request_id`, `goal_id`, `goal_status`), which is never dropped, and some
        2,000 of them wait there already.
        An output that is not declared is named in one warning and the message is dropped.

        Args:
            output_id: A name listed under this node's `outputs:`.
            data: A NumPy array keeps shape and dtype: an RGB image is `uint8[height, width, 3]`. An
                array from `loan` is not even copied. Also: an Arrow array or record batch, bytes,
                str, int, float, bool, list, dict, or a tensor on the CPU of a library that has
                DLPack.
            metadata: Small facts about the data, e.g. `{"encoding": "rgb8"}`. Values are bool, int,
                float, str, bytes, datetime, None, or lists and dicts of these. The metadata of a
                received event may be handed on as it is.

        Raises:
            PayloadTypeError: `data` is of another type; the message gives the conversion to use.
            MetadataError: `metadata` holds something else; the message names the key.
            OutputError: `output_id` cannot be the name of an output.
            ArenaFullError: receivers hold all of this node's shared memory.
            NodeClosedError: the node was closed, or this process was forked from the node's.
        """
        if self._closed is not None and not self._may_send():
            return
        if self._words[WORD_CONTROL] != self._host.seen_control:
            self._host.pump()
        if not self._sender.has_output(output_id):
            self._warn_undeclared(output_id)
            return
        loan = self._lender.loan_of(data) if self._lender.ever_lent else None
        if metadata:
            raw = wire_metadata.encode(metadata)
            correlated = wire_metadata.is_correlated(metadata)
            flush = wire_metadata.is_flush(metadata)
        else:
            raw, correlated, flush = b"", False, False
        try:
            self._sender.send(
                output_id, encode(data), raw, correlated=correlated, flush=flush, loan=loan
            )
        except NodeClosedError:  # by another thread, meanwhile
            if self._may_send():
                raise
        if loan is not None:
            self._lender.seal(data, loan)

    def loan(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike = "uint8") -> Any:
        """Borrow an array that already lies in shared memory, to be sent without any copy.

        Fill it, then hand it to `send_output`, whole. From then on receivers read this memory: the
        array is read-only here, and views made of it before must not be written to any more. One
        that is never sent is taken back when it is collected.

        Args:
            shape: The array's shape.
            dtype: Its dtype, of fixed size.

        Returns:
            A writable array `dtype[shape]`, C-contiguous; its content is undefined.

        Raises:
            ArenaFullError: receivers hold all of this node's shared memory.
            NodeClosedError: the node was closed.
        """
        self._check_open()
        return self._lender.lend_array(shape, dtype)

    def send_output_raw(
        self, output_id: str, data_length: int, metadata: Mapping[str, Any] | None = None
    ) -> SampleHandler:
        """Borrow `data_length` bytes of shared memory, to be written in place and then sent.

        The receiver sees an Arrow array of uint8. Use it with `with`, or call its `send`.

        Raises:
            OutputError: the output is not in this node's `outputs:`.
            NodeClosedError: the node was closed.
        """
        self._check_open()
        if not self._sender.has_output(output_id):
            raise OutputError(f"Output `{output_id}` not in node's output list.")
        if data_length < 0:
            raise ValueError(f"`data_length` is {data_length}; it must not be negative")
        header = primitive_header("uint8")

        def send(loan: Loan, size: int) -> None:
            loan.sent = True
            self._check_open()
            self._sender.send(
                output_id,
                (header, size, loan.memory[:size]),
                wire_metadata.encode(metadata or {}),
                correlated=wire_metadata.is_correlated(metadata or {}),
                flush=wire_metadata.is_flush(metadata or {}),
                loan=loan,
            )

        return SampleHandler(self._lender.lend(max(1, data_length)), data_length, send)

    # ---- facts ----

    @property
    def id(self) -> str:
        """This node's id."""
        return self._host.welcome.node

    def dataflow_id(self) -> str:
        """The id of the running dataflow."""
        return self._host.welcome.dataflow

    def node_config(self) -> dict[str, Any]:
        """This node's inputs and outputs as the dataflow file gives them."""
        return self._host.welcome.config

    def dataflow_descriptor(self) -> dict[str, Any]:
        """The dataflow file, parsed."""
        return self._host.welcome.descriptor

    def is_restart(self) -> bool:
        """Whether an earlier process of this node ran in this dataflow."""
        return self._host.welcome.restart_count > 0

    def restart_count(self) -> int:
        """How often this node was started again."""
        return self._host.welcome.restart_count

    def timestamp(self) -> datetime:
        """Now, in UTC: the clock that `metadata["timestamp"]` is taken from."""
        return datetime.fromtimestamp(time.time(), UTC)  # a simulation replaces `time.time`

    # ---- end ----

    def close_outputs(self, *output_ids: str) -> None:
        """Send nothing more on these: consumers get INPUT_CLOSED after all that was sent.

        What is sent on them afterwards is dropped, with one warning. Twice is fine.

        Raises:
            OutputError: one of them is not in this node's `outputs:`; then none is closed.
            NodeClosedError: the node was closed.
        """
        self._check_open()
        declared = self._host.output_ids
        for output_id in output_ids:
            if declared is not None and output_id not in declared:
                raise OutputError(f"Output `{output_id}` not in node's output list.")
        self._host.close_outputs(output_ids)

    def close(self) -> None:
        """Leave the dataflow: consumers get INPUT_CLOSED after all that was sent. Twice is fine.

        Values that were received stay valid. The end of the process closes the node too.
        """
        self._close("it was closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close("it was closed", goodbye=kind is None)

    def __del__(self) -> None:
        if getattr(self, "_closed", "never joined") is None and not sys.is_finalizing():
            self.close()

    def _close(self, why: str, *, goodbye: bool = True) -> None:
        with self._closing:
            if self._closed is not None:
                return
            self._closed = why
        self._words[WORD_STATE] = STATE_CLOSED
        self._host.close(goodbye=goodbye)
        if self._async is not None:
            self._async.wake()

    def _warn_undeclared(self, output_id: str) -> None:
        if self._closed is not None and not self._may_send():
            return
        from dora.ids import PORT_ID_RULE, is_port_id, suggest

        if not isinstance(output_id, str) or not is_port_id(output_id):
            raise OutputError(f"`{output_id}` cannot be the name of an output; {PORT_ID_RULE}")
        if output_id in self._undeclared:
            return
        self._undeclared.add(output_id)
        declared = self._host.output_ids
        if declared is None or output_id in declared:
            _log.warning("Ignoring output `%s`: this node has closed it", output_id)
            return
        near = suggest(output_id, declared)
        hint = f"; did you mean `{near}`?" if near else f"; declared: {', '.join(declared) or '-'}"
        _log.warning("Ignoring output `%s` not in node's output list%s", output_id, hint)

    def _check_open(self, what: str = "send") -> None:
        if self._closed is not None:
            raise NodeClosedError(f"this node cannot {what}: {self._closed}")

    def _may_send(self) -> bool:
        """False at the process's exit: what a thread still sends then is dropped quietly."""
        if self._closed is not _AT_EXIT:
            self._check_open()
        return self._closed is not _AT_EXIT

    def _refuse_fork(self) -> None:
        if self._closed is not None and self._closed.startswith(_FORKED):
            self._check_open("receive")


_AT_EXIT = "the process is ending"
_FORKED = "this process was forked from"


def check_timeout(timeout: float) -> None:
    """Raise ValueError for what is no time to wait."""
    if not (timeout >= 0 and math.isfinite(timeout)):
        raise ValueError(f"`timeout` is {timeout}; it is a finite number of seconds, 0 or more")


def _close_all_at_exit() -> None:
    for node in list(_nodes):
        node._close(_AT_EXIT, goodbye=exit_status.ends_well())


def _disown_all_in_child() -> None:
    for node in list(_nodes):
        if node._closed is None:
            node._closed = f"{_FORKED} node `{node.id}` (pid {os.getppid()}), which may use it"
            node._host.disown()


atexit.register(_close_all_at_exit)
os.register_at_fork(after_in_child=_disown_all_in_child)

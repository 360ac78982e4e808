"""`Node`: the calls a user makes.

Each is one line to the module that does it, loaded on first use; receiving and sending themselves
are `node.core`'s, calls that take several messages `node.patterns`'s.
Elsewhere: log lines (`node.logs`), whom a process joins (`node.joining`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dora.errors import StreamEndedError
from dora.node import exit_status, joining, logs
from dora.node.patterns import Patterns

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable, Mapping
    from typing import Any

    from dora.node.event_types import Event
    from dora.node.notebook import NotebookNode


class Node(Patterns):
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
        logs.install()
        exit_status.watch()

    @classmethod
    def interactive(cls) -> NotebookNode:
        """A node without a dataflow, for a notebook or a Python shell: `feed` it, look at `sent`.

        A file that makes a plain `Node()` and is started by hand asks for its inputs itself.
        """
        from dora.node.notebook import NotebookNode

        return NotebookNode()

    # ---- receiving ----

    def drain(self) -> list[Event]:
        """All events that are there now; an empty list when there is none.

        Raises:
            StreamEndedError: none is there, and none will be: STOP was handed out.
            NodeClosedError: in a forked child.
        """
        self._refuse_fork()
        found = self._stream.drain() if self._closed is None else []
        if not found and self._stream.ended:
            raise StreamEndedError("Could not drain events. Channel is closed")
        return found

    def is_empty(self) -> bool:
        """Whether no event is there now. What waits stays in its queue."""
        self._refuse_fork()
        return self._closed is not None or self._stream.is_empty()

    def merge_external_events(
        self, subscription: Iterable[Any] | AsyncIterable[Any] | object
    ) -> None:
        """Have values of another source handed out among the events.

        Each comes as `{"kind": "external", "type": "EXTERNAL", "value": ...}`. A source that raises
        an exception brings an event of type ERROR, and then nothing more. At most 64 values wait
        here; the source is asked for more as they are handed out.

        Args:
            subscription: An iterator, which is run in a thread; an async iterator, which is run in
                a thread with a loop of its own; or an object with `next()`, such as a ROS 2
                subscription, which ends with None.

        Raises:
            TypeError: it is none of these.
            NodeClosedError: the node was closed.
        """
        from dora.node.external import ExternalEvents, values_of

        self._check_open()
        ExternalEvents(self._stream, values_of(subscription))

    def watermark(self, input_id: str | None = None) -> int | float | None:
        """How far an input has come, by the greatest `watermark` in the metadata of its messages.

        Args:
            input_id: The input; without it, the least of all inputs that have said so.

        Returns:
            The watermark, which never goes back; None as long as no message brought one.
        """
        return self._stream.watermark(input_id)

    # ---- values that the nodes of a dataflow share ----

    def extension_store(self, namespace: str, key: str, value: bytes) -> None:
        """Keep a value where every node of the dataflow can load it, until this node ends.

        Raises:
            TypeError: `value` is not bytes.
            ExtensionError: it is too large, or 8192 values are there already.
        """
        from dora.node import extensions

        self._check_open()
        extensions.store(self._host, namespace, key, value)

    def extension_load(self, namespace: str, key: str, remove: bool = False) -> bytes | None:
        """A value that a node stored; None when there is none.

        Args:
            namespace: Its namespace.
            key: Its key.
            remove: Drop it in the same step: of several nodes that do this, one gets it.
        """
        from dora.node import extensions

        self._check_open()
        return extensions.load(self._host, namespace, key, remove=remove)

    def extension_drop(self, namespace: str, key: str) -> None:
        """Drop a value; one that is not there is no error."""
        from dora.node import extensions

        self._check_open()
        extensions.drop(self._host, namespace, key)

    def drain_dropped_extension_keys(self, namespace: str) -> list[str]:
        """Keys that this node stored or loaded and that were dropped since it last asked."""
        from dora.node import extensions

        self._check_open()
        return extensions.dropped(self._host, namespace)

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

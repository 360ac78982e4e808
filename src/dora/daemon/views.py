"""How a dataflow stands: its nodes, outputs and edges with all that was counted, for visitors.

Reads boards, queues and the kernel's tables; the nodes do nothing for it. Elsewhere: rates out of
two such looks (`monitor.figures`), what nodes use (`daemon.usage`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from dora.daemon.usage import Usage, usage_of
from dora.wire.visits import AskDescriptor, AskState, Done, EdgeView, NodeView, OutputView, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dora.daemon.crew import Crew
    from dora.daemon.edges import Edge
    from dora.daemon.flow import Flow
    from dora.daemon.link import Link
    from dora.daemon.logfeed import LogFeed
    from dora.daemon.roster import NodeRecord
    from dora.daemon.visitors import Visitors
    from dora.daemon.wiring import Wiring
    from dora.wire.visits import Dataflow


class StateDesk:
    """Answers how everything stands."""

    def __init__(
        self,
        visitors: Visitors,
        described: Callable[[], Dataflow],
        descriptor: Mapping[str, Any],
        flow: Flow,
        wiring: Wiring,
        crew: Crew,
        feed: Callable[[], LogFeed | None],
    ) -> None:
        self._described = described
        self._descriptor = descriptor
        self._flow = flow
        self._wiring = wiring
        self._crew = crew
        self._feed = feed
        visitors.provide(AskState, self._answer)
        visitors.provide(AskDescriptor, self._describe)

    def _answer(self, link: Link, _ask: AskState) -> None:
        flow, edges = self._flow, self._flow.book.shown()
        pids = {record.id: self._pid(record) for record in flow.roster}
        used = usage_of([pid for pid in pids.values() if pid])
        link.send(
            State(
                dataflow=self._described(),
                phase=flow.phase.name.lower(),
                now_ns=time.monotonic_ns(),
                nodes=[
                    self._node(record, edges, pid, used.get(pid, Usage()))
                    for record in flow.roster
                    for pid in (pids[record.id],)
                ],
                outputs=[
                    OutputView(record.id, output, *self._wiring.boards.output(record.id, output))
                    for record in flow.roster
                    for output in record.plan.outputs
                ],
                edges=[self._edge(edge) for edge in edges],
            )
        )

    def _describe(self, link: Link, _ask: AskDescriptor) -> None:
        link.send(Done(msgspec.json.encode(self._descriptor, enc_hook=str).decode()))

    def _pid(self, record: NodeRecord) -> int:
        """The process that dora started, else the one that joined; 0: none, or out of sight."""
        process = self._crew.process(record.id, record.incarnation)
        if process is not None:
            return process.pid
        return (record.pid or 0) if record.linked else 0

    def _node(self, record: NodeRecord, edges: list[Edge], pid: int, used: Usage) -> NodeView:
        plan = record.plan
        process = self._crew.process(record.id, record.incarnation)
        sources = {e.input: e.source for e in edges if e.receiver == record.id}
        sources |= {t.input: f"dora/timer/nanos/{t.interval_ns}" for t in plan.timers}
        return NodeView(
            id=record.id,
            state=record.state.name.lower(),
            pid=pid or None,
            dynamic=record.dynamic,
            restarts=record.restart_count,
            policy=plan.restart.policy,
            failed=record.failed,
            command=[] if plan.command is None else list(plan.command.argv),
            inputs=[one for one in dict.fromkeys([*plan.inputs, *sources]) if one in sources],
            outputs=list(plan.outputs),
            sources=sources,
            path=plan.path,
            max_restarts=plan.restart.max_restarts,
            uptime_s=None if process is None else time.monotonic() - process.started_s,
            cpu_s=used.cpu_s,
            memory_bytes=used.memory_bytes,
            disk_read_bytes=used.disk_read_bytes,
            disk_write_bytes=used.disk_write_bytes,
            output_types=self._wiring.output_types(record.id),
        )

    def _edge(self, edge: Edge) -> EdgeView:
        counts = self._wiring.boards.counts(edge)
        feed = self._feed()
        if edge.feed != "node" and feed is not None:
            counts.sent, counts.dropped = feed.counts(edge.number)
        return EdgeView(
            number=edge.number,
            sender=edge.sender,
            output=edge.output,
            receiver=edge.receiver,
            input=edge.input,
            queue_size=edge.queue_size,
            backpressure=edge.backpressure,
            open=not self._flow.book.is_over(edge),
            sent=counts.sent,
            dropped=counts.dropped,
            flushed=counts.flushed,
            received=counts.received,
            bytes=counts.bytes,
            late=counts.late,
            waiting=self._wiring.waiting(edge.number),
            last_ns=counts.last_ns,
            latency=counts.latency,
            timeout_s=edge.input_timeout_s,
            broken=self._is_broken(edge, counts.last_ns),
        )

    @staticmethod
    def _is_broken(edge: Edge, last_ns: int) -> bool:
        """Whether the receiver was told that this input is silent (`input_timeout`)."""
        if edge.input_timeout_s is None or not last_ns:
            return False
        return time.time_ns() - last_ns > edge.input_timeout_s * 1e9

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dora.daemon import limits
from dora.daemon.edges import DAEMON, edges_of
from dora.descriptor.plan import LogRoute, LogSettings, Route
from dora.errors import DescriptorLimitError
from dora.ids import LogsRef

from . import plans


def test_edges_are_numbered_in_the_order_of_routes_then_log_routes() -> None:
    plan = replace(
        plans.pair(queue_size=3), log_routes=(LogRoute(LogsRef("warn"), "plot", "logs"),)
    )
    first, second = edges_of(plan)
    assert (first.number, first.source, first.target) == (0, "camera/image", "plot/image")
    assert (first.feed, first.queue_size) == ("node", 3)
    assert (second.number, second.sender, second.feed) == (1, DAEMON, "dataflow")


def test_the_daemon_never_waits_for_a_reader_of_log_lines() -> None:
    camera = plans.node("camera", outputs=("lines",), logs=LogSettings(send_stdout_as="lines"))
    plan = plans.plan(
        camera,
        plans.node("plot", inputs=("lines",)),
        routes=(Route("camera", "lines", "plot", "lines", backpressure=True),),
    )
    (edge,) = edges_of(plan)
    assert (edge.feed, edge.backpressure, edge.queue_size) == ("stdout", False, 100)


def test_a_dataflow_beyond_the_hard_limit_is_refused_with_the_number_and_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits.resource, "getrlimit", lambda _which: (50, 60))
    plan = plans.pair()
    with pytest.raises(DescriptorLimitError, match=r"needs (\d+) .* 60 at most.*`ulimit -n \1`"):
        limits.provide(plan, edges_of(plan))


def test_the_soft_limit_is_raised_to_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = []
    monkeypatch.setattr(limits.resource, "getrlimit", lambda _which: (50, 4096))
    monkeypatch.setattr(limits.resource, "setrlimit", lambda _which, pair: raised.append(pair))
    plan = plans.pair()
    limits.provide(plan, edges_of(plan))
    [(soft, hard)] = raised
    assert 88 < soft < hard == 4096  # what is open now, and room for clients, comes on top

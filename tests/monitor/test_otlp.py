"""What a collector of OpenTelemetry gets, decoded by the protocol's own code."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from dora.errors import DoraError
from dora.monitor.figures import figures
from dora.monitor.measures import BOUNDS_S, measures
from dora.monitor.otlp import MetricsExport, signal_url

from .collector import attributes, collecting
from .states import FLOW, LATER

STARTED_NS = 1_790_000_000_000_000_000
MEASURED = measures([figures(None, replace(LATER, dataflow=replace(FLOW, started_ns=STARTED_NS)))])


def test_a_collector_gets_sums_gauges_and_histograms() -> None:
    with collecting() as collector:
        export = MetricsExport(collector.url)
        export.send(MEASURED)
        export.close()
    found = collector.metrics()
    dropped = found["dora.edge.dropped_messages"]
    assert dropped.sum.is_monotonic
    assert dropped.unit == "1"
    (point,) = dropped.sum.data_points
    assert point.as_int == 4
    assert point.start_time_unix_nano == STARTED_NS < point.time_unix_nano
    edge = {"sender": "camera", "output": "image", "receiver": "plot", "input": "image"}
    assert attributes(point) == {"dataflow": "robot", **edge}
    memory = found["dora.node.memory"]
    assert memory.unit == "By"
    assert {one.as_int for one in memory.gauge.data_points} == {86_400_000}
    (delays,) = found["dora.edge.latency"].histogram.data_points
    assert found["dora.edge.latency"].unit == "s"
    assert delays.count == sum(delays.bucket_counts) == 90
    assert list(delays.explicit_bounds) == list(BOUNDS_S)
    assert not delays.HasField("sum")
    assert found["dora.dataflows"].gauge.data_points[0].as_int == 1


def test_a_collector_that_refuses_is_told_with_its_words() -> None:
    with collecting(400) as collector:
        export = MetricsExport(collector.url)
        with pytest.raises(DoraError, match=f"the collector at {collector.url}/v1/metrics.*400"):
            export.send(MEASURED)
        export.close()


def test_the_port_of_grpc_is_guessed() -> None:
    from dora.monitor.otlp import refused

    assert "4318" in str(refused("http://localhost:4317/v1/metrics", "closed"))
    assert "gRPC" not in str(refused("http://localhost:4318/v1/metrics", "closed"))


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://c:4318", "http://c:4318/v1/metrics"),
        ("http://c:4318/", "http://c:4318/v1/metrics"),
        ("https://c/otlp", "https://c/otlp/v1/metrics"),
        ("http://c:4318/v1/metrics", "http://c:4318/v1/metrics"),
    ],
)
def test_a_signal_goes_behind_the_collectors_address(given: str, url: str) -> None:
    assert signal_url(given, "metrics") == url


@pytest.mark.parametrize(
    "wrong", ["localhost:4318", "grpc://c:4317", "", "http://", "http://[::1", "http://c:99999"]
)
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(DoraError, match="is no address of a collector"):
        signal_url(wrong, "metrics")

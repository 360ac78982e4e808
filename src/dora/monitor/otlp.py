"""Measures and spans sent to a collector of OpenTelemetry, by OTLP over HTTP.

What is sent was measured elsewhere and before: so it is put into the library's own values, without
its instruments and tracers. Elsewhere: measures (`monitor.measures`), spans (`monitor.traces`).
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from dora.errors import DoraError
from dora.monitor.measures import BOUNDS_S, Kind
from dora.monitor.traces import name_of, wait_of
from dora.version import VERSION

try:
    from opentelemetry import trace as api
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import export as sdk
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
except ImportError as exc:
    raise DoraError(
        "export by OTLP needs OpenTelemetry's libraries: pip install 'dora-py[otel]'"
    ) from exc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dora.monitor.measures import Measure, Point
    from dora.wire.spans import Span

VARIABLE = "DORA_OTLP_ENDPOINT"
"""Where the collector is, if no command says."""

_TIMEOUT_S = 5.0
_UNITS = {"seconds": "s", "bytes": "By", "": "1"}
_RESOURCE = Resource({"service.name": "dora", "service.version": VERSION})
_SCOPE = InstrumentationScope("dora", VERSION)
_PORT_OF_GRPC = 4317


def signal_url(url: str, signal: str) -> str:
    """Where one kind of signal goes: `v1/metrics` behind a collector's address.

    Args:
        url: The collector's address, `http://localhost:4318`; or already with the signal's path.
        signal: `metrics` or `traces`.

    Raises:
        DoraError: it is no HTTP address.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a bracket is missing, or the port is none
        good = False
    if not good:
        raise DoraError(f"`{url}` is no address of a collector; write `http://localhost:4318`")
    path = parts.path.rstrip("/")
    if not path.endswith(f"/v1/{signal}"):
        path = f"{path}/v1/{signal}"
    return urlunsplit(parts._replace(path=path))


def collector(given: str | None) -> str | None:
    """The collector's address: what was given, else what the environment says; None: none."""
    return given or os.environ.get(VARIABLE) or None


class MetricsExport:
    """Sends measures to a collector. `close()` ends it; twice is fine.

    Args:
        url: The collector's address.

    Raises:
        DoraError: it is no address.
    """

    def __init__(self, url: str) -> None:
        self._url = signal_url(url, "metrics")
        self._exporter = OTLPMetricExporter(endpoint=self._url, timeout=_TIMEOUT_S)

    def send(self, measured: Sequence[Measure]) -> None:
        """Send all of these, as they are now.

        Raises:
            DoraError: the collector does not take them.
        """
        now_ns = time.time_ns()
        metrics = [_metric(measure, now_ns) for measure in measured if measure.points]
        scope = sdk.ScopeMetrics(_SCOPE, metrics, "")
        data = sdk.MetricsData([sdk.ResourceMetrics(_RESOURCE, [scope], "")])
        with _Words() as words:
            result = self._exporter.export(data)
        if result is not sdk.MetricExportResult.SUCCESS:
            raise refused(self._url, words.said)

    def close(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()


class SpanExport:
    """Sends spans to a collector; each node is a service there. `close()` ends it.

    Args:
        url: The collector's address.

    Raises:
        DoraError: it is no address.
    """

    def __init__(self, url: str) -> None:
        self._url = signal_url(url, "traces")
        self._exporter = OTLPSpanExporter(endpoint=self._url, timeout=_TIMEOUT_S)

    def send(self, spans: Sequence[Span], dataflow: str) -> None:
        """Send these spans of a dataflow.

        Raises:
            DoraError: the collector does not take them.
        """
        if not spans:
            return
        resources = {
            node: Resource({"service.name": node, "service.namespace": dataflow})
            for node in {span.node for span in spans}
        }
        with _Words() as words:
            result = self._exporter.export([_span(one, resources[one.node]) for one in spans])
        if result is not SpanExportResult.SUCCESS:
            raise refused(self._url, words.said)

    def close(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


def refused(url: str, said: str) -> DoraError:
    """That a collector did not take what was sent."""
    hint = ""
    if urlsplit(url).port == _PORT_OF_GRPC:
        hint = f"; port {_PORT_OF_GRPC} mostly speaks gRPC, OTLP over HTTP has 4318"
    return DoraError(
        f"the collector at {url} did not take what was sent: {said or 'no word why'}{hint}"
    )


class _Words(logging.Handler):
    """Keeps what the library says of a failure, which it only logs, instead of showing it."""

    def __enter__(self) -> _Words:
        self.said = ""
        self._log = logging.getLogger("opentelemetry")
        self._before = self._log.propagate
        self._log.propagate = False
        self._log.addHandler(self)
        return self

    def emit(self, record: logging.LogRecord) -> None:
        self.said = self.said or record.getMessage()  # the rest is that it gave up trying

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)
        self._log.propagate = self._before


def _span(span: Span, resource: Resource) -> ReadableSpan:
    """A span: from when the node had the message; how long that waited is an attribute."""
    queue_ns, transport_ns = wait_of(span)
    kind = api.SpanKind.CONSUMER if span.sent_ns else api.SpanKind.PRODUCER
    waited = {"dora.queue_seconds": queue_ns / 1e9, "dora.transport_seconds": transport_ns / 1e9}
    return ReadableSpan(
        name=name_of(span),
        context=_context(span.trace, span.span),
        parent=_context(span.trace, span.parent) if span.parent else None,
        resource=resource,
        attributes={
            "messaging.system": "dora",
            "dora.input": span.input,
            "dora.source": span.source,
            **(waited if span.sent_ns else {}),
        },
        events=[
            Event("send", {"dora.output": sent.output}, timestamp=sent.at_ns) for sent in span.sent
        ],
        links=[api.Link(_context(span.trace, other)) for other in span.links],
        kind=kind,
        start_time=span.received_ns,
        end_time=span.done_ns,
        instrumentation_scope=_SCOPE,
    )


def _context(trace: str, span: str) -> api.SpanContext:
    flags = api.TraceFlags(api.TraceFlags.SAMPLED)
    return api.SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=flags)


def _metric(measure: Measure, now_ns: int) -> sdk.Metric:
    """A measure under its OpenTelemetry name: `dora.node.memory`, in `By`."""
    _dora, of, *name = measure.name.split("_")
    return sdk.Metric(
        ".".join(["dora", of, *(["_".join(name)] if name else [])]),
        measure.told,
        _UNITS[measure.unit],
        _data(measure, now_ns),
    )


def _data(measure: Measure, now_ns: int) -> sdk.Sum | sdk.Gauge | sdk.Histogram:
    total = sdk.AggregationTemporality.CUMULATIVE
    if measure.kind is Kind.HISTOGRAM:
        return sdk.Histogram([_histogram(measure, one, now_ns) for one in measure.points], total)
    points = [
        sdk.NumberDataPoint(_attributes(measure, one), one.since_ns or now_ns, now_ns, one.value)
        for one in measure.points
    ]
    if measure.kind is Kind.COUNTER:
        return sdk.Sum(points, total, is_monotonic=True)
    return sdk.Gauge(points)


def _histogram(measure: Measure, point: Point, now_ns: int) -> sdk.HistogramDataPoint:
    unknown: Any = None  # not counted; the protocol lets it be absent
    return sdk.HistogramDataPoint(
        attributes=_attributes(measure, point),
        start_time_unix_nano=point.since_ns,
        time_unix_nano=now_ns,
        count=int(point.value),
        sum=unknown,
        bucket_counts=point.counts,
        explicit_bounds=BOUNDS_S,
        min=unknown,
        max=unknown,
    )


def _attributes(measure: Measure, point: Point) -> dict[str, str]:
    return dict(zip(measure.labels, point.labels, strict=True))

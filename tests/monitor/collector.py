"""A collector of OpenTelemetry: takes OTLP over HTTP, and decodes it with the protocol's code."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = {"/v1/metrics": ExportMetricsServiceRequest, "/v1/traces": ExportTraceServiceRequest}


class Collector:
    """What came in."""

    def __init__(self, status: int = 200) -> None:
        self.requests: list[Any] = []
        self.status = status
        self.url = ""
        self.came = threading.Semaphore(0)
        """Released for every request."""

    def metrics(self) -> dict[str, Any]:
        """The last metrics, by name."""
        return {
            metric.name: metric
            for resource in self.requests[-1].resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def spans(self) -> list[Any]:
        """All spans."""
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@contextmanager
def collecting(status: int = 200) -> Iterator[Collector]:
    """One that answers with this status."""
    taken = Collector(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if taken.status == 200:
                request = _KINDS[self.path]()
                request.ParseFromString(body)
                taken.requests.append(request)
            self.send_response(taken.status)
            self.end_headers()
            taken.came.release()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    taken.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield taken
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def attributes(point: Any) -> dict[str, Any]:
    """Of a span or data point, plain."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in point.attributes}

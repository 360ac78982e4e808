"""Begins a trace of its own for each frame. `pip install 'dora-py[otel]'`."""

from context import metadata_of
from dora import Node
from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider

tracer = TracerProvider().get_tracer(
    "camera"
)  # give it an exporter, and a collector sees the spans

with Node() as node:
    for frame in range(3):
        with tracer.start_as_current_span("capture") as span:
            carrier = {}
            propagate.inject(carrier)
            trace = f"{span.get_span_context().trace_id:032x}"
            node.send_output("frame", frame, {**metadata_of(carrier), "camera_trace": trace})

"""Goes on with the trace that a frame belongs to, by a span of its own."""

from context import carrier_of, metadata_of
from dora import Node
from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider

tracer = TracerProvider().get_tracer("detector")
node = Node()

for event in node:
    if event["type"] == "INPUT":
        before = propagate.extract(carrier_of(event["metadata"]))
        with tracer.start_as_current_span("detect", context=before):
            carrier = {}
            propagate.inject(carrier)
            node.send_output("boxes", event["value"], {**event["metadata"], **metadata_of(carrier)})

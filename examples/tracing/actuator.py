"""Tells which trace its boxes came in."""

from context import carrier_of
from dora import Node
from opentelemetry import propagate, trace

node = Node()

for event in node:
    if event["type"] == "INPUT":
        context = propagate.extract(carrier_of(event["metadata"]))
        found = trace.get_current_span(context).get_span_context()
        same = f"{found.trace_id:032x}" == event["metadata"]["camera_trace"]
        print(f"frame {event['value'][0].as_py()}: in the trace that the camera began: {same}")

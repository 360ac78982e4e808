"""Prints the metadata of what it receives: the sender's own, and what dora adds."""

from datetime import UTC, datetime

from dora import Node

node = Node()
for event in node:
    if event["type"] == "INPUT":
        metadata = event["metadata"]
        age = datetime.now(UTC) - metadata["timestamp"]
        print("watermark", metadata["watermark"], "deadline", metadata["deadline"])
        print("type", metadata["type_info"], "younger than 10 s:", age.total_seconds() < 10)

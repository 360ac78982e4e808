"""Prints the Arrow type and the content of what it receives."""

from dora import Node

node = Node()
for event in node:
    if event["type"] == "INPUT":
        print(event["id"], event["value"].type, event["value"].to_pylist())

"""Prints the type, dtype and shape of what it receives."""

from dora import Node

node = Node()
for event in node:
    if event["type"] == "INPUT":
        value = event["value"]
        content = value.tolist() if value.size < 10 else f"sum {value.sum()}"
        print(event["id"], type(value).__name__, value.dtype, value.shape, content)

"""Prints what it receives."""

from dora import Node

node = Node()
for event in node:
    if event["type"] == "INPUT":
        gray = event["value"]
        print(f"{event['id']} {gray.dtype} {gray.shape} all {gray.min()} to {gray.max()}")

"""Prints what it receives."""

from dora import Node

node = Node()
for event in node:
    if event["type"] == "INPUT":
        print("result", event["value"].tolist())

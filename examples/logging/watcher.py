"""Receives the log lines of the other node: each is a string of JSON."""

import json

from dora import Node

node = Node()
for event in node:
    if event["type"] == "INPUT":
        record = json.loads(event["value"][0].as_py())
        print(f"{record['node_id']} said at {record['level']}: {record['message']}")
        break

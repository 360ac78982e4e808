"""Add the parameter `offset`, 0 if the module is used without one, to each number."""

import os

from dora import Node

offset = int(os.environ.get("PARAM_OFFSET", "0"))

node = Node()
for event in node:
    if event["type"] == "INPUT":
        node.send_output("result", event["value"] + offset)

"""Fails after every 12 messages; its next process reads on where this one stopped."""

from dora import Node

node = Node()
if node.is_restart():
    print(f"here again, restart {node.restart_count()}")
handled = 0
for event in node:
    if event["type"] == "INPUT":
        node.send_output("double", 2 * event["value"][0].as_py())
        handled += 1
        if handled == 12:
            raise RuntimeError("something that happens now and then")

"""Misses nothing, and is told of each restart."""

from dora import Node

received = []
for event in Node():
    if event["type"] == "INPUT":
        received.append(event["value"][0].as_py())
    elif event["type"] == "NODE_RESTARTED":
        print(f"node {event['id']} was restarted")
assert received == [2 * number for number in range(30)], received
print(f"all {len(received)} numbers came, in order")

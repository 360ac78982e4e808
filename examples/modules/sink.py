"""Print what arrives."""

from dora import Node

for event in Node():
    if event["type"] == "INPUT":
        print(f"received {event['value'][0]}")

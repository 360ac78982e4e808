"""Prints what it receives: a NumPy array, and bytes as an Arrow array of uint8."""

from dora import Node

node = Node()
for event in node:
    if event["type"] == "INPUT" and event["id"] == "image":
        image = event["value"]
        print(f"image {image.dtype} {image.shape}, all sevens: {bool((image == 7).all())}")
        print(f"read-only: {not image.flags.writeable}")
    elif event["type"] == "INPUT":
        print(f"raw {event['value'].type} {len(event['value'])} ends {event['value'][-1].as_py()}")

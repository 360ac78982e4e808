"""Turns each frame into a grey image; its number travels on in the metadata."""

import numpy as np

from dora import Node

node = Node()

for event in node:
    if event["type"] == "INPUT" and event["id"] == "image":
        image = event["value"]
        gray = np.mean(image, axis=2, dtype=np.float32).astype(np.uint8)
        node.send_output("processed", gray, event["metadata"])
    elif event["type"] == "STOP":
        break

"""Sends metadata with an array, as the specification has it."""

import numpy as np

from dora import Node

node = Node()
array = np.zeros((2, 3), dtype=np.float32)

metadata = {
    "watermark": 1000,
    "deadline": 5000,
}
node.send_output("data", array, metadata)

"""Sends without a copy: both arrays are written where the receiver will read them."""

import numpy as np

from dora import Node

node = Node()

# A NumPy array that lies in shared memory; after the send it belongs to the receivers.
image = node.loan((1080, 1920, 3), np.uint8)
image[:] = 7
node.send_output("image", image, {"encoding": "rgb8"})

# The same for bytes, as dora-rs has it: sent when the block ends.
with node.send_output_raw("raw", 1000) as buffer:
    view = np.frombuffer(buffer, dtype=np.uint8)
    view[:] = np.arange(1000) % 256
    del view  # a sample with open views cannot be sent

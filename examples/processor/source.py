"""Sends one image whose grey value is known."""

import numpy as np

from dora import Node

node = Node()
image = np.empty((480, 640, 3), dtype=np.uint8)
image[:] = (10, 20, 60)
node.send_output("image", image)

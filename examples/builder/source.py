"""Sends three arrays."""

import numpy as np

from dora import Node

node = Node()
for count in (1, 2, 3):
    node.send_output("numbers", np.arange(count))

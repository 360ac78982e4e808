"""Send a few numbers."""

import numpy as np

from dora import Node

node = Node()
for number in (1, 2, 3):
    node.send_output("number", np.array([number]))

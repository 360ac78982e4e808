"""Sends a signal that rises, for as long as it is wanted."""

import numpy as np

from dora import Node

node = Node()
level = 0
while node.next(timeout=0.01)["type"] != "STOP":
    node.send_output("signal", np.full(4, level))
    level += 1

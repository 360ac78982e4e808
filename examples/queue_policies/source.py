"""Counts to 99 twice, as fast as the queues allow."""

import numpy as np

from dora import Node

node = Node()
for number in range(100):
    node.send_output("fast", np.array([number]))  # never waits for a slow reader
for number in range(100):
    node.send_output("paced", np.array([number]))

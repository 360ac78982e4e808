"""Sends COUNT pictures of 1280x720, one for each tick."""

import os

import numpy as np

from dora import Node

count = int(os.environ["COUNT"])
random = np.random.default_rng(0)
rows, columns = np.mgrid[0:720, 0:1280]
plain = np.stack([columns // 5, rows // 3, (rows + columns) // 8], axis=2).astype(np.uint8)
pictures = [plain + random.integers(0, 3, plain.shape, dtype=np.uint8) for _ in range(4)]
node = Node()
sent = 0
for event in node:
    if event["type"] == "INPUT":
        node.send_output("image", pictures[sent % 4], {"n": sent, "encoding": "rgb8"})
        sent += 1
    if sent == count or event["type"] == "STOP":
        break

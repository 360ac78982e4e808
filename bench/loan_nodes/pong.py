"""Answers each message with one of its size: a loan; a plain array to the first ones."""

import os

import numpy as np

from dora import Node

WARM_UP = 20

with Node() as node:
    plain = int(os.environ["ROUNDS"]) + WARM_UP
    array = np.zeros(4096, np.uint8)
    for event in node:
        if event["type"] == "INPUT":
            size = len(event["value"])
            del event
            if plain > 0:
                plain -= 1
                node.send_output("pong", array)
            else:
                answer = node.loan((size,), np.uint8)
                answer[0] = 1
                node.send_output("pong", answer)
                del answer
        elif event["type"] == "STOP":
            break

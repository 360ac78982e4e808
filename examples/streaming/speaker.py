import numpy as np

from dora import Node

with Node() as node, node.stream_writer("audio", {"sample_rate": 16000}) as stream:
    for number in range(3):
        stream.send(np.full(1600, number, dtype="float32"), fin=number == 2)
    stream.send(np.zeros(1600, dtype="float32"))
    stream.flush()  # what was not heard yet never will be
    stream.send(np.ones(1600, dtype="float32"), fin=True)

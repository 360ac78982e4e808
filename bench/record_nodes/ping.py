"""Sends a message of SIZE bytes HZ times a second (0: at once), and times its echo."""

import json
import os
import time
from pathlib import Path

import numpy as np

from dora import Node

size, hz = int(os.environ["SIZE"]), float(os.environ["HZ"])
rounds, warmup = int(os.environ["ROUNDS"]), 20
node = Node()
payload = np.zeros(size, np.uint8)
times = []
due = time.perf_counter()
for at in range(rounds + warmup):
    if hz:
        due += 1 / hz
        time.sleep(max(0.0, due - time.perf_counter()))
    start = time.perf_counter_ns()
    node.send_output("ping", payload)
    while True:
        event = node.next(timeout=20)
        if event is None or event["type"] == "STOP":
            raise SystemExit("stopped early")
        if event["type"] == "INPUT":
            break
    took = time.perf_counter_ns() - start
    if at >= warmup:
        times.append(took / 1e3)
    del event
Path(os.environ["BENCH_OUT"]).write_text(json.dumps(times))

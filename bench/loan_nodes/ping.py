"""Sends a loan of each size and waits for one of the same size; first a plain array of 4 KB."""

import json
import os
import time
from pathlib import Path

import numpy as np

from dora import Node

WARM_UP = 20


def main() -> None:
    rounds = int(os.environ["ROUNDS"])
    with Node() as node:
        array = np.zeros(4096, np.uint8)
        rows = {"plain": measure(node, rounds, lambda: array)}
        for size in map(int, os.environ["SIZES"].split(",")):
            rows[str(size)] = measure(node, rounds, lambda n=size: node.loan((n,), np.uint8))
    Path(os.environ["BENCH_OUT"]).write_text(json.dumps(rows))


def measure(node, rounds, make):
    times = []
    for _ in range(rounds + WARM_UP):
        start = time.perf_counter_ns()
        sent = make()
        sent[0] = 1
        size = len(sent)
        node.send_output("ping", sent)
        del sent
        event = node.next(timeout=20.0)
        assert event is not None
        assert event["type"] == "INPUT", event
        assert len(event["value"]) == size
        del event
        times.append((time.perf_counter_ns() - start) / 1e3)
    p50, p99 = np.percentile(times[WARM_UP:], [50, 99])
    return {"p50_us": float(p50), "p99_us": float(p99)}


if __name__ == "__main__":
    main()

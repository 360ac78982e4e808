#!/usr/bin/env python3
"""What tracing costs a node: CPU time of one message that is received, handled and sent on.

    bench/tracing.py [--rounds 9] [--against FOLDER]

In turn, each in a process of its own: tracing off; tracing on and the message not traced, as almost
all are; tracing on and the message traced. CPU time of the thread, the best of many short batches,
then the median of the rounds: on a busy machine too, these repeat. FOLDER is the `src` of an older
checkout, to compare `off` with.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BATCHES, TRACED_BATCHES, MESSAGES = 600, 40, 50


def measure(mode):
    """Nanoseconds of CPU time for each message."""
    sys.path.insert(0, str(ROOT / "tests"))
    import numpy as np
    import pytest

    from node.rig import Rig

    rig = Rig(pytest.MonkeyPatch(), {"in": 10}, ("out",))
    node, value, told = rig.node, np.zeros(8, np.uint8), [None] * MESSAGES
    if mode in ("on", "traced"):
        from dora.wire.spans import CONTEXT, Context, Trace, new_span_id, new_trace_id

        rig.tell(Trace(on=True))
    costs = []
    for _ in range(TRACED_BATCHES if mode == "traced" else BATCHES):
        if mode == "traced":
            time.sleep(MESSAGES / 500)  # a node may tell 500 spans a second
            told = [
                {CONTEXT: Context(new_trace_id(), new_span_id()).text()} for _ in range(MESSAGES)
            ]
        total = 0
        for metadata in told:
            rig.send("in", value, metadata)
            begin = time.thread_time_ns()
            event = node.next()
            node.send_output("out", event["value"])
            total += time.thread_time_ns() - begin
            rig.take("out")
        costs.append(total / MESSAGES)
        rig.heard()
    print(min(costs), flush=True)
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--against", metavar="FOLDER")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
    places = {"off": str(ROOT / "src"), "on": str(ROOT / "src"), "traced": str(ROOT / "src")}
    if options.against:
        places = {"before": options.against, **places}
    found = {mode: [] for mode in places}
    for number in range(options.rounds):
        for mode in sorted(places, reverse=bool(number % 2)):
            ran = subprocess.run(
                [sys.executable, __file__, "--measure", mode],
                env=os.environ | {"PYTHONPATH": places[mode]},
                stdout=subprocess.PIPE,
                check=True,
            )
            found[mode].append(float(ran.stdout))
    for mode, costs in found.items():
        told = f"{mode:>6}  {statistics.median(costs) / 1000:7.2f} us"
        for other in ("before", "off"):
            if other in found and other != mode and mode != "before":
                ratio = statistics.median(a / b for a, b in zip(costs, found[other], strict=True))
                told += f"   {ratio:.4f} of {other}"
        print(told)


if __name__ == "__main__":
    main()

"""Counts the ticks of three timers for half a second; the first tick of each comes at once."""

import time
from collections import Counter

from dora import Node

node = Node()
ticks = Counter()
start = time.monotonic()
for event in node:
    if event["type"] == "INPUT":
        ticks[event["id"]] += 1
        if ticks["slow"] == 6:
            break
elapsed = time.monotonic() - start
print(f"once: {ticks['once']}, slow: {ticks['slow']}")
print(f"half a second: {0.45 < elapsed < 2.0}, fast ticked more often: {ticks['fast'] > 10}")

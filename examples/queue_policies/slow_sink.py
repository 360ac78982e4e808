"""Takes some time for each message; tells what it got of those that were sent."""

import os
import time

from dora import Node

node = Node()
numbers = []
for event in node:
    if event["type"] == "INPUT":
        numbers.append(int(event["value"][0]))
        time.sleep(0.005)  # work
print(f"{os.environ['NAME']}: in order {numbers == sorted(numbers)}, last {numbers[-1]}")
print(f"{os.environ['NAME']}: got all 100: {len(numbers) == 100}")

"""Prints what it receives, behind the text that the dataflow gives it."""

import os

from dora import Node

for event in Node():
    if event["type"] == "INPUT":
        print(os.environ["PREFIX"], event["value"].tolist())

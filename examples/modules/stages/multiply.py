"""Multiply each number by `--factor`."""

import argparse

from dora import Node

parser = argparse.ArgumentParser()
parser.add_argument("--factor", type=int, required=True)
factor = parser.parse_args().factor

node = Node()
for event in node:
    if event["type"] == "INPUT":
        node.send_output("product", event["value"] * factor)

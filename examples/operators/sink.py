"""Prints what it receives."""

from dora import Node

for event in Node():
    if event["type"] == "INPUT":
        print(event["value"][0].as_py())

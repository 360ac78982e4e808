"""Sends one greeting and ends."""

from dora import Node

node = Node()
node.send_output("greeting", "hello")

"""Sends 0 to 29 as fast as its reader takes them."""

from dora import Node

node = Node()
for number in range(30):
    node.send_output("number", number)
